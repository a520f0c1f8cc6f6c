"""Against the user's own past: percentile and change among the windows of the last 30 days."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import DataError, require
from riskml.core.types import LOG_RATIO, RANK, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import (
    Columns,
    FeatureFamily,
    WindowEvents,
    count_columns,
    slices,
    total_columns,
)
from riskml.features.profile import USER, Profile, upsert
from riskml.features.rows import Array, begins, index, instants, micros, ranges, rows_of

_TABLE = "history.windows"
_DAY = 86_400_000_000


class HistoryFeatures(FeatureFamily):
    """How a window compares with the user's windows before it.

    Args:
        days: how far back.
        short_days: the recent past, against all of it.
        max_windows: at most so many windows are remembered of a user.
        percentiles: whether the rank of each total among them is told too.
        actions: whether the counts of single actions are compared too.
    """

    name = "history"

    def __init__(
        self,
        days: float = 30.0,
        short_days: float = 7.0,
        max_windows: int = 200,
        percentiles: bool = True,
        actions: bool = False,
    ) -> None:
        setting = "features.families.history"
        require(f"{setting}.days", days, days > 0, "must be positive")
        fits = 0 < short_days <= days
        require(f"{setting}.short_days", short_days, fits, "must be positive and within days")
        require(f"{setting}.max_windows", max_windows, max_windows >= 1, "must be at least 1")
        self.days, self.short_days = days, short_days
        self.max_windows, self.percentiles, self.actions = max_windows, percentiles, actions

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "days": self.days,
            "short_days": self.short_days,
            "max_windows": self.max_windows,
            "percentiles": self.percentiles,
            "actions": self.actions,
        }

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """Percentiles of totals, changes of counts, the trend, and the time since."""
        continuous = FeatureKind.CONTINUOUS
        percentiles = [
            Feature(
                f"percentile_{before[i].name}",
                self.name,
                continuous,
                f"{before[i].meaning}: rank among own windows of the last {self.days:g} days",
                RANK,
                aspect=before[i].aspect,
            )
            for i in self._ranked(before)
        ]
        changes = [
            Feature(
                f"change_{before[i].name}",
                self.name,
                continuous,
                f"{before[i].meaning} against the own mean of {self.days:g} days",
                LOG_RATIO,
                aspect=before[i].aspect,
            )
            for i in self._compared(before)
        ]
        return [
            *percentiles,
            *changes,
            Feature(
                "trend_events",
                self.name,
                continuous,
                f"events a day in the last {self.short_days:g} days against those in the last "
                f"{self.days:g}",
                LOG_RATIO,
            ),
            Feature("idle_hours", self.name, FeatureKind.COUNT, "time since the last window", "h"),
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, features]."""
        compared = self._compared(before.features)
        ranked = [compared.index(i) for i in self._ranked(before.features)]
        memory = _Memory(windows, before.x[:, compared], profile.tables.get(_TABLE))
        since = self._since(memory, self.days)
        mean, n = memory.mean(since)
        change = np.log1p(memory.values[memory.here]) - np.log1p(mean)
        change[n == 0] = 0
        x = np.column_stack(
            [
                memory.percentile(since, ranked),
                change,
                self._trend(memory, since, mean[:, 0] * n),
                memory.idle() // (3600 * 1_000_000),
            ]
        )
        return x.astype(np.float32), profile.with_table(
            _TABLE, memory.after(profile.tables.get(_TABLE), self.days, self.max_windows)
        )

    def _compared(self, features: list[Feature]) -> list[int]:
        return count_columns(features) if self.actions else total_columns(features)

    def _ranked(self, features: list[Feature]) -> list[int]:
        return total_columns(features) if self.percentiles else []

    def _since(self, memory: _Memory, days: float) -> Array:
        """First remembered row within so many days of each window, and of the same user."""
        return np.maximum(memory.since(days), memory.here - self.max_windows)

    def _trend(self, memory: _Memory, since: Array, events: Array) -> Array:
        """Events a day in the short past against the long one, as a log ratio."""
        mean, n = memory.mean(self._since(memory, self.short_days))
        known = np.minimum(memory.known_days(since), self.days)
        short = mean[:, 0] * n / np.clip(known, 1, self.short_days)
        trend: Array = np.log1p(short) - np.log1p(events / np.clip(known, 1, self.days))
        return trend


