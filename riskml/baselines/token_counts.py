"""Actions of windows one after the other, and how often each was met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.types import PAD, Windows

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """The events of windows, one after the other: int64 arrays [z].

    Args:
        row, place: which window, and where in it.
        user: number of its user, −1 for who is not known from training.
        action: token id.
        before: token id of the event before it in the window, PAD for the first.
    """

    row: Int64
    place: Int64
    user: Int64
    action: Int64
    before: Int64

    @classmethod
    def of(cls, windows: Windows, users: dict[str, int]) -> Events:
        """Of all windows in their order."""
        numbers = windows.keys["user_id"].replace_strict(users, default=-1, return_dtype=pl.Int64)
        lengths = windows.lengths.astype(np.int64)
        row = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        action = windows.tokens[row, place].astype(np.int64)
        before = np.where(place > 0, np.roll(action, 1), PAD)
        return cls(row, place, numbers.to_numpy()[row], action, before)


class Counts:
    """How often each of some keys was met.

    Args:
        keys: int64 [k], ascending, none below 0.
        counts: int64 [k].
    """

    def __init__(self, keys: Int64, counts: Int64) -> None:
        self.keys, self.counts, self.total = keys, counts, int(counts.sum())

    @classmethod
    def count(cls, keys: Int64) -> Counts:
        """Of keys in any order."""
        return cls(*np.unique(keys, return_counts=True))

    def __getitem__(self, keys: Int64) -> Float64:
        """Counts of these keys, 0 for what was never met."""
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: Float64 = np.where(self.keys[place] == keys, self.counts[place], 0).astype(float)
        return found
