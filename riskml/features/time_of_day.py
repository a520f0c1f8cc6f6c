"""When: hour and weekday of the user's own clock, as directions on a circle, and the night."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import FeatureFamily, per_window
from riskml.features.local_time import LOCAL_TIME


class TimeOfDayFeatures(FeatureFamily):
    """Mean direction of hour and weekday, events at night, and whether it was a weekend.

    A mean direction does not tear midnight apart, and its length tells how concentrated the
    events are in the day.
    """

    name = "time_of_day"

    def settings(self) -> dict[str, Any]:
        """Constructor arguments: none."""
        return {}

    def features(self, vocabulary: ActionVocabulary) -> list[Feature]:
        """Six columns."""
        cyclic, count, binary = FeatureKind.CYCLIC, FeatureKind.COUNT, FeatureKind.BINARY
        return [
            Feature("hour_sin", self.name, cyclic, "middle of activity", "h", topic="hour"),
            Feature("hour_cos", self.name, cyclic, "middle of activity", "h", topic="hour"),
            Feature("weekday_sin", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("weekday_cos", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("night_events", self.name, count, "events between 00 and 06 h"),
            Feature("weekend", self.name, binary, "activity at a weekend"),
        ]

    def transform(
        self, events: pl.DataFrame, keys: pl.DataFrame, vocabulary: ActionVocabulary
    ) -> FloatArray:
        """Float32 [len(keys), 6]."""
        clock = pl.col(LOCAL_TIME)
        hour = clock.dt.hour() + clock.dt.minute() / 60
        day_angle = hour * (2 * np.pi / 24)
        week_angle = (clock.dt.weekday() - 1).cast(pl.Float64) * (2 * np.pi / 7)
        return per_window(
            events,
            keys,
            day_angle.sin().mean().alias("hour_sin"),
            day_angle.cos().mean().alias("hour_cos"),
            week_angle.sin().mean().alias("weekday_sin"),
            week_angle.cos().mean().alias("weekday_cos"),
            (clock.dt.hour() < 6).sum().alias("night_events"),
            (clock.dt.weekday() >= 6).any().cast(pl.Int8).alias("weekend"),
        )
