"""Counts of very many keys in little memory, for edges that come too often (MIDAS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from riskml.core.errors import require

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

_MIX = np.uint64(0x9E3779B97F4A7C15)
MOST_SLOTS = 2**24


@dataclass(frozen=True)
class Sketch:
    """Where the counts of keys stand: a count-min sketch (Cormode & Muthukrishnan 2005).

    A key has a place in each row, which it may share with others: the least of its counts is the
    nearest to the truth, and never too low.

    Args:
        rows: hash functions.
        slots: places of each; a power of two.
        seed: of the hash functions.

    Raises:
        ConfigError: a number is out of range.
    """

    rows: int
    slots: int
    seed: int

    def __post_init__(self) -> None:
        require("rows", self.rows, self.rows >= 1, "must be at least 1")
        fits = 2 <= self.slots <= MOST_SLOTS and self.slots & (self.slots - 1) == 0
        require("slots", self.slots, fits, f"must be a power of two up to {MOST_SLOTS}")
        require("seed", self.seed, self.seed >= 0, "must be 0 or more")

    def table(self, kinds: int) -> Float64:
        """Zeros of so many kinds of keys, [kinds × rows × slots]."""
        return np.zeros(kinds * self.rows * self.slots)

    def places(self, *keys: UInt64) -> Int64:
        """Of each key in the table of its kind, [kinds × rows, n], by multiply-shift hashing."""
        raw = np.random.PCG64(self.seed).random_raw(2 * len(keys) * self.rows)
        factor, summand = raw.reshape(2, len(keys), self.rows)
        shift = np.uint64(64 - (self.slots.bit_length() - 1))
        found = np.empty((len(keys) * self.rows, len(keys[0])), np.int64)
        for kind, key in enumerate(keys):
            for row in range(self.rows):
                hashed = key * (factor[kind, row] | np.uint64(1)) + summand[kind, row]
                number = kind * self.rows + row
                found[number] = (hashed >> shift).view(np.int64) + number * self.slots
        return found

    def least(self, counts: Float64) -> Float64:
        """Of counts at places [kinds × rows, n] the least of each key, [kinds, n]."""
        by_kind = counts.reshape(-1, self.rows, counts.shape[1])
        found: Float64 = by_kind[:, 0] if self.rows == 1 else by_kind.min(1)
        return found


def mixed(numbers: Array) -> UInt64:
    """Whole numbers as keys: neighbours come to lie far apart."""
    key = numbers.astype(np.uint64) * _MIX
    key ^= key >> np.uint64(29)
    return key


def joined(source: UInt64, destination: UInt64) -> UInt64:
    """The keys of edges; the other way round is another edge."""
    turned = (source << np.uint64(21)) | (source >> np.uint64(43))
    key: UInt64 = (turned ^ destination) * _MIX
    return key


def surprise(now: Float64, total: Float64, tick: int) -> Float64:
    """How far counts of this tick lie from their mean over all ticks: the paper's chi-squared.

    Args:
        now: of this tick.
        total: of all ticks with this one.
        tick: how many those are; nothing is known in the first.
    """
    if tick == 1:
        return np.zeros_like(now)
    found: Float64 = np.square(now * tick - total) / (np.maximum(total, 1e-12) * (tick - 1))
    return found
