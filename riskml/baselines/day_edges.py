"""What users did on which day, as edges from users to actions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from riskml.baselines.edge_sketches import Array, Float64, Int64, UInt64
from riskml.core.types import Windows
from riskml.features.hashing import hashed
from riskml.features.rows import begins


@dataclass(frozen=True)
class Edges:
    """Users and actions with how often they came together, arrays [m].

    Args:
        day: int64, days since 1970.
        row: int64, the window.
        user: uint64, its hash.
        action: int64, token id.
        count: float64.
    """

    day: Int64
    row: Int64
    user: UInt64
    action: Int64
    count: Float64

    @classmethod
    def of(cls, windows: Windows, day: Int64) -> tuple[Edges, Int64]:
        """Those of windows in their order, and of each event the number of its edge."""
        valid = np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]
        row = np.repeat(np.arange(len(windows)), windows.lengths)
        actions = len(windows.spec.actions)
        cell, of_event, count = np.unique(
            row * actions + windows.tokens[valid], return_inverse=True, return_counts=True
        )
        row, action = np.divmod(cell, actions)
        user = windows.keys.select(hashed("user_id")).to_series().to_numpy()
        return cls(day[row], row, user[row], action, count.astype(float)), of_event.ravel()

    def at(self, rows: Any) -> Edges:
        """Some of them."""
        return Edges(*(column[rows] for column in self.columns().values()))

    def columns(self) -> dict[str, Array]:
        """By name."""
        return {name: getattr(self, name) for name in NAMES}

    def with_more(self, more: Edges) -> Edges:
        """These and others."""
        both = zip(self.columns().values(), more.columns().values(), strict=True)
        return Edges(*(np.concatenate(pair) for pair in both))

    def of_days(self) -> Edges:
        """Summed over the windows of a day, in one order whatever theirs was."""
        each = self.at(np.lexsort((self.action, self.user, self.day)))
        first = np.flatnonzero(begins(each.day) | begins(each.user) | begins(each.action))
        count = np.add.reduceat(each.count, first) if len(first) else each.count
        return replace(each.at(first), row=np.zeros(len(first), np.int64), count=count)


NAMES = tuple(field.name for field in fields(Edges))


def by_day(day: Int64) -> Iterator[tuple[int, Int64]]:
    """Each day in order, and its rows."""
    order = np.argsort(day, kind="stable")
    first = np.flatnonzero(begins(day[order]))
    for rows in np.split(order, first[1:]) if len(order) else ():
        yield int(day[rows[0]]), rows
