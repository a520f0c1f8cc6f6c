"""What decides about alerts while it runs, and carries plain values from call to call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

_EPOCH, _DAY = date(1970, 1, 1), 86_400_000_000

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
    days = keys["end"].cast(pl.Int64).to_numpy() // _DAY
    order = np.argsort(days, kind="stable").astype(np.int64)
    for rows in np.split(order, np.flatnonzero(np.diff(days[order])) + 1):
        if len(rows):
            yield _EPOCH + timedelta(days=int(days[rows[0]])), rows


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
