"""Train, calibration and test in order of time; nothing random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.redaction import shown
from riskml.core.schema import time_span

PERIOD = "period"
MINUTE = "%Y-%m-%d %H:%M"
TRAIN, CALIBRATION, TEST = "train", "calibration", "test"
PERIODS = pl.Enum([TRAIN, CALIBRATION, TEST])
WARM_UP, GAP = "warm-up", "gap"
FOLD_PERIODS = pl.Enum([WARM_UP, TRAIN, CALIBRATION, GAP, TEST])
"""Of a fold of a backtest, in order of time."""
A_DAY = timedelta(days=1)


class Split(Protocol):
    """A rule that gives every event its period."""

    over_time: bool
    """Whether the periods are cuts in time, so that others may be cut as well."""

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `period`: train < calibration < test."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Columns of the log that the rule reads beside the event schema."""
        ...


class TimeSplit:
    """Two cuts in time.

    Args:
        test: the end of the log is for test; below 1 a share of its time span, from 1 on days.
        calibration: what lies before the test, likewise; it sets risk scale and threshold.

    Raises:
        ConfigError: one of them is no length, or nothing would be left to train on.
    """

    over_time = True

    def __init__(self, test: float = 0.3, calibration: float = 0.15) -> None:
        shares = [length for length in (test, calibration) if length < 1]
        for name, length in (("test", test), ("calibration", calibration)):
            rule = "must be at least 0: a share of the log below 1, or days"
            require(f"data.split.{name}", length, 0 <= length < math.inf, rule)
        if sum(shares) >= 1:
            raise ConfigError(
                f"data.split: test={test} and calibration={calibration} leave nothing to train on; "
                "give shares below 1 that sum to less than 1, or days"
            )
        self.test, self.calibration = test, calibration

    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `period`; cuts fall on midnight UTC where the log spans a week or more.

        Raises:
            DataError: a period has no events.
        """
        first, last = time_span(events["timestamp"], events["timestamp"])
        test_from = self._cut(last - self._length(self.test, last - first), first, last)
        calibration_from = self._cut(
            test_from - self._length(self.calibration, last - first), first, last
        )
        period = (
            pl.when(pl.col("timestamp") < calibration_from)
            .then(pl.lit(TRAIN))
            .when(pl.col("timestamp") < test_from)
            .then(pl.lit(CALIBRATION))
            .otherwise(pl.lit(TEST))
        )
        return checked_periods(
            events.with_columns(period.cast(PERIODS).alias(PERIOD)),
            f"calibration from {calibration_from:{MINUTE}}, test from {test_from:{MINUTE}}",
        )

    @staticmethod
    def _length(value: float, span: timedelta) -> timedelta:
        return span * value if value < 1 else timedelta(days=float(value))

    @staticmethod
    def _cut(instant: datetime, first: datetime, last: datetime) -> datetime:
        if last - first < timedelta(days=7):
            return instant
        return nearest_midnight(instant)


@dataclass(frozen=True)
class FoldPeriods:
    """The periods of one fold of a backtest; cuts fall on midnight UTC.

    Events before `train_from` and in the gap teach what grows (profiles), nothing else; events
    from `test_until` on do not exist yet.

    Args:
        train_from: None for the beginning of the log.
        calibration_from, calibration_until: the calibration period.
        test_from: later than `calibration_until` where there is a gap.
        test_until: None for the end of the log.
    """

    train_from: datetime | None
    calibration_from: datetime
    calibration_until: datetime
    test_from: datetime
    test_until: datetime | None = None
    over_time: ClassVar[bool] = True

    @property
    def has_gap(self) -> bool:
        """Whether days between calibration and test are in neither."""
        return self.calibration_until < self.test_from

    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events before `test_until` with their `period`, one of `FOLD_PERIODS`.

        Raises:
            DataError: train, calibration or test has no events.
        """
        time = pl.col("timestamp")
        if self.test_until is not None:
            events = events.filter(time < self.test_until)
        warm_up = pl.lit(False) if self.train_from is None else time < self.train_from
        period = (
            pl.when(warm_up)
            .then(pl.lit(WARM_UP))
            .when(time < self.calibration_from)
            .then(pl.lit(TRAIN))
            .when(time < self.calibration_until)
            .then(pl.lit(CALIBRATION))
            .when(time < self.test_from)
            .then(pl.lit(GAP))
            .otherwise(pl.lit(TEST))
        )
        return checked_periods(
            events.with_columns(period.cast(FOLD_PERIODS).alias(PERIOD)), str(self), "backtest"
        )

    def __str__(self) -> str:
        begin = "" if self.train_from is None else f"train from {self.train_from:{MINUTE}}, "
        end = "" if self.test_until is None else f" until {self.test_until:{MINUTE}}"
        return (
            f"{begin}calibration from {self.calibration_from:{MINUTE}}, "
            f"test from {self.test_from:{MINUTE}}{end}"
        )


class ColumnSplit:
    """A column of the log says `train` or `test`, as a published protocol does.

    Args:
        column: its name.
        calibration: share of each user's train events, the latest, that is kept for calibration.
    """

    over_time = False

    def __init__(self, column: str = "split", calibration: float = 0.2) -> None:
        if not 0 < calibration < 1:
            raise ConfigError(f"data.split.calibration={calibration} must lie between 0 and 1")
        self.column, self.calibration = column, calibration

    def columns(self) -> tuple[str, ...]:
        """The column that says so."""
        return (self.column,)

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `period`.

        Raises:
            DataError: the column is missing, holds other values, or a period has no events.
        """
        if self.column not in events.columns:
            raise DataError(
                f"the log has no column '{self.column}' (data.split.column): "
                f"{did_you_mean(self.column, events.columns)}"
            )
        odd = set(events[self.column].unique().to_list()) - {TRAIN, TEST}
        if odd:
            raise DataError(
                f"column '{self.column}' must hold 'train' or 'test', "
                f"not {shown(sorted(map(str, odd))[:3])}"
            )
        is_train = pl.col(self.column) == TRAIN
        place = is_train.cum_sum().over("user_id")
        early = place <= is_train.sum().over("user_id") * (1 - self.calibration) + 1e-9
        period = (
            pl.when(~is_train)
            .then(pl.lit(TEST))
            .when(early)
            .then(pl.lit(TRAIN))
            .otherwise(pl.lit(CALIBRATION))
        )
        return checked_periods(
            events.with_columns(period.cast(PERIODS).alias(PERIOD)), f"by column '{self.column}'"
        )


def nearest_midnight(instant: datetime) -> datetime:
    """Of the two around it; noon goes back.

    >>> nearest_midnight(datetime(2024, 3, 4, 12, 1))
    datetime.datetime(2024, 3, 5, 0, 0)
    """
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + A_DAY if instant - midnight > A_DAY / 2 else midnight


def checked_periods(events: pl.DataFrame, cuts: str, setting: str = "data.split") -> pl.DataFrame:
    """The events, if each period has some.

    Args:
        events: with their `period`.
        cuts: where the periods begin, in words.
        setting: what to change where one has none.

    Raises:
        DataError: a period has no events.
    """
    counts = dict(events.group_by(PERIOD).len().iter_rows())
    for period in PERIODS.categories.to_list():
        if not counts.get(period):
            spans = ", ".join(f"{name} {counts.get(name, 0):,}" for name in PERIODS.categories)
            raise DataError(
                f"the {period} period has no events ({cuts}; events: {spans}); "
                f"change {setting} or give a longer log"
            )
    return events
