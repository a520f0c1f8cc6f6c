"""Peaks over threshold: the score of a rare event from a tail fitted to the highest scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import require
from riskml.scoring.alerting import Alerting, FixedThreshold, Mask, by_day, score_of_rank
from riskml.scoring.thresholds import Scores, highest

MIN_PEAKS = 10
"""With fewer different peaks there is no tail to fit; the plain quantile stands in."""

MAX_PEAKS = 2000
"""So many of the latest are kept while peaks are added."""


class PeaksOverThreshold:
    """A window is an alert if a normal one scores as high with a chance of `risk_level` only.

    A generalised Pareto distribution is fitted to what the highest scores of the calibration
    period lie above a first threshold (SPOT, Siffer et al. 2017), so that levels rarer than any
    window of that period can be asked for.

    Args:
        risk_level: chance of a false alarm a window.
        tail: share of calibration windows above the first threshold; larger than `risk_level`.
        adapt: add the peaks of each day that are no alerts, and fit again for the next.

    Raises:
        ConfigError: not 0 < risk_level < tail < 1.
    """

    def __init__(self, risk_level: float = 0.01, tail: float = 0.05, adapt: bool = False) -> None:
        fits = 0 < risk_level < 1
        require("threshold.risk_level", risk_level, fits, "must lie between 0 and 1")
        rule = f"must lie above risk_level={risk_level:g} and below 1"
        require("threshold.tail", tail, risk_level < tail < 1, rule)
        self.risk_level, self.tail, self.adapt = risk_level, tail, adapt

    def fit(self, scores: Scores, keys: pl.DataFrame) -> float:
        """The score that is passed with a chance of `risk_level`."""
        return self._tail(scores).threshold

    def start(self, scores: Scores, keys: pl.DataFrame) -> Alerting:
        """The threshold, fixed or learning from further peaks."""
        tail = self._tail(scores)
        return tail if self.adapt else FixedThreshold(tail.threshold)

    def _tail(self, scores: Scores) -> SpotTail:
        values = np.asarray(scores, np.float64)
        first = float(np.quantile(values, 1 - self.tail))
        peaks = tuple((values[values > first] - first).tolist())
        empirical = score_of_rank(values, self.risk_level * len(values))
        return SpotTail(self.risk_level, first, peaks, len(values), empirical).fitted()

    def top(self, scores: Scores, keys: pl.DataFrame) -> Mask:
        """The highest `risk_level` of all windows."""
        return highest(scores, self.risk_level * len(scores))

    def promised(self, keys: pl.DataFrame) -> float:
        """False alarms to be expected."""
        return self.risk_level * len(keys)

    def describe(self) -> str:
        """The rule in words."""
        return f"a false alarm in {1 / self.risk_level:,.0f} windows (peaks over threshold)"


@dataclass(frozen=True)
class SpotTail:
    """The tail that has been seen.

    Args:
        risk_level: chance of a false alarm a window.
        first: threshold above which a score is a peak.
        peaks: what they lie above it.
        windows: how many there were, peaks or not.
        threshold: score from which on a window is an alert.
        day: of the latest windows, ISO.
        found: peaks and number of windows of that day, which count from the next on.
    """

    risk_level: float
    first: float
    peaks: tuple[float, ...]
    windows: int
    threshold: float
    day: str = ""
    found: tuple[float, ...] = ()
    found_windows: int = 0
    kind = "spot"

    def fitted(self) -> SpotTail:
        """The same with the threshold that its peaks give; it stays where they are too few."""
        if len(set(self.peaks)) < MIN_PEAKS:
            return self
        share = self.risk_level * self.windows / len(self.peaks)
        return replace(self, threshold=self.first + peak_of_chance(self.peaks, share))

    def decide(self, scores: npt.ArrayLike, keys: pl.DataFrame) -> tuple[Mask, SpotTail]:
        """Which windows are alerts; see `Alerting.decide`."""
        tail, values = self, np.asarray(scores, np.float64)
        alerts = np.zeros(len(values), np.bool_)
        for day, rows in by_day(keys):
            tail = tail._on(day)
            alerts[rows] = values[rows] >= tail.threshold
            normal = values[rows][~alerts[rows]]
            peaks = (normal[normal > tail.first] - tail.first).tolist()
            tail = replace(
                tail,
                found=(*tail.found, *peaks),
                found_windows=tail.found_windows + len(normal),
            )
        return alerts, tail

    def _on(self, day: date) -> SpotTail:
        if day.isoformat() <= self.day:
            return self
        # what is kept of the peaks must stand for the windows it came from
        peaks = (*self.peaks, *sorted(self.found))
        windows, kept = self.windows + self.found_windows, peaks[-MAX_PEAKS:]
        tail = replace(
            self,
            peaks=kept,
            windows=round(windows * len(kept) / len(peaks)) if peaks else windows,
            day=day.isoformat(),
            found=(),
            found_windows=0,
        )
        return tail.fitted() if self.found_windows else tail

    def state(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SpotTail:
        """Read what `state` gave."""
        peaks, found = tuple(state["peaks"]), tuple(state["found"])
        return cls(**{**state, "peaks": peaks, "found": found})


def peak_of_chance(peaks: npt.ArrayLike, chance: float) -> float:
    """The excess that a peak passes with this chance, by a generalised Pareto distribution.

    Args:
        peaks: excesses over the first threshold, above 0 [n].
        chance: above 0; from 1 on the answer is 0 or less.
    """
    from scipy.stats import genpareto

    values = np.asarray(peaks, np.float64)
    scale = float(values.mean())
    shape, _, spread = genpareto.fit(values / scale, floc=0)
    if abs(shape) < 1e-8:
        return float(-np.log(chance) * spread * scale)
    return float(spread * scale / shape * (chance**-shape - 1))
