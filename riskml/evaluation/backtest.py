"""Detectors over folds in time: each fitted anew in every fold, on what was known by then.

Pure Python, for scripts; `evaluate.py` is made of it. See docs/backtest.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import polars as pl

from riskml.data.datasets import Dataset
from riskml.data.folds import Folds, SingleFold
from riskml.evaluation.backtesting.lanes import work_in_lanes
from riskml.evaluation.backtesting.parts import Part, Refused, part_folder, read_part
from riskml.evaluation.backtesting.plan import begin, described, units_of
from riskml.evaluation.backtesting.units import (
    Change,
    Check,
    Fit,
    Job,
    Make,
    MakeFeatures,
    Unit,
    Worker,
    fit_by_itself,
)
from riskml.evaluation.checks.auditor import STANDARD
from riskml.evaluation.checks.findings import gathered
from riskml.evaluation.comparison import Finding, Fold, Row, rows_of
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.explained import over_folds
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import DailyBudget, Threshold

Watch = Callable[[int, int, str], None]
"""Told how many units are done, how many there are, and what is worked on."""


@dataclass(frozen=True)
class Backtested:
    """What was found over all folds.

    Args:
        folds: as they came out.
        evaluations: by detector (the one in focus first), fold and seed.
        alerts: of the detector in focus, riskiest first, with `reasons` and `fold`.
        events: behind the first of them, with `window_id` and `fold`.
        refused: detectors that the windows of a fold do not suit, with the reason.
        findings: of the checks.
        features: how many there are, in the latest fold.
        unknown_action_rate: share of test events whose action was not seen in training, mean of
            the folds.
        epochs: of the detector in focus in the latest fold, numbers of each epoch.
    """

    folds: tuple[Fold, ...]
    evaluations: tuple[Evaluation, ...]
    alerts: pl.DataFrame
    events: pl.DataFrame
    refused: Mapping[str, str]
    findings: tuple[Finding, ...]
    features: int
    unknown_action_rate: float
    epochs: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def of_one(
        cls,
        evaluation: Evaluation,
        windows: PreparedWindows,
        alerts: pl.DataFrame,
        events: pl.DataFrame,
    ) -> Self:
        """What was found of a single detector on the split of its data set."""
        return cls(
            (Fold.of(0, windows),),
            (evaluation,),
            alerts,
            events,
            {},
            evaluation.findings,
            len(windows.train.spec),
            windows.unknown_action_rate,
        )

    @property
    def rows(self) -> tuple[Row, ...]:
        """One a detector, over all folds and seeds."""
        return rows_of(self.evaluations)


def backtest(
    dataset: Dataset,
    detectors: Mapping[str, Make | Detector],
    features: MakeFeatures,
    folds: Folds | None = None,
    rule: Threshold | None = None,
    scoring: ScoringSettings | None = None,
    seeds: Sequence[int] = (0,),
    folder: Path | None = None,
    fit: Fit = fit_by_itself,
    fit_seconds: Mapping[str, float | None] | None = None,
    checks: Sequence[Check] = (),
    watch: Watch | None = None,
    settings: str = "",
    audit: str = STANDARD,
    change: Change | None = None,
) -> Backtested:
    """Fit and judge each detector in each fold.

    In a fold everything that is learnt (vocabulary, embedding, peers, scaler, detector, risk,
    threshold) is learnt anew, and events after its end are not there at all. What grows causally
    (profiles of users) has seen all events before.

    Args:
        dataset: the log, as `load_dataset` gives it.
        detectors: the one in focus first. A function makes an unfitted one from a seed; one
            that comes fitted is judged as it is, which takes a single fold.
        features: fits an extractor on the events of a train period, such as
            `lambda events: FeatureExtractor(...).fit(events)`.
        folds: the rule, with the number of processes; the data set's own split unless given. A
            script that asks for several processes must guard its entry by
            `if __name__ == "__main__":`.
        rule: how many alerts there may be; five a day unless given.
        scoring: how scores are read.
        seeds: detectors in which chance has a part are fitted once a seed, others with the first.
        folder: keeps finished units, so that the same call goes on after a kill; None keeps none.
        fit: fits a detector; as it does by itself unless given.
        fit_seconds: how long it took, of those that come fitted.
        checks: asked after each unit.
        watch: told of the progress.
        settings: whatever else the numbers depend on; a folder begun with others is refused.
        audit: how closely detectors are looked at, see `evaluate_detector`.
        change: what is done to the windows of each fold before anything is fitted on them, such
            as a control of `riskml.evaluation.checks.controls`.

    Returns:
        What was found; units that do not suit are named in `refused`.

    Raises:
        ConfigError: a setting is wrong, or the folder is of another backtest.
        DataError: the log is too short, or the detector in focus cannot be used or is refused.
        KeyboardInterrupt: finished units are kept.
    """
    folds = folds or SingleFold()
    plan = folds.plan(dataset)
    units = units_of(detectors, len(plan), seeds, fitted_fits=not folds.moves)
    with ExitStack() as open_until:
        if folder is None:
            folder = Path(open_until.enter_context(tempfile.TemporaryDirectory()))
        job = Job(
            dataset,
            plan,
            detectors,
            features,
            rule or DailyBudget(),
            scoring or ScoringSettings(),
            seeds[0],
            folder,
            fit,
            dict(fit_seconds or {}),
            tuple(checks),
            audit,
            change,
        )
        begin(folder, described(job, units, settings))
        waiting = [unit for unit in units if not _place(folder, unit).is_dir()]
        tell = watch or (lambda done, total, doing: None)
        done = [unit for unit in units if unit not in waiting]

        def begun(unit: Unit) -> None:
            tell(len(done), len(units), str(unit))

        for unit in _work(job, waiting, folds.workers, begun):
            done.append(unit)
            tell(len(done), len(units), str(unit))
        return _gather([read_part(_place(folder, unit)) for unit in units], detectors, len(plan))


def _place(folder: Path, unit: Unit) -> Path:
    return part_folder(folder, unit.place, unit.name, unit.fold, unit.seed)


def _work(
    job: Job, units: Sequence[Unit], workers: int, begun: Callable[[Unit], None]
) -> Iterator[Unit]:
    """Work on the units here or in processes; those that come fitted always here."""
    here = [unit for unit in units if workers == 1 or job.comes_fitted(unit)]
    worker = Worker(job)
    for unit in here:
        begun(unit)
        worker.work(unit)
        yield unit
    del worker  # and the windows that it keeps
    there = [unit for unit in units if unit not in here]
    if there:
        yield from work_in_lanes(job, there, workers, begun)


def _gather(
    parts: Sequence[Part | Refused], detectors: Mapping[str, Make | Detector], n_folds: int
) -> Backtested:
    """All parts as one; a detector that one fold does not suit has no numbers in any."""
    refused: dict[str, str] = {}
    for part in parts:
        if isinstance(part, Refused):
            where = f"fold {part.fold + 1}: " if n_folds > 1 else ""
            refused.setdefault(part.name, where + part.reason)
    found = [part for part in parts if isinstance(part, Part)]
    kept = [part for part in found if part.evaluation.name not in refused]
    first = {part.fold.number: part for part in reversed(found)}
    explained = [(p.alerts, p.events) for p in kept if p.alerts is not None]
    alerts, events = over_folds([(a, e) for a, e in explained if e is not None])
    order = {name: place for place, name in enumerate(detectors)}
    kept.sort(key=lambda part: order[part.evaluation.name])
    folds = [first[number] for number in sorted(first)]
    return Backtested(
        tuple(part.fold for part in folds),
        tuple(_sharing_keys([part.evaluation for part in kept])),
        alerts,
        events,
        refused,
        gathered([(part.fold, part.findings) for part in map(_about, parts)]),
        folds[-1].features,
        sum(part.unknown_action_rate for part in folds) / len(folds),
        next((part.epochs for part in reversed(kept) if part.alerts is not None), ()),
    )


def _about(part: Part | Refused) -> Evaluation | Refused:
    return part.evaluation if isinstance(part, Part) else part


def _sharing_keys(evaluations: Sequence[Evaluation]) -> Iterator[Evaluation]:
    """The same, with what tables of a fold have in common once in memory."""
    first: dict[int, pl.DataFrame] = {}
    for evaluation in evaluations:
        table = evaluation.scores
        known = first.setdefault(evaluation.fold, table)
        same = [name for name in known.columns if name in table.columns]
        shared = [known[name] for name in same if known[name].equals(table[name])]
        yield replace(evaluation, scores=table.with_columns(shared))
