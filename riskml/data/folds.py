"""Which folds a backtest has: the split of the data, or periods that move over the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from riskml.core.errors import ConfigError, DataError, require
from riskml.core.schema import time_span
from riskml.data.datasets import Dataset
from riskml.data.splits import MINUTE, FoldPeriods, nearest_midnight


class Folds(ABC):
    """A rule that makes folds. All of them come in order of time."""

    workers: int
    """Processes that work on the folds."""

    @abstractmethod
    def plan(self, dataset: Dataset) -> tuple[FoldPeriods | None, ...]:
        """The periods of each fold; None: those that the data set has.

        Raises:
            ConfigError: the log has a published protocol.
            DataError: the log is too short for one fold.
        """

    @property
    def moves(self) -> bool:
        """Whether the periods are other ones than those of the data set."""
        return True


def in_fold(dataset: Dataset, periods: FoldPeriods | None) -> Dataset:
    """The data set cut into the periods of a fold."""
    return dataset if periods is None else dataset.in_fold(periods)


@dataclass(frozen=True)
class SingleFold(Folds):
    """The split of the data set (`data.split`), as it is.

    Args:
        workers: processes.
    """

    workers: int = 1

    def __post_init__(self) -> None:
        _check_workers(self.workers)

    @property
    def moves(self) -> bool:
        """No."""
        return False

    def plan(self, dataset: Dataset) -> tuple[None]:
        """One fold."""
        return (None,)


@dataclass(frozen=True)
class RollingFolds(Folds):
    """Periods of fixed length that move towards the end of the log, where the last fold ends.

    Cuts fall on midnight UTC. What is before a train period makes users known and is not learnt
    from.

    Args:
        train_days: length of the train period.
        calibration_days: length of the calibration period after it.
        test_days: length of the test period after that.
        step_days: how far the next fold is; as long as the test period unless given. A shorter
            step would test windows twice, as if they were more.
        gap_days: days between calibration and test, which are in neither.
        folds: at most so many, the latest; None for as many as the log holds.
        workers: processes.

    Raises:
        ConfigError: a length is impossible.
    """

    train_days: int
    calibration_days: int
    test_days: int
    step_days: int | None = None
    gap_days: int = 0
    folds: int | None = None
    workers: int = 1
    expanding: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("train_days", "calibration_days", "test_days"):
            value = getattr(self, name)
            require(f"backtest.{name}", value, _whole(value), "must be whole days")
            require(f"backtest.{name}", value, value >= 1, "must be at least 1 day")
        gap = self.gap_days
        require("backtest.gap_days", gap, _whole(gap), "must be whole days, or 0")
        require("backtest.gap_days", gap, gap >= 0, "must be at least 0; 0 leaves no gap")
        step, test = self.step_days, self.test_days
        fits = step is None or (_whole(step) and step >= test)
        rule = f"must be whole days and at least test_days={test}: no window is tested twice"
        require("backtest.step_days", step, fits, rule)
        fits = self.folds is None or self.folds >= 1
        require("backtest.folds", self.folds, fits, "must be at least 1")
        _check_workers(self.workers)

    def plan(self, dataset: Dataset) -> tuple[FoldPeriods, ...]:
        """The folds that the log holds, the last of which ends with it."""
        if not dataset.over_time:
            raise ConfigError(
                "backtest: this log is split by a column, as its published protocol says, and has "
                "no other folds; choose backtest=single"
            )
        time = dataset.events["timestamp"]
        first, last = time_span(time, time)
        begin, end = nearest_midnight(first), nearest_midnight(last)
        days = (end - begin).days
        needed = self.train_days + self.calibration_days + self.gap_days + self.test_days
        if days < needed:
            raise DataError(
                f"the log has {days} days ({first:{MINUTE}} to {last:{MINUTE}}) and one fold needs "
                f"{needed}: backtest.train_days={self.train_days} + calibration_days="
                f"{self.calibration_days} + gap_days={self.gap_days} + test_days={self.test_days}; "
                "shorten them or give a longer log"
            )
        step = timedelta(days=self.step_days or self.test_days)
        count = 1 + timedelta(days=days - needed) // step
        count = min(count, self.folds or count)
        ends = [end - step * later for later in reversed(range(count))]
        return tuple(self._periods(begin, until, until == end) for until in ends)

    def _periods(self, begin: datetime, until: datetime, is_last: bool) -> FoldPeriods:
        test_from = until - timedelta(days=self.test_days)
        calibration_until = test_from - timedelta(days=self.gap_days)
        calibration_from = calibration_until - timedelta(days=self.calibration_days)
        train_from = calibration_from - timedelta(days=self.train_days)
        return FoldPeriods(
            # the hours before the first midnight are for train too
            None if self.expanding or train_from <= begin else train_from,
            calibration_from,
            calibration_until,
            test_from,
            None if is_last else until,
        )


@dataclass(frozen=True)
class ExpandingFolds(RollingFolds):
    """As `RollingFolds`, but every train period begins with the log.

    Args:
        train_days: length of the first fold's train period, at least.
        calibration_days, test_days, step_days, gap_days, folds, workers: as of `RollingFolds`.
    """

    expanding: ClassVar[bool] = True


def _whole(value: float) -> bool:
    return float(value).is_integer()


def _check_workers(workers: int) -> None:
    require("backtest.workers", workers, workers >= 1, "must be at least 1")
