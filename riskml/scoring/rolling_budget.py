"""A daily budget that is kept while scores drift: the threshold follows the last days' scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.scoring.alerting import Mask, by_day, level_of_rank, levels_of

GAIN = 0.1
"""How much of what was delivered too little or too much is made up for in a day."""

LEAST, MOST = 0.25, 4.0
"""Bounds of a day's aim, in budgets."""


@dataclass(frozen=True)
class Day:
    """What is kept of a day: its highest distinct scores and numbers.

    Args:
        date: ISO.
        windows: how many ended on it.
        alerts: how many of them were alerts; None where none were raised yet (calibration).
        levels, counts: distinct scores, highest first, and how often each occurred.
    """

    date: str
    windows: int
    alerts: int | None
    levels: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class RollingBudget:
    """Sets the threshold anew for each day, from the scores of the days before; no labels.

    The aim is the budget's rank among the scores of the last `days` days, moved by a part of what
    alerts have been too many or too few so far (as in adaptive conformal inference, Gibbs and
    Candès 2021), but by no more than `days` days' worth: a flood does not silence what follows.

    Args:
        alerts_per_day, max_share: as of `DailyBudget`.
        days: how many the threshold looks back on.
        threshold: of the latest day.
        history: the latest days, in order.
        debt: alerts promised on earlier days and not delivered; negative for too many.
    """

    alerts_per_day: float
    max_share: float
    days: int
    threshold: float
    history: tuple[Day, ...] = ()
    debt: float = 0.0
    kind = "rolling_budget"

    def learn(self, scores: npt.ArrayLike, keys: pl.DataFrame) -> RollingBudget:
        """Take up windows that are no alerts, such as those of the calibration period."""
        rolling, values = self, np.asarray(scores, np.float64)
        for day, rows in by_day(keys):
            rolling = rolling._on(day)._with(values[rows], None)
        return replace(rolling, threshold=self.threshold)

    def decide(self, scores: npt.ArrayLike, keys: pl.DataFrame) -> tuple[Mask, RollingBudget]:
        """Which windows are alerts; see `Alerting.decide`."""
        rolling, values = self, np.asarray(scores, np.float64)
        alerts = np.zeros(len(values), np.bool_)
        for day, rows in by_day(keys):
            rolling = rolling._on(day)
            alerts[rows] = values[rows] >= rolling.threshold
            rolling = rolling._with(values[rows], int(alerts[rows].sum()))
        return alerts, rolling

    def _on(self, day: date) -> RollingBudget:
        """As it is at the beginning of a day; an earlier one than the latest changes nothing."""
        if self.history and day.isoformat() <= self.history[-1].date:
            return self
        since = (day - timedelta(days=self.days)).isoformat()
        recent = tuple(past for past in self.history if past.date >= since)
        threshold, debt = self.threshold, 0.0
        if recent:
            # whole days, silent ones too: people look at alerts on those as well
            length = (day - date.fromisoformat(recent[0].date)).days
            windows = sum(past.windows for past in recent)
            promised = min(self.alerts_per_day * length, self.max_share * windows)
            debt, last = self.debt, recent[-1]
            if last.alerts is not None:
                elapsed = (day - date.fromisoformat(last.date)).days
                debt += promised / length * elapsed - last.alerts
            debt = float(np.clip(debt, -promised, promised))
            aim = np.clip(1 + GAIN * debt * length / promised, LEAST, MOST)
            threshold = self._score(recent, float(promised * aim))
        begun = Day(day.isoformat(), 0, None, (), ())
        return replace(self, threshold=threshold, history=(*recent, begun), debt=debt)

    @staticmethod
    def _score(days: tuple[Day, ...], rank: float) -> float:
        values = np.concatenate([np.array(day.levels) for day in days])
        levels, place = np.unique(-values, return_inverse=True)
        counts = np.bincount(place, np.concatenate([np.array(day.counts) for day in days]))
        return level_of_rank(-levels, counts.astype(np.int64), rank)

    def _with(self, scores: npt.NDArray[np.float64], alerts: int | None) -> RollingBudget:
        """More windows of the latest day."""
        last = self.history[-1]
        before = np.repeat(last.levels, np.array(last.counts, np.int64))
        levels, counts = levels_of(np.concatenate([scores, before]))
        kept = ceil(MOST * self.alerts_per_day * self.days) + 2
        day = Day(
            last.date,
            last.windows + len(scores),
            last.alerts if alerts is None else (last.alerts or 0) + alerts,
            tuple(levels[:kept].tolist()),
            tuple(counts[:kept].tolist()),
        )
        return replace(self, history=(*self.history[:-1], day))

    def state(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RollingBudget:
        """Read what `state` gave."""
        history = tuple(
            Day(**{**day, "levels": tuple(day["levels"]), "counts": tuple(day["counts"])})
            for day in state["history"]
        )
        return cls(**{**state, "history": history})
