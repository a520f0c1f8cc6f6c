"""Many small excesses, none of which is worth an alert: a second, slow channel for each user."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from riskml.core.errors import require
from riskml.models.base import Detector
from riskml.scoring.calibration import Calibration
from riskml.scoring.sentences import SLOW_LEAK
from riskml.wrappers.around import AroundDetector, Memory, Turn
from riskml.wrappers.parts import Float64, evidence_of


class SlowLeakDetector(AroundDetector):
    """Scores a window by the larger of its own evidence and that of the sum of small excesses.

    The sum of a user fades, grows by each window's evidence, of which no more than `cap` counts, so
    that a burst is not carried over, and shrinks by `allowance` times the mean of what is usual; it
    never falls below 0 (cumulative sum, Page 1954). Once it has passed its alarm level, it begins
    again at 0. Its own p-value is among the sums of the calibration period. As with two tests, the
    channel may claim a `share` of the false alarms: p-values are divided by share and 1 − share.

    Args:
        detector: any.
        keep: what is kept of the sum with each further window.
        cap: most that a window adds; 1 is the evidence of one normal window in ten.
        allowance: what is taken off, in means of the usual addition.
        share: of false alarms that the channel may claim.
        alarm_rate: share of calibration windows above the alarm level.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: a number is out of range.
    """

    topic = SLOW_LEAK
    alarm_: float

    def __init__(
        self,
        detector: Detector,
        keep: float = 0.9,
        cap: float = 1.0,
        allowance: float = 1.5,
        share: float = 0.1,
        alarm_rate: float = 0.001,
        contamination: float = 0.1,
    ) -> None:
        super().__init__(detector, contamination)
        for name, value in (("keep", keep), ("share", share), ("alarm_rate", alarm_rate)):
            require(name, value, 0 < value < 1, "must lie between 0 and 1")
        require("cap", cap, cap > 0, "must be above 0")
        require("allowance", allowance, allowance >= 0, "must be 0 or more")
        self.keep, self.cap, self.allowance = keep, cap, allowance
        self.share, self.alarm_rate = share, alarm_rate

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "detector": self.detector,
            "keep": self.keep,
            "cap": self.cap,
            "allowance": self.allowance,
            "share": self.share,
            "alarm_rate": self.alarm_rate,
            "contamination": self.contamination,
        }

    def blank(self, users: int) -> dict[str, Float64]:
        """The sum of each user."""
        return {"sum": np.zeros(users)}

    def study(self, evidence: Float64) -> None:
        """Learn what a usual window adds."""
        self.usual_ = float(np.minimum(evidence, self.cap).mean())

    def step(self, memory: Memory, turn: Turn) -> Float64:
        """The sums with these windows in them; those that pass the alarm level begin again."""
        added = np.minimum(turn.evidence, self.cap) - self.allowance * self.usual_
        sums: Float64 = np.maximum(self.keep * memory.values["sum"][turn.user] + added, 0)
        memory.values["sum"][turn.user] = np.where(sums > self.alarm_, 0, sums)
        return sums

    def set_limits(self, early: Float64, later: Float64) -> None:
        """The alarm level from sums that never began again; the curve from those that do."""
        if math.isinf(self.alarm_):
            self.alarm_ = float(np.quantile(later, 1 - self.alarm_rate))
        self.channel_ = Calibration.fit(later)

    def combined(self, evidence: Float64, walked: Float64) -> Float64:
        """The larger of both on the scale of −log10 p."""
        channel = evidence_of(walked, self.channel_) + math.log10(self.share)
        larger: Float64 = np.maximum(evidence + math.log10(1 - self.share), channel)
        return larger

    def limits(self) -> dict[str, Any]:
        """Usual addition, alarm level and the curve of the channel."""
        return {"usual": self.usual_, "alarm": self.alarm_, "channel": self.channel_.to_dict()}

    def restore_limits(self, found: dict[str, Any]) -> None:
        """Without any there is no alarm."""
        self.alarm_ = float(found.get("alarm", math.inf))
        if found:
            self.usual_ = float(found["usual"])
            self.channel_ = Calibration.from_dict(found["channel"])
