"""Train, calibration and test in order of time; nothing random."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean
from riskml.core.redaction import shown
from riskml.core.schema import time_span

PERIOD = "period"
MINUTE = "%Y-%m-%d %H:%M"
TRAIN, CALIBRATION, TEST = "train", "calibration", "test"
PERIODS = pl.Enum([TRAIN, CALIBRATION, TEST])


class Split(Protocol):
    """A rule that gives every event its period."""

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
        ConfigError: nothing would be left to train on.
    """

    def __init__(self, test: float = 0.3, calibration: float = 0.15) -> None:
        shares = [length for length in (test, calibration) if length < 1]
        if min(test, calibration) < 0 or sum(shares) >= 1:
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
        return _checked(
            events.with_columns(period.cast(PERIODS).alias(PERIOD)),
            f"calibration from {calibration_from:{MINUTE}}, test from {test_from:{MINUTE}}",
        )

    @staticmethod
    def _length(value: float, span: timedelta) -> timedelta:
        return span * value if value < 1 else timedelta(days=value)

    @staticmethod
    def _cut(instant: datetime, first: datetime, last: datetime) -> datetime:
        if last - first < timedelta(days=7):
            return instant
        midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
        return (
            midnight + timedelta(days=1) if instant - midnight > timedelta(hours=12) else midnight
        )


class ColumnSplit:
    """A column of the log says `train` or `test`, as a published protocol does.

    Args:
        column: its name.
        calibration: share of each user's train events, the latest, that is kept for calibration.
    """

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
        return _checked(
            events.with_columns(period.cast(PERIODS).alias(PERIOD)), f"by column '{self.column}'"
        )


def _checked(events: pl.DataFrame, cuts: str) -> pl.DataFrame:
    counts = dict(events.group_by(PERIOD).len().iter_rows())
    for period in PERIODS.categories.to_list():
        if not counts.get(period):
            spans = ", ".join(f"{name} {counts.get(name, 0):,}" for name in PERIODS.categories)
            raise DataError(
                f"the {period} period has no events ({cuts}; events: {spans}); "
                "change data.split or give a longer log"
            )
    return events
