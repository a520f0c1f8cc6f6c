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
    """So many alerts a day, but never more than a share of all windows.

    Args:
        alerts_per_day: how many windows a day people can look at.
        max_share: of all windows; what counts where there are few windows a day.
    """

    def __init__(self, alerts_per_day: float = 5.0, max_share: float = 0.05) -> None:
        if not alerts_per_day > 0:
            raise ConfigError(f"threshold.alerts_per_day={alerts_per_day} must be above 0")
        if not 0 < max_share <= 1:
            raise ConfigError(f"threshold.max_share={max_share} must lie above 0 and up to 1")
        self.alerts_per_day, self.max_share = alerts_per_day, max_share

    def fit(self, scores: FloatArray, keys: pl.DataFrame) -> float:
        """The quantile of calibration scores that the budget sets."""
        return score_of_rank(scores, self._total(keys))

    def top(self, scores: FloatArray, keys: pl.DataFrame) -> Mask:
        """The highest `alerts_per_day` windows of each UTC day on which windows end.

        Where `max_share` allows less than that, or the budget is under one alert a day, the
        highest of the whole period.
        """
        if self.alerts_per_day < 1 or self._total(keys) < self.alerts_per_day * days(keys):
            return highest(scores, self._total(keys))
        rank = (
            pl.DataFrame({"day": keys["end"].dt.date(), "score": scores})
            .select(pl.col("score").rank("ordinal", descending=True).over("day"))
            .to_series()
        )
        mask: Mask = (rank <= round(self.alerts_per_day)).to_numpy()
        return mask

    def _total(self, keys: pl.DataFrame) -> float:
        return min(self.alerts_per_day * days(keys), self.max_share * len(keys))

    def describe(self) -> str:
        """The rule in words."""
        return f"{self.alerts_per_day:g} alerts a day, at most {self.max_share:.0%} of windows"


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
        return highest(scores, self.share * len(scores))

    def describe(self) -> str:
        """The rule in words."""
        return f"{self.share:.2%} of windows"


def days(keys: pl.DataFrame) -> float:
    """Days that windows cover, at least one."""
    first, last = time_span(keys["start"], keys["end"])
    return max(1.0, (last - first) / timedelta(days=1))


def highest(scores: FloatArray, count: float) -> Mask:
    """The highest scores, at least one; ties by place."""
    mask = np.zeros(len(scores), np.bool_)
    mask[np.argsort(-scores, kind="stable")[: max(1, round(count))]] = True
    return mask


def score_of_rank(scores: FloatArray, rank: float) -> float:
    """A threshold that about `rank` of the scores pass; between two scores, never on one."""
    levels, counts = np.unique(np.asarray(scores, np.float64), return_counts=True)
    levels, passing = levels[::-1], np.cumsum(counts[::-1])
    wanted = max(round(rank), 1)
    k = int(np.argmin(np.abs(np.concatenate([[0], passing]) - wanted)))
    if k == 0:
        return float(levels[0] + max(1.0, abs(levels[0]) * 1e-3))
    if k == len(levels):
        return float(levels[-1] - max(1.0, abs(levels[-1]) * 1e-3))
    return float((levels[k - 1] + levels[k]) / 2)
