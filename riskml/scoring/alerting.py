"""What decides about alerts while it runs, and carries plain values from call to call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Alerting(Protocol):
    """A threshold at work. It never changes: `decide` returns the next one."""

    kind: str
    """Tells the kinds apart in files."""

    @property
    def threshold(self) -> float:
        """The score from which on a window is an alert at present."""
        ...

    def decide(self, scores: npt.ArrayLike, keys: pl.DataFrame) -> tuple[Mask, Alerting]:
        """Which windows are alerts, by what was known before the day on which each ends (UTC).

        Args:
            scores: [n], higher is riskier.
            keys: of the windows; `end` is read. Calls come in order of days; a window of an
                earlier day counts as of the latest.

        Returns:
            Mask [n], and what decides about the windows that come next.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ...


@dataclass(frozen=True)
class FixedThreshold:
    """One score for all time.

    Args:
        score: from which on a window is an alert.
    """

    score: float
    kind = "fixed"

    @property
    def threshold(self) -> float:
        """The score."""
        return self.score

    def decide(self, scores: npt.ArrayLike, keys: pl.DataFrame) -> tuple[Mask, FixedThreshold]:
        """Whether each score reaches the threshold."""
        return np.asarray(scores, np.float64) >= self.score, self

    def state(self) -> dict[str, Any]:
        """The score."""
        return {"score": self.score}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> FixedThreshold:
        """Read what `state` gave."""
        return cls(float(state["score"]))


def by_day(keys: pl.DataFrame) -> Iterator[tuple[date, npt.NDArray[np.int64]]]:
    """Days on which windows end (UTC), in order, with the rows of their windows."""
    days = keys.select(pl.col("end").dt.date().alias("day")).with_row_index("row")
    for (day,), part in days.sort("day", maintain_order=True).group_by("day", maintain_order=True):
        assert isinstance(day, date)
        yield day, part["row"].to_numpy().astype(np.int64)


def levels_of(scores: npt.ArrayLike) -> tuple[Levels, Counts]:
    """Distinct scores, highest first, and how often each occurs."""
    levels, counts = np.unique(np.asarray(scores, np.float64), return_counts=True)
    return levels[::-1], counts[::-1].astype(np.int64)


def score_of_rank(scores: npt.ArrayLike, rank: float) -> float:
    """A threshold that about `rank` of the scores pass; between two scores, never on one."""
    return level_of_rank(*levels_of(scores), rank)


def level_of_rank(levels: Levels, counts: Counts, rank: float) -> float:
    """As `score_of_rank`, of distinct scores, highest first, that occur `counts` times."""
    wanted = max(round(rank), 1)
    passing = np.concatenate([[0], np.cumsum(counts)])
    k = int(np.argmin(np.abs(passing - wanted)))
    if k == 0:
        return float(levels[0] + max(1.0, abs(levels[0]) * 1e-3))
    if k == len(levels):
        return float(levels[-1] - max(1.0, abs(levels[-1]) * 1e-3))
    return float((levels[k - 1] + levels[k]) / 2)
