"""Conformal p-values, and of each day as many alerts as keep false discoveries to a share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import require
from riskml.scoring.alerting import Mask, by_day
from riskml.scoring.thresholds import DailyBudget, Scores, days

Float64 = npt.NDArray[np.float64]


class ConformalAlerts:
    """Alerts of which at most a share is false on average, if the scores are like calibration's.

    A window's p-value is its rank among calibration windows; of each day's p-values Benjamini and
    Hochberg's procedure picks the alerts. For conformal p-values it keeps its promise though they
    share one calibration period (Bates et al. 2023). With n calibration windows no p-value is
    below 1 / (n + 1): a day of m windows can have a lone alert from n = m / rate on.

    Args:
        false_discovery_rate: that share, above 0 and below 1.
        alerts_per_day, max_share: of the measures at a budget, so that they compare with those of
            other rules; they limit no alerts.

    Raises:
        ConfigError: a setting is impossible.
    """

    def __init__(
        self,
        false_discovery_rate: float = 0.2,
        alerts_per_day: float = 5.0,
        max_share: float = 0.05,
    ) -> None:
        rate = false_discovery_rate
        require("threshold.false_discovery_rate", rate, 0 < rate < 1, "must lie between 0 and 1")
        self.rate, self.budget = rate, DailyBudget(alerts_per_day, max_share)

    def fit(self, scores: Scores, keys: pl.DataFrame) -> float:
        """The score that the only alert of an average day needs."""
        return self.start(scores, keys).threshold

    def start(self, scores: Scores, keys: pl.DataFrame) -> FalseDiscoveryControl:
        """What holds later days against these calibration windows."""
        values = np.sort(np.asarray(scores, np.float64))
        a_day = max(1, round(len(keys) / days(keys)))
        # how many calibration windows may score as high; below 0: no lone alert is possible
        above = int(np.floor(self.rate / a_day * (len(values) + 1))) - 1
        lone = np.nextafter(values[-max(above, 0) - 1], np.inf)
        return FalseDiscoveryControl(self.rate, tuple(values.tolist()), float(lone))

    def top(self, scores: Scores, keys: pl.DataFrame) -> Mask:
        """The windows that the budget of the measures has room for."""
        return self.budget.top(scores, keys)

    def promised(self, keys: pl.DataFrame) -> None:
        """No number of alerts."""

    def describe(self) -> str:
        """The rule in words."""
        return (
            f"{self.budget.describe()}; alerts of which {self.rate:.0%} are false "
            "(conformal p-values, Benjamini–Hochberg by day)"
        )


@dataclass(frozen=True)
class FalseDiscoveryControl:
    """Benjamini–Hochberg by day. A day that comes in parts is judged part by part.

    Args:
        rate: share of false alerts.
        calibration: ascending scores.
        threshold: score that the only alert of an average day needs.
    """

    rate: float
    calibration: tuple[float, ...]
    threshold: float
    kind = "false_discovery_control"

    def decide(
        self, scores: npt.ArrayLike, keys: pl.DataFrame
    ) -> tuple[Mask, FalseDiscoveryControl]:
        """Which windows are alerts; see `Alerting.decide`."""
        p = conformal_p_values(np.array(self.calibration), scores)
        alerts = np.zeros(len(p), np.bool_)
        for _, rows in by_day(keys):
            alerts[rows] = benjamini_hochberg(p[rows], self.rate)
        return alerts, self

    def state(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rate": self.rate,
            "calibration": list(self.calibration),
            "threshold": self.threshold,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> FalseDiscoveryControl:
        """Read what `state` gave."""
        return cls(state["rate"], tuple(state["calibration"]), state["threshold"])


def conformal_p_values(calibration: Float64, scores: npt.ArrayLike) -> Float64:
    """(1 + calibration scores at or above) / (1 + all) of each score [n].

    Args:
        calibration: ascending [m].
        scores: [n].
    """
    below = np.searchsorted(calibration, np.asarray(scores, np.float64), "left")
    p: Float64 = (1 + len(calibration) - below) / (1 + len(calibration))
    return p


def benjamini_hochberg(p: Float64, rate: float) -> Mask:
    """Which of the p-values [n] are discoveries (Benjamini and Hochberg 1995)."""
    ordered = np.sort(p)
    # in whole steps, so that a p-value on the line is on it
    reached = np.flatnonzero(ordered * len(p) <= rate * np.arange(1, len(p) + 1) * (1 + 1e-12))
    if not len(reached):
        return np.zeros(len(p), np.bool_)
    found: Mask = p <= ordered[reached[-1]]
    return found
