"""Detectors over folds in time: each fitted anew in every fold, on what was known by then.

Pure Python, for scripts; `evaluate.py` is made of it. See docs/backtest.md.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import polars as pl

from riskml import __version__
from riskml.core.errors import ConfigError, require
from riskml.data.datasets import Dataset
from riskml.data.folds import Folds, SingleFold
from riskml.evaluation.backtesting.lanes import work_in_lanes
from riskml.evaluation.backtesting.parts import DRAFT, Part, Refused, part_folder, read_part
from riskml.evaluation.backtesting.units import (
    Change,
    Check,
    Fit,
    Job,
    Make,
    MakeFeatures,
    Unit,
    Worker,
    check_name,
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

PLAN = "plan.json"

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
    units = _units(detectors, len(plan), seeds, fitted_fits=not folds.moves)
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
        _begin(folder, _described(job, units, settings))
        waiting = [unit for unit in units if not _place(folder, unit).is_dir()]
        tell = watch or (lambda done, total, doing: None)
        done = [unit for unit in units if unit not in waiting]

        def begun(unit: Unit) -> None:
            tell(len(done), len(units), str(unit))

        for unit in _work(job, waiting, folds.workers, begun):
            done.append(unit)
            tell(len(done), len(units), str(unit))
        return _gather([read_part(_place(folder, unit)) for unit in units], detectors, len(plan))


def _units(
    detectors: Mapping[str, Make | Detector], folds: int, seeds: Sequence[int], fitted_fits: bool
) -> list[Unit]:
    """All of them, those of a fold one after the other, the detector in focus first."""
    require("detectors", list(detectors), len(detectors) > 0, "must name at least one")
    fits = len(seeds) > 0 and len(set(seeds)) == len(seeds) and min(seeds) >= 0
    require("seeds", list(seeds), fits, "must be different numbers of 0 or more")
    own_seeds: dict[str, Sequence[int]] = {}
    for name, given in detectors.items():
        check_name(name)
        if isinstance(given, Detector):
            if not fitted_fits:
                raise ConfigError(
                    f"{name} comes fitted, and folds fit detectors anew: give a function that "
                    "makes it, or choose the single split"
                )
            own_seeds[name] = seeds[:1]
        else:
            own_seeds[name] = seeds if given(seeds[0]).has_chance else seeds[:1]
    return [
        Unit(fold, place, name, seed)
        for fold in range(folds)
        for place, name in enumerate(detectors)
        for seed in own_seeds[name]
    ]


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


def _described(job: Job, units: Sequence[Unit], settings: str) -> dict[str, Any]:
    """What a folder must have been begun with for its parts to count."""

    def about(given: Make | Detector) -> str:
        detector = given if isinstance(given, Detector) else given(job.explained)
        text = json.dumps([type(detector).__qualname__, detector.settings()], default=str)
        return sha256(text.encode()).hexdigest()

    return {
        "version": __version__,
        "data": job.dataset.fingerprint,
        "settings": settings,
        "audit": job.audit,
        "folds": [str(periods or "data.split") for periods in job.folds],
        "detectors": {name: about(given) for name, given in job.detectors.items()},
        "units": [str(unit) for unit in units],
    }


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Note what the folder is for, or see that it is for this.

    Raises:
        ConfigError: it is for something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / PLAN
    if note.is_file():
        try:
            before = json.loads(note.read_text())
        except ValueError as error:
            raise ConfigError(f"{note} is damaged: begin anew in another folder") from error
        differing = [name for name in plan if before.get(name) != plan[name]]
        if differing:
            raise ConfigError(
                f"{folder} was begun with other {', '.join(differing)}: begin anew in another "
                "folder, or give what it was begun with"
            )
    else:
        draft = note.with_name(note.name + DRAFT)
        draft.write_text(json.dumps(plan, indent=1, ensure_ascii=False))
        draft.replace(note)
    for draft in folder.glob(f"fold-*/*{DRAFT}"):
        shutil.rmtree(draft)  # of a unit that was killed


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
