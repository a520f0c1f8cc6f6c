"""When: hour and weekday of the user's own clock, the night, and hours unusual for the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import RARITY, SHARE, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Array, Columns, FeatureFamily, WindowEvents
from riskml.features.local_time import LOCAL_TIME
from riskml.features.profile import USER, Profile, upsert

HOURS = 24
_MINUTES = 1440
_TABLE = "time_of_day.hours"
_ROWS = 20_000


class TimeOfDayFeatures(FeatureFamily):
    """Mean direction of hour and weekday, events at night, weekends, and unusual hours.

    A mean direction does not tear midnight apart, and its length tells how concentrated the
    events are in the day. How unusual an hour is: the tail probability of the hour under the
    user's earlier windows, that is the share of all hours that are as rare or rarer.

    Args:
        prior_events: how many events everybody's hours weigh among the user's own.
    """

    name = "time_of_day"

    def __init__(self, prior_events: float = 50.0) -> None:
        require("features.families.time_of_day.prior_events", prior_events, prior_events > 0, "> 0")
        self.prior_events = prior_events
        self.everyone: Array = np.full(HOURS, 1 / HOURS)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"prior_events": self.prior_events}

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Learn everybody's hours."""
        counts = np.bincount(_hours(windows.events[LOCAL_TIME]), minlength=HOURS) + 1.0
        self.everyone = counts / counts.sum()

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """Nine columns."""
        cyclic, count, binary = FeatureKind.CYCLIC, FeatureKind.COUNT, FeatureKind.BINARY
        continuous = FeatureKind.CONTINUOUS
        return [
            Feature("hour_sin", self.name, cyclic, "middle of activity", "h", topic="hour"),
            Feature("hour_cos", self.name, cyclic, "middle of activity", "h", topic="hour"),
            Feature("weekday_sin", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("weekday_cos", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("night_events", self.name, count, "events between 00 and 06 h"),
            Feature(
                "night_share", self.name, continuous, "share of events between 00 and 06 h", SHARE
            ),
            Feature("weekend", self.name, binary, "activity at a weekend"),
            Feature(
                "rarest_hour",
                self.name,
                continuous,
                "rarity for this user of the oddest hour of activity",
                RARITY,
            ),
            Feature(
                "hour_rarity",
                self.name,
                continuous,
                "mean rarity for this user of the hours of activity",
                RARITY,
            ),
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, 9]."""
        clock = windows.events[LOCAL_TIME]
        minute = (clock.to_physical().to_numpy() // 60_000_000 % _MINUTES).astype(np.int64)
        hour = minute // 60
        weekday = clock.dt.weekday().to_numpy().astype(np.int64) - 1
        n = windows.counts
        day, week = (_circle(size) for size in (_MINUTES, 7))
        night = windows.sum(hour < 6)
        counts = np.bincount(windows.row * HOURS + hour, minlength=len(windows) * HOURS)
        counts = counts.reshape(len(windows), HOURS)
        rarity, profile = self._rarity(counts, windows, profile)
        x = np.column_stack(
            [
                windows.sum(day[0][minute]) / n,
                windows.sum(day[1][minute]) / n,
                windows.sum(week[0][weekday]) / n,
                windows.sum(week[1][weekday]) / n,
                night,
                night / n,
                windows.max(weekday) >= 5,
                rarity,
            ]
        )
        return x.astype(np.float32), profile

    def _rarity(
        self, counts: Array, windows: WindowEvents, profile: Profile
    ) -> tuple[Array, Profile]:
        """Largest and mean −log10 of the hours' tail probability, float [windows, 2]."""
        begins = windows.user_begins
        users = windows.keys[USER].gather(begins)
        known = self._known(profile, users)
        n_windows = np.diff(np.append(begins, len(windows)))
        total = np.cumsum(counts, axis=0)
        # what the user's windows before this one hold
        past = total - counts - np.repeat((total - counts)[begins] - known, n_windows, axis=0)
        rarity = np.empty((len(windows), 2))
        for at in range(0, len(windows), _ROWS):
            part = slice(at, at + _ROWS)
            share = past[part] + self.prior_events * self.everyone
            share /= share.sum(axis=1, keepdims=True)
            as_rare = share[:, None, :] <= share[:, :, None] * (1 + 1e-9)
            tail = np.einsum("nij,nj->ni", as_rare, share)
            surprise = -np.log10(np.clip(tail, 1e-12, 1))
            here = counts[part]
            rarity[part, 0] = np.where(here > 0, surprise, 0).max(axis=1)
            rarity[part, 1] = (surprise * here).sum(axis=1) / here.sum(axis=1)
        learnt = np.add.reduceat(counts * windows.closed[:, None], begins) + known
        table = pl.DataFrame(
            {USER: users, "hours": pl.Series(learnt.astype(np.uint32), dtype=_HOURS_TYPE)}
        )
        table = table.filter(pl.Series(learnt.sum(axis=1) > 0))
        table = upsert(profile.tables.get(_TABLE), table, [USER])
        return rarity, profile.with_table(_TABLE, table)

    def _known(self, profile: Profile, users: pl.Series) -> Array:
        table = profile.tables.get(_TABLE)
        if table is None:
            return np.zeros((len(users), HOURS), np.int64)
        known = users.to_frame(USER).join(table, on=USER, how="left", maintain_order="left")
        empty = pl.lit([0] * HOURS, dtype=_HOURS_TYPE)
        return known.select(pl.col("hours").fill_null(empty))["hours"].to_numpy().astype(np.int64)

    def arrays(self) -> dict[str, Array]:
        """Everybody's hours."""
        return {"everyone": self.everyone}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put them back."""
        if arrays["everyone"].shape != (HOURS,):
            raise ValueError("time_of_day.everyone must hold 24 shares")
        self.everyone = arrays["everyone"]


_HOURS_TYPE = pl.Array(pl.UInt32, HOURS)


def _hours(clock: pl.Series) -> Array:
    hours: Array = clock.to_physical().to_numpy() // 3_600_000_000 % HOURS
    return hours


def _circle(size: int) -> tuple[Array, Array]:
    angle = 2 * np.pi * np.arange(size) / size
    return np.sin(angle), np.cos(angle)
