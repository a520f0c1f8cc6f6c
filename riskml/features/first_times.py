"""When peer groups, and everybody, first met a name: what users share.

A first time is a minimum, which comes out the same in any order of events, users and parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from riskml.features.rows import Array, begins, find

FIRST = "novelty.first"
"""The table: `KEYS`, and `first` in microseconds."""

KEYS = ("group", "column", "slot")
EVERYBODY = -1
MOST_GROUPS = 2**24 - 1


@dataclass(frozen=True)
class FirstTimes:
    """A table of first times with its keys as one number.

    Attributes:
        key: uint64, rising (see `packed`).
        time: int64 microseconds, the first time of each.
    """

    key: Array
    time: Array

    @classmethod
    def of(cls, table: pl.DataFrame | None) -> FirstTimes:
        """Those of a table, whose rows may stand in any order."""
        if table is None:
            return cls(np.zeros(0, np.uint64), np.zeros(0, np.int64))
        key, time = packed(*(table[name].to_numpy() for name in KEYS)), table["first"].to_numpy()
        if (key[1:] > key[:-1]).all():
            return cls(key, time)
        return cls.least(key, time)

    @classmethod
    def least(cls, key: Array, time: Array) -> FirstTimes:
        """The first of the times of each key."""
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(begins(key[order]))
        least = np.minimum.reduceat(time[order], first) if len(first) else time
        return cls(key[order][first], least)

    def merged(self, other: FirstTimes) -> FirstTimes:
        """The earlier of the times of both."""
        both = np.concatenate([self.key, other.key]), np.concatenate([self.time, other.time])
        return FirstTimes.least(*both)

    def at(self, key: Array) -> Array:
        """The times of keys that are there."""
        found: Array = self.time[find(self.key, key)]
        return found

    def table(self) -> pl.DataFrame:
        """Columns of `KEYS` and `first`, in their order."""
        return pl.DataFrame(
            {
                "group": (self.key >> np.uint64(40)).astype(np.int32) - np.int32(1),
                "column": (self.key >> np.uint64(32)).astype(np.uint8),
                "slot": self.key.astype(np.uint32),
                "first": self.time,
            }
        )


def packed(group: Array, column: Array, slot: Array) -> Array:
    """Group, column and slot as one number: 24, 8 and 32 bits. A group may be −1: everybody."""
    high = (group.astype(np.int64) + 1).astype(np.uint64) << np.uint64(40)
    packed: Array = high | column.astype(np.uint64) << np.uint64(32) | slot.astype(np.uint64)
    return packed


def earliest(mine: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The rows of both tables, the earlier where both have one."""
    return FirstTimes.of(mine).merged(FirstTimes.of(other)).table()
