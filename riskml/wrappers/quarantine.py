"""What is usual for a user, learnt from windows that score low; the others wait in quarantine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import FloatArray
from riskml.models.base import Detector
from riskml.models.turns import Int64
from riskml.scoring.sentences import USUAL_FOR_USER
from riskml.wrappers.around import HELD_COLUMNS, AroundDetector, Memory, Turn
from riskml.wrappers.parts import Float64

LEAST_SPREAD = 0.05
"""Of everybody's variance: no user is so regular that less would be fair."""


class QuarantineDetector(AroundDetector):
    """Scores a window by how far its evidence lies above what is usual for its user.

    Mean and spread of each user's evidence fade, and are drawn towards everybody's, the more the
    fewer windows there are of the user. Windows that score high do not teach, so that
    an attack does not become usual (poisoning, Biggio et al. 2012): they are held until somebody
    clears them, or for `clear_after_days`.

    Args:
        detector: any.
        fade: what is kept of the past with each window that teaches.
        prior_windows: how many windows everybody weighs among the user's own.
        quarantine: share of train windows, the highest, above whose score a window is held.
        clear_after_days: days after which a held window teaches all the same; None: never.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: a number is out of range.
    """

    topic = USUAL_FOR_USER
    limit_: float

    def __init__(
        self,
        detector: Detector,
        fade: float = 0.99,
        prior_windows: float = 20.0,
        quarantine: float = 0.02,
        clear_after_days: float | None = None,
        contamination: float = 0.1,
    ) -> None:
        super().__init__(detector, contamination)
        require("fade", fade, 0 < fade <= 1, "must lie above 0 and up to 1")
        require("prior_windows", prior_windows, prior_windows > 0, "must be above 0")
        require("quarantine", quarantine, 0 < quarantine < 1, "must lie between 0 and 1")
        fits = clear_after_days is None or clear_after_days > 0
        require("clear_after_days", clear_after_days, fits, "must be above 0, or null for never")
        self.fade, self.prior_windows = fade, prior_windows
        self.quarantine, self.clear_after_days = quarantine, clear_after_days
        self.cleared_: set[str] = set()

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "detector": self.detector,
            "fade": self.fade,
            "prior_windows": self.prior_windows,
            "quarantine": self.quarantine,
            "clear_after_days": self.clear_after_days,
            "contamination": self.contamination,
        }

    def clear(self, window_ids: Iterable[str]) -> None:
        """Let windows teach though they score high: somebody has looked at them.

        Those of the train period do so at once, later ones when they are walked over again (as
        `past` of `score_after`).
        """
        chosen = set(window_ids)
        self.cleared_ |= chosen
        held = self.memory_.held
        self.memory_.held = self._teach_held(
            self.memory_, held, held["window_id"].is_in(sorted(chosen)).to_numpy()
        )

    def blank(self, users: int) -> dict[str, Float64]:
        """Faded count of windows, sum and sum of squares of their evidence."""
        return {name: np.zeros(users) for name in ("windows", "sum", "squares")}

    def study(self, evidence: Float64) -> None:
        """Learn everybody's mean and mean square."""
        self.usual_ = float(evidence.mean()), float((evidence**2).mean())

    def step(self, memory: Memory, turn: Turn) -> Float64:
        """Deviations from what is usual; those below the limit teach, the others are held."""
        if self.clear_after_days is not None and len(memory.held):
            now = np.full(len(memory.users), -np.inf)
            now[turn.user] = turn.day - self.clear_after_days
            due = now[memory.held["user"].to_numpy()] >= memory.held["day"].to_numpy()
            memory.held = self._teach_held(memory, memory.held, due)
        scores = self._deviation(memory, turn)
        teaches = scores <= self.limit_
        if self.cleared_:
            teaches |= np.isin(turn.window_id, list(self.cleared_))
        _teach(memory, turn.user[teaches], turn.evidence[teaches], self.fade)
        if not teaches.all():
            columns = (turn.window_id, turn.user, turn.day, turn.evidence)
            chosen = [column[~teaches] for column in columns]
            data = dict(zip(HELD_COLUMNS, chosen, strict=True))
            memory.held = memory.held.vstack(pl.DataFrame(data, schema=HELD_COLUMNS))
        return scores

    def due_to_detector(self, evidence: Float64, scores: FloatArray) -> Float64:
        """All that is more than usual."""
        return np.maximum(scores, 0).astype(np.float64)

    def _deviation(self, memory: Memory, turn: Turn) -> Float64:
        known = {name: values[turn.user] for name, values in memory.values.items()}
        (usual, square), prior = self.usual_, self.prior_windows
        windows = known["windows"] + prior
        mean = (known["sum"] + prior * usual) / windows
        variance = (known["squares"] + prior * square) / windows - mean**2
        least = LEAST_SPREAD * (square - usual**2)
        deviation: Float64 = (turn.evidence - mean) / np.sqrt(np.maximum(variance, least))
        return deviation

    def _teach_held(self, memory: Memory, held: pl.DataFrame, chosen: Any) -> pl.DataFrame:
        """Teach the chosen ones of the held windows; the others are given back."""
        taught = held.filter(chosen)
        # a user's windows one by one, as the past fades with each
        while len(taught):
            first = taught["user"].is_first_distinct()
            now = taught.filter(first)
            _teach(memory, now["user"].to_numpy(), now["evidence"].to_numpy(), self.fade)
            taught = taught.filter(~first)
        return held.filter(~chosen)

    def set_limits(self, early: Float64, later: Float64) -> None:
        """From the first walk, in which nothing was held."""
        if math.isinf(self.limit_):
            self.limit_ = float(np.quantile(early, 1 - self.quarantine))

    def limits(self) -> dict[str, Any]:
        """The limit, what is usual for everybody, and what has been cleared."""
        return {
            "limit": self.limit_,
            "usual": list(self.usual_),
            "cleared": sorted(self.cleared_),
        }

    def restore_limits(self, found: dict[str, Any]) -> None:
        """Without any all windows teach."""
        self.limit_ = float(found.get("limit", math.inf))
        self.cleared_ = set(found.get("cleared", ()))
        if found:
            mean, square = found["usual"]
            self.usual_ = float(mean), float(square)


def _teach(memory: Memory, users: Int64, evidence: Float64, fade: float) -> None:
    """Let the past of the users, each of whom comes once, fade and add their evidence."""
    for name, value in (("windows", 1.0), ("sum", evidence), ("squares", evidence**2)):
        memory.values[name][users] = fade * memory.values[name][users] + value
