"""What a model that learns while it scores is made of: the rows of late that were not odd.

It is a set, and nothing else: whatever the order and the batches in which rows come, the same rows
give the same model. So batch and stream agree, a state can be saved, and a run that was cut short
goes on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lessons:
    """Rows, those of the newest block first, those of a block by chance.

    Args:
        block: int64 [m], when each came: a row is judged by what came some blocks before its own.
        tie: int64 [m], a number made of the row, by which those of a block are drawn.
        score: float32 [m], as each was judged when it came.
        x: float32 [m, d].
    """

    block: Int64
    tie: Int64
    score: FloatArray
    x: FloatArray

    @classmethod
    def of(cls, block: Int64, x: FloatArray, score: FloatArray) -> Self:
        """Rows in any order."""
        return cls(block, _ties(x), score, x)._sorted()

    @classmethod
    def none(cls, width: int) -> Self:
        """No rows of so many columns."""
        number = np.zeros(0, np.int64)
        return cls(number, number, np.zeros(0, np.float32), np.zeros((0, width), np.float32))

    def with_more(self, more: Lessons, most: int, lag: int) -> Self:
        """These and others, less those that are of no more use.

        Args:
            more: that came later, or at the same time.
            most: rows that a model is made of.
            lag: blocks before its own by which a row is judged; one that comes as many blocks too
                late is still judged as if it had come in time.
        """
        both = zip(self._columns(), more._columns(), strict=True)
        whole = type(self)(*(np.concatenate(pair) for pair in both))._sorted()
        if not len(whole.block):
            return whole
        old = whole.block <= whole.block[0] - 2 * lag
        first = np.searchsorted(-whole.block, -whole.block)
        place = np.arange(len(whole.block))
        return whole._at((place - np.where(old, np.argmax(old), first)) < most)

    def newest(self, most: int) -> Self:
        """So many rows at most."""
        return self._at(slice(most))

    def until(self, block: int, most: int, quarantine: float) -> Self:
        """What a model is made of: those up to a block that did not score high among themselves.

        Args:
            block: the last that counts.
            most: rows at most, the newest, before any are put in quarantine.
            quarantine: share of them, the highest scores, that are left out.
        """
        found = self._at(slice(int(np.searchsorted(-self.block, -block)), None)).newest(most)
        if not quarantine or not len(found.score):
            return found
        return found._at(found.score <= np.quantile(found.score, 1 - quarantine))

    def arrays(self) -> dict[str, Any]:
        """By name, for a file."""
        names = ("block", "tie", "score", "x")
        return {f"lessons.{name}": getattr(self, name) for name in names}

    @classmethod
    def restored(cls, arrays: Mapping[str, Any]) -> Self:
        """From what `arrays` gave."""
        return cls(*(arrays[f"lessons.{name}"] for name in ("block", "tie", "score", "x")))

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.block, self.tie, self.score, self.x

    def _at(self, rows: Any) -> Self:
        return type(self)(*(column[rows] for column in self._columns()))

    def _sorted(self) -> Self:
        return self._at(np.lexsort((self.tie, -self.block)))


def _ties(x: FloatArray) -> Int64:
    """A number of each row [n] that depends on nothing but its content."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    odd = np.random.PCG64(0).random_raw(x.shape[1]) | np.uint64(1)
    mixed = (bits * odd).sum(1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(32)
    ties: Int64 = (mixed * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)
    return ties
