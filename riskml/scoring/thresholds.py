"""Which windows become alerts; chosen without test labels."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import ConfigError
from riskml.core.schema import time_span
from riskml.core.types import FloatArray

Mask = npt.NDArray[np.bool_]


class Threshold(Protocol):
    """A rule for how many alerts people can look at."""

    def fit(self, scores: FloatArray, keys: pl.DataFrame) -> float:
        """The score from which on a window is an alert, from calibration windows."""
        ...

    def top(self, scores: FloatArray, keys: pl.DataFrame) -> Mask:
        """The windows that the budget has room for, best first; ties by order of the keys."""
        ...

    def describe(self) -> str:
        """The rule in words."""
        ...


class DailyBudget:
    """So many alerts a day.

    Args:
        alerts_per_day: how many windows a day people can look at.
    """

    def __init__(self, alerts_per_day: float = 5.0) -> None:
        if not alerts_per_day > 0:
            raise ConfigError(f"threshold.alerts_per_day={alerts_per_day} must be above 0")
        self.alerts_per_day = alerts_per_day

    def fit(self, scores: FloatArray, keys: pl.DataFrame) -> float:
        """The quantile of calibration scores that the budget sets."""
        return score_of_rank(scores, self.alerts_per_day * days(keys))

    def top(self, scores: FloatArray, keys: pl.DataFrame) -> Mask:
        """The highest `alerts_per_day` windows of each UTC day on which windows end."""
        day = keys["end"].dt.date()
        rank = (
            pl.DataFrame({"day": day, "score": scores})
            .select(pl.col("score").rank("ordinal", descending=True).over("day"))
            .to_series()
        )
        mask: Mask = (rank <= max(1, round(self.alerts_per_day))).to_numpy()
        return mask

    def describe(self) -> str:
        """The rule in words."""
        return f"{self.alerts_per_day:g} alerts a day"


class AlertShare:
    """A share of all windows, for logs whose days mean nothing.

    Args:
        share: of windows that become alerts, above 0 and below 1.
    """

    def __init__(self, share: float = 0.01) -> None:
        if not 0 < share < 1:
            raise ConfigError(f"threshold.share={share} must lie between 0 and 1")
        self.share = share

    def fit(self, scores: FloatArray, keys: pl.DataFrame) -> float:
        """The quantile of calibration scores that the share sets."""
        return score_of_rank(scores, self.share * len(scores))

    def top(self, scores: FloatArray, keys: pl.DataFrame) -> Mask:
        """The highest share of all windows."""
        mask = np.zeros(len(scores), np.bool_)
        mask[np.argsort(-scores, kind="stable")[: max(1, round(self.share * len(scores)))]] = True
        return mask

    def describe(self) -> str:
        """The rule in words."""
        return f"{self.share:.2%} of windows"


def days(keys: pl.DataFrame) -> float:
    """Days that windows cover, at least one."""
    first, last = time_span(keys["start"], keys["end"])
    return max(1.0, (last - first) / timedelta(days=1))


def score_of_rank(scores: FloatArray, rank: float) -> float:
    """A threshold that about `rank` of the scores pass; between two scores, never on one."""
    ordered = np.sort(np.asarray(scores, np.float64))[::-1]
    place = min(max(round(rank), 1), len(ordered))
    below = ordered[place] if place < len(ordered) else ordered[-1] - 1.0
    return float((ordered[place - 1] + below) / 2)
