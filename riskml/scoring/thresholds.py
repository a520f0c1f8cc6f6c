"""Which windows become alerts; chosen without test labels."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import ConfigError, require
from riskml.core.schema import time_span
from riskml.scoring.alerting import Alerting, FixedThreshold, Mask, score_of_rank
from riskml.scoring.rolling_budget import RollingBudget

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Threshold(Protocol):
    """A rule for how many alerts people can look at."""

    def fit(self, scores: Scores, keys: pl.DataFrame) -> float:
        """The score from which on a window is an alert, from calibration windows."""
        ...

    def start(self, scores: Scores, keys: pl.DataFrame) -> Alerting:
        """What decides about the windows that come after these calibration windows."""
        ...

    def promised(self, keys: pl.DataFrame) -> float | None:
        """How many of these windows are to be alerts; None where nothing is promised."""
        ...

    def top(self, scores: Scores, keys: pl.DataFrame) -> Mask:
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
        adapt: set the threshold anew every day, from the scores of the days before, so that the
            budget is kept while scores drift; otherwise it stays as the calibration period set it.
        adapt_days: how many days it then looks back on; whole weeks, as weekends are quieter.
    """

    def __init__(
        self,
        alerts_per_day: float = 5.0,
        max_share: float = 0.05,
        adapt: bool = False,
        adapt_days: int = 14,
    ) -> None:
        if not alerts_per_day > 0:
            raise ConfigError(f"threshold.alerts_per_day={alerts_per_day} must be above 0")
        if not 0 < max_share <= 1:
            raise ConfigError(f"threshold.max_share={max_share} must lie above 0 and up to 1")
        require("threshold.adapt_days", adapt_days, adapt_days >= 1, "must be at least 1")
        if adapt and alerts_per_day * adapt_days < 1:
            raise ConfigError(
                f"threshold.adapt_days={adapt_days} holds less than one alert at "
                f"{alerts_per_day:g} a day: give {int(np.ceil(1 / alerts_per_day))} or more"
            )
        self.alerts_per_day, self.max_share = alerts_per_day, max_share
        self.adapt, self.adapt_days = adapt, adapt_days

    def fit(self, scores: Scores, keys: pl.DataFrame) -> float:
        """The quantile of calibration scores that the budget sets."""
        return score_of_rank(scores, self.promised(keys))

    def start(self, scores: Scores, keys: pl.DataFrame) -> Alerting:
        """The threshold, fixed or following the scores."""
        threshold = self.fit(scores, keys)
        if not self.adapt:
            return FixedThreshold(threshold)
        rolling = RollingBudget(self.alerts_per_day, self.max_share, self.adapt_days, threshold)
        return rolling.learn(scores, keys)

    def top(self, scores: Scores, keys: pl.DataFrame) -> Mask:
        """The highest `alerts_per_day` windows of each UTC day on which windows end.

        Where `max_share` allows less than that, or the budget is under one alert a day, the
        highest of the whole period.
        """
        if not self.by_day(keys):
            return highest(scores, self.promised(keys))
        rank = (
            pl.DataFrame({"day": keys["end"].dt.date(), "score": scores})
            .select(pl.col("score").rank("ordinal", descending=True).over("day"))
            .to_series()
        )
        mask: Mask = (rank <= round(self.alerts_per_day)).to_numpy()
        return mask

    def capped(self, keys: pl.DataFrame) -> bool:
        """Whether `max_share` allows fewer of these windows than `alerts_per_day`."""
        return self.promised(keys) < self.alerts_per_day * days(keys)

    def by_day(self, keys: pl.DataFrame) -> bool:
        """Whether `top` takes the highest of each day, not those of the whole period."""
        return self.alerts_per_day >= 1 and not self.capped(keys)

    def promised(self, keys: pl.DataFrame) -> float:
        """The budget of the days that the windows cover."""
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

    def fit(self, scores: Scores, keys: pl.DataFrame) -> float:
        """The quantile of calibration scores that the share sets."""
        return score_of_rank(scores, self.share * len(scores))

    def start(self, scores: Scores, keys: pl.DataFrame) -> Alerting:
        """The threshold, fixed."""
        return FixedThreshold(self.fit(scores, keys))

    def promised(self, keys: pl.DataFrame) -> float:
        """The share of the windows."""
        return self.share * len(keys)

    def top(self, scores: Scores, keys: pl.DataFrame) -> Mask:
        """The highest share of all windows."""
        return highest(scores, self.share * len(scores))

    def describe(self) -> str:
        """The rule in words."""
        return f"{self.share:.2%} of windows"


def days(keys: pl.DataFrame) -> float:
    """Days that windows cover, at least one."""
    first, last = time_span(keys["start"], keys["end"])
    return max(1.0, (last - first) / timedelta(days=1))


def highest(scores: Scores, count: float) -> Mask:
    """The highest scores, at least one; ties by place."""
    mask = np.zeros(len(scores), np.bool_)
    mask[np.argsort(-scores, kind="stable")[: max(1, round(count))]] = True
    return mask