class _Memory:
    """The remembered windows of the users at hand, followed by the new ones, by user.

    Attributes:
        values: float64 [rows, counts].
        here: rows of the new windows, in their order.
    """

    def __init__(self, windows: WindowEvents, counts: FloatArray, table: pl.DataFrame | None):
        first = windows.user_begins
        self.users = windows.keys[USER].to_numpy()[first]
        user = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(windows))))
        start, end = (micros(windows.keys[name]) for name in ("start", "end"))
        closed, values = windows.closed, counts.astype(np.float64)
        if table is not None and len(table):
            if table["values"].dtype.shape != (counts.shape[1],):  # type: ignore[attr-defined]
                raise DataError("the profile was made with other features: begin with a new one")
            past = table[index(rows_of(table[USER].to_numpy(), self.users))]
            of_past = np.searchsorted(self.users, past[USER].to_numpy())
            user = np.concatenate([of_past, user])
            start = np.concatenate([micros(past["start"]), start])
            end = np.concatenate([micros(past["end"]), end])
            closed = np.concatenate([np.ones(len(past), bool), closed])
            values = np.concatenate([past["values"].to_numpy().astype(np.float64), values])
        order = np.argsort(user, kind="stable")
        self.user, self.start, self.end = user[order], start[order], end[order]
        self.closed, self.values = closed[order], values[order]
        self.here = np.flatnonzero(order >= len(order) - len(windows))
        self.begin = np.flatnonzero(begins(self.user))[self.user]
        self._sums = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(self.values, axis=0)])

    def since(self, days: float) -> Array:
        """The first row of the same user that ended at most `days` before each new window did.

        Rows stand in order of their ends, not of their starts: named sessions overlap.
        """
        first = int(self.end.min())
        span = int(self.end.max()) - first + 1
        found = np.empty(len(self.here), np.int64)
        # one sorted axis for many users: their times side by side, as far as 64 bits reach
        users = max(2**62 // span, 1)
        for least in range(0, len(self.users), users):
            low, high = np.searchsorted(self.user, [least, least + users])
            axis = (self.user[low:high] - least) * span + (self.end[low:high] - first)
            asked = slice(*np.searchsorted(self.here, [low, high]))
            wanted = axis[self.here[asked] - low] - min(round(days * _DAY), span)
            found[asked] = low + np.searchsorted(axis, wanted)
        return np.maximum(found, self.begin[self.here])

    def mean(self, since: Array) -> tuple[Array, Array]:
        """Mean of the rows from `since` up to each new window, and their number."""
        n = self.here - since
        total = self._sums[self.here] - self._sums[since]
        return total / np.maximum(n, 1)[:, None], n

    def percentile(self, since: Array, columns: list[int]) -> Array:
        """Share of the rows from `since` that are below each new window, ties half; 0.5 of none."""
        values = np.ascontiguousarray(self.values[:, columns].T.astype(np.float32))
        n = self.here - since
        twice = np.zeros((len(columns), len(n)), np.int32)
        asked = np.flatnonzero(n)
        for part in slices(np.append(0, np.cumsum(n[asked]))):
            window = asked[part]
            counts = n[window]
            then = values[:, ranges(since[window], counts)]
            now = np.repeat(values[:, self.here[window]], counts, axis=1)
            below = (then < now).view(np.int8) + (then <= now).view(np.int8)
            first = np.cumsum(counts) - counts
            twice[:, window] = np.add.reduceat(below, first, axis=1, dtype=np.int32)
        share: Array = np.where(n > 0, 0.5 / np.maximum(n, 1), 0)[:, None] * twice.T
        share[n == 0] = 0.5
        return share

    def known_days(self, since: Array) -> Array:
        """Days from the first row counted to each new window."""
        days: Array = (self.start[self.here] - self.start[since]) / _DAY
        return days

    def idle(self) -> Array:
        """Microseconds from the end of the window before, 0 for a user's first."""
        before = np.maximum(self.here - 1, 0)
        same = self.here > self.begin[self.here]
        silence = np.where(same, self.start[self.here] - self.end[before], 0)
        at_least_none: Array = np.maximum(silence, 0)
        return at_least_none

    def after(self, table: pl.DataFrame | None, days: float, max_windows: int) -> pl.DataFrame:
        """The closed windows that a later one may still be compared with, of all users."""
        if table is not None and not self.closed[self.here].any():
            return table
        taught = np.zeros(len(self.users), bool)
        taught[self.user[self.here[self.closed[self.here]]]] = True
        rows = np.flatnonzero(self.closed & taught[self.user])
        user = self.user[rows]
        first = np.flatnonzero(begins(user))
        last = np.append(first[1:], len(rows))[: len(first)] - 1
        n = np.diff(np.append(first, len(rows)))
        latest, left = (np.repeat(of, n) for of in (self.end[rows][last], last))
        fresh = self.end[rows] >= latest - round(days * _DAY)
        keep = rows[fresh & (left - np.arange(len(rows)) < max_windows)]
        kind = pl.Array(pl.Float32, self.values.shape[1])
        mine = pl.DataFrame(
            {
                USER: self.users[self.user[keep]],
                "start": instants(self.start[keep]),
                "end": instants(self.end[keep]),
                "values": pl.Series(self.values[keep].astype(np.float32), dtype=kind),
            }
        )
        return upsert(table, mine)
