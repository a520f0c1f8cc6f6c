"""The work of a backtest, a unit at a time: one detector, fitted and judged in one fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import polars as pl
import torch
from threadpoolctl import threadpool_limits

from riskml.core.errors import ConfigError, DataError
from riskml.data.datasets import Dataset
from riskml.data.folds import in_fold
from riskml.data.splits import FoldPeriods
from riskml.evaluation.backtesting.parts import Part, Refused, write_part
from riskml.evaluation.checks.auditor import STANDARD
from riskml.evaluation.comparison import Finding, Fold
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.evaluation.explained import alerts_and_events
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows, prepare
from riskml.models.base import Detector
from riskml.models.randomness import randomness_restored
from riskml.models.training import TrainingError
from riskml.scoring.explain import Explainer
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import Threshold

Make = Callable[[int], Detector]
"""Makes an unfitted detector from a seed."""

MakeFeatures = Callable[[pl.DataFrame], FeatureExtractor]
"""Fits a feature extractor on the events of a train period."""


@dataclass(frozen=True)
class Fitted:
    """What fitting leaves beside the detector.

    Args:
        seconds: how long it took; None where it was done elsewhere.
        epochs: numbers of each epoch, by name.
    """

    seconds: float | None = None
    epochs: tuple[Mapping[str, float], ...] = ()


Fit = Callable[[str, Detector, PreparedWindows], Fitted]
"""Fits a detector, by its name in the table, on the train windows."""


Change = Callable[[PreparedWindows], PreparedWindows]
"""Makes other windows of those of a fold, such as a control."""


class Check(Protocol):
    """Looks for what would mislead, in a detector that has just been fitted and judged."""

    def __call__(
        self, evaluation: Evaluation, detector: Detector, windows: PreparedWindows
    ) -> Sequence[Finding]:
        """What it has found."""
        ...


def fit_by_itself(name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
    """As the detector fits by itself; deep ones stop early on the calibration windows."""
    start = time.perf_counter()
    detector.fit(windows.train, windows.calibration)
    return Fitted(time.perf_counter() - start)


@dataclass(frozen=True)
class Unit:
    """One detector in one fold.

    Args:
        fold: number, from 0.
        place: of the detector among all.
        name: of the detector.
        seed: that it is made with.
    """

    fold: int
    place: int
    name: str
    seed: int

    def __str__(self) -> str:
        return f"fold {self.fold + 1}, {self.name}, seed {self.seed}"


@dataclass(frozen=True)
class Job:
    """All that units need; goes to every process.

    Args:
        dataset: the whole log.
        folds: periods of each; None: as the data set is split.
        detectors: the one in focus first; one that comes fitted is judged as it is.
        features: fits the extractor of a fold.
        rule: how many alerts there may be.
        scoring: how scores are read.
        explained: seed of the detector in focus whose alerts are explained.
        folder: that keeps finished units.
        fit: fits a detector.
        fit_seconds: of those that come fitted.
        checks: asked after each unit.
        audit: how closely detectors are looked at, see `evaluate_detector`.
        change: what is done to the windows of a fold before anything is fitted on them.
    """

    dataset: Dataset
    folds: tuple[FoldPeriods | None, ...]
    detectors: Mapping[str, Make | Detector]
    features: MakeFeatures
    rule: Threshold
    scoring: ScoringSettings
    explained: int
    folder: Path
    fit: Fit = fit_by_itself
    fit_seconds: Mapping[str, float | None] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    audit: str = STANDARD
    change: Change | None = None

    @property
    def focus(self) -> str:
        """Name of the detector in focus."""
        return next(iter(self.detectors))

    def comes_fitted(self, unit: Unit) -> bool:
        """Whether the unit's detector was fitted elsewhere."""
        return isinstance(self.detectors[unit.name], Detector)


@dataclass(frozen=True)
class _Prepared:
    dataset: Dataset
    extractor: FeatureExtractor
    windows: PreparedWindows
    fold: Fold
    explainer: Explainer


