"""When: hour and weekday of the user's own clock, the night, and hours unusual for the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import RARITY, SHARE, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents
from riskml.features.local_time import LOCAL_TIME
from riskml.features.profile import USER, Profile, upsert
from riskml.features.rows import Array, find, index, micros

HOURS = 24
WHEN = "hours of activity"
"""Aspect of the features that tell of the clock."""
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
            Feature("hour_sin", self.name, cyclic, "middle of activity", "h", "hour", WHEN),
            Feature("hour_cos", self.name, cyclic, "middle of activity", "h", "hour", WHEN),
            Feature("weekday_sin", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("weekday_cos", self.name, cyclic, "weekday", "d", topic="weekday"),
            Feature("night_events", self.name, count, "events between 00 and 06 h", aspect=WHEN),
            Feature(
                "night_share",
                self.name,
                continuous,
                "share of events between 00 and 06 h",
                SHARE,
                aspect=WHEN,
            ),
            Feature("weekend", self.name, binary, "activity at a weekend", aspect="weekday"),
            Feature(
                "rarest_hour",
                self.name,
                continuous,
                "rarity for this user of the oddest hour of activity",
                RARITY,
                aspect=WHEN,
            ),
            Feature(
                "hour_rarity",
                self.name,
                continuous,
                "mean rarity for this user of the hours of activity",
                RARITY,
                aspect=WHEN,
            ),
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, 9]."""
        clock = micros(windows.events[LOCAL_TIME])
        minute = clock // 60_000_000
        # 1970 began on a Thursday
        weekdays = _counts(windows, (minute // _MINUTES + 3) % 7, 7)
        minute %= _MINUTES
        hours = _counts(windows, minute // 60, HOURS)
        n = windows.counts
        day, week = (_circle(size) for size in (_MINUTES, 7))
        night = hours[:, :6].sum(axis=1)
        rarity, profile = self._rarity(hours, windows, profile)
        x = np.column_stack(
            [
                windows.sum(day[0][minute]) / n,
                windows.sum(day[1][minute]) / n,
                (weekdays * week[0]).sum(axis=1) / n,
                (weekdays * week[1]).sum(axis=1) / n,
                night,
                night / n,
                weekdays[:, 5:].any(axis=1),
                rarity,
            ]
        )
        return x.astype(np.float32), profile

    def _rarity(
        self, counts: Array, windows: WindowEvents, profile: Profile
    ) -> tuple[Array, Profile]:
        """Largest and mean −log10 of the hours' tail probability, float [windows, 2]."""
        begins = windows.user_begins
        users = windows.keys[USER].to_numpy()[begins]
        known = self._known(profile, users)
        n_windows = np.diff(np.append(begins, len(windows)))
        total = np.cumsum(counts, axis=0)
        # what the user's windows before this one hold
        past = total - counts - np.repeat((total - counts)[begins] - known, n_windows, axis=0)
        # only the hours of activity are asked about, few a window
        row, hour = np.nonzero(counts)
        surprise = np.empty(len(row))
        for at in range(0, len(row), _ROWS):
            part = slice(at, at + _ROWS)
            share = past[row[part]] + self.prior_events * self.everyone
            here = share[np.arange(len(share)), hour[part], None]
            tail = np.where(share <= here * (1 + 1e-9), share, 0).sum(axis=1) / share.sum(axis=1)
            surprise[part] = -np.log10(tail)
        first = np.searchsorted(row, np.arange(len(windows)))
        rarity = np.column_stack(
            [
                np.maximum.reduceat(surprise, first),
                np.add.reduceat(surprise * counts[row, hour], first) / windows.counts,
            ]
        )
        learnt = np.add.reduceat(counts * windows.closed[:, None], begins) + known
        # who has no window that is closed has taught nothing new
        taught = np.flatnonzero(learnt.sum(axis=1) > known.sum(axis=1))
        table = profile.tables.get(_TABLE)
        if table is not None and not len(taught):
            return rarity, profile
        hours = pl.Series(learnt[taught].astype(np.uint32), dtype=_HOURS_TYPE)
        rows = pl.DataFrame({USER: users[taught], "hours": hours})
        return rarity, profile.with_table(_TABLE, upsert(table, rows))

    def _known(self, profile: Profile, users: Array) -> Array:
        table = profile.tables.get(_TABLE)
        known = np.zeros((len(users), HOURS), np.int64)
        if table is not None:
            place = find(table[USER].to_numpy(), users)
            there = np.flatnonzero(place >= 0)
            known[there] = table["hours"][index(place[there])].to_numpy()
        return known

    def arrays(self) -> dict[str, Array]:
        """Everybody's hours."""
        return {"everyone": self.everyone}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put them back."""
        if arrays["everyone"].shape != (HOURS,):
            raise ValueError("time_of_day.everyone must hold 24 shares")
        self.everyone = arrays["everyone"]


def _counts(windows: WindowEvents, kind: Array, kinds: int) -> Array:
    """Events of each kind by window, [windows, kinds]."""
    cells = np.bincount(windows.row * kinds + kind, minlength=len(windows) * kinds)
    return cells.reshape(len(windows), kinds)


_HOURS_TYPE = pl.Array(pl.UInt32, HOURS)


def _hours(clock: pl.Series) -> Array:
    hours: Array = micros(clock) // 3_600_000_000 % HOURS
    return hours


def _circle(size: int) -> tuple[Array, Array]:
    angle = 2 * np.pi * np.arange(size) / size
    return np.sin(angle), np.cos(angle)