class Worker:
    """Works on units; keeps the windows of the latest fold, and of no other.

    Args:
        job: that the units belong to.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._prepared: _Prepared | None = None

    def work(self, unit: Unit) -> None:
        """Fit and judge one detector in one fold, and keep what was found.

        What does not suit a detector is kept as the reason why it has no numbers.

        Raises:
            DataError: the fold has too little data, or the detector in focus cannot be used.
        """
        with one_thread():
            prepared = self._prepare(unit.fold)
        found: Part | Refused
        try:
            found = self._judge(unit, prepared)
            if isinstance(found, Refused) and unit.name == self.job.focus:
                raise DataError(f"{unit.name} is refused: {found.reason}")
        except SystemExit as stopped:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from stopped
        except (DataError, TrainingError) as error:
            if unit.name == self.job.focus:
                if len(self.job.folds) == 1:
                    raise
                raise DataError(f"{unit}: {error}") from error
            found = Refused(unit.name, unit.fold, unit.seed, str(error))
        write_part(self.job.folder, unit.place, found)

    def _prepare(self, number: int) -> _Prepared:
        """The windows of a fold, made once."""
        if self._prepared is not None and self._prepared.fold.number == number:
            return self._prepared
        self._prepared = None  # two folds at once may be too much
        job = self.job
        try:
            dataset = in_fold(job.dataset, job.folds[number])
            extractor = job.features(dataset.train_events)
            windows = prepare(dataset, extractor)
            if job.change is not None:
                windows = job.change(windows)
        except DataError as error:
            if len(job.folds) == 1:
                raise
            raise DataError(f"fold {number + 1}: {error}") from error
        fold = Fold.of(number, windows)
        counts, new = extractor.vocabulary.counts, job.scoring.learning_windows
        explainer = Explainer.fit(windows.train, counts, new)
        self._prepared = _Prepared(dataset, extractor, windows, fold, explainer)
        return self._prepared

    def _judge(self, unit: Unit, prepared: _Prepared) -> Part | Refused:
        job, windows = self.job, prepared.windows
        given = job.detectors[unit.name]
        if isinstance(given, Detector):
            # in the threads it was fitted in, so that its scores are the same to the last bit
            fitted = Fitted(job.fit_seconds.get(unit.name))
            return self._measure(unit, prepared, given, fitted)
        with one_thread(), randomness_restored():
            # nothing that came before in this process may have a say
            torch.manual_seed(unit.seed)
            detector = given(unit.seed)
            return self._measure(unit, prepared, detector, job.fit(unit.name, detector, windows))

    def _measure(
        self, unit: Unit, prepared: _Prepared, detector: Detector, fitted: Fitted
    ) -> Part | Refused:
        job, windows = self.job, prepared.windows
        evaluation = evaluate_detector(
            unit.name, detector, windows, job.rule, fitted.seconds, job.scoring, job.audit
        )
        findings = list(evaluation.findings)
        for check in job.checks:
            findings += check(evaluation, detector, windows)
        evaluation = replace(evaluation, fold=unit.fold, seed=unit.seed, findings=tuple(findings))
        if evaluation.refused:
            return Refused(unit.name, unit.fold, unit.seed, evaluation.refused, evaluation.findings)
        alerts = events = None
        if unit.name == job.focus and unit.seed == job.explained:
            alerts, events = alerts_and_events(
                evaluation,
                detector,
                prepared.explainer,
                windows,
                prepared.dataset,
                prepared.extractor,
            )
        return Part(
            evaluation,
            prepared.fold,
            len(windows.train.spec),
            windows.unknown_action_rate,
            alerts,
            events,
            fitted.epochs,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums come out in one order, however many cores and processes there are."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)  # Lightning leaves it as it likes


def check_name(name: str) -> str:
    """A name that may stand in tables and name files.

    Raises:
        ConfigError: it may not.
    """
    if not name or not name.isprintable() or len(name) > 80:
        raise ConfigError(f"{name!r} cannot be the name of a detector")
    return name
