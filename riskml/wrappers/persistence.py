"""Attacks last: a window with evidence of its own counts for more after others with some."""

from __future__ import annotations

from typing import Any

import numpy as np

from riskml.core.errors import require
from riskml.models.base import Detector
from riskml.scoring.sentences import PERSISTENCE
from riskml.wrappers.around import AroundDetector, Memory, Turn
from riskml.wrappers.parts import Float64

STRONGEST = 6.0
"""Evidence beyond which a window says no more about the next ones."""


class PersistenceDetector(AroundDetector):
    """Adds to a window's evidence what its user's windows before say about an attack under way.

    A forward filter over a hidden chain of two states, normal and attack (Rabiner 1989). A window
    weighs κ p^(κ−1) times as much for the attack, a fair bet against normal p-values (Sellke,
    Bayarri & Berger 2001). The score is

        evidence + weight × min(evidence, log10(odds by the past / odds without a past)),

    the second term no less than 0: a window with no evidence of its own is not raised.

    Args:
        detector: any.
        begin: chance that an attack begins with a window.
        stay: chance that it goes on with the next.
        kappa: κ, above 0 and below 1; the lower, the more it takes to be convinced.
        weight: of the past.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: a chance or κ does not lie between 0 and 1, or the weight is negative.
    """

    topic = PERSISTENCE

    def __init__(
        self,
        detector: Detector,
        begin: float = 0.01,
        stay: float = 0.7,
        kappa: float = 0.2,
        weight: float = 0.3,
        contamination: float = 0.1,
    ) -> None:
        super().__init__(detector, contamination)
        for name, value in (("begin", begin), ("stay", stay), ("kappa", kappa)):
            require(name, value, 0 < value < 1, "must lie between 0 and 1")
        require("weight", weight, weight >= 0, "must be 0 or more")
        self.begin, self.stay, self.kappa, self.weight = begin, stay, kappa, weight

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "detector": self.detector,
            "begin": self.begin,
            "stay": self.stay,
            "kappa": self.kappa,
            "weight": self.weight,
            "contamination": self.contamination,
        }

    @property
    def usual(self) -> float:
        """Chance of an attack where nothing is known."""
        return self.begin / (self.begin + 1 - self.stay)

    def blank(self, users: int) -> dict[str, Float64]:
        """The chance of an attack in the user's last window."""
        return {"attack": np.full(users, self.usual)}

    def step(self, memory: Memory, turn: Turn) -> Float64:
        """Raise the evidence by the odds from the past, then filter it in."""
        before = memory.values["attack"][turn.user]
        prior = self.begin * (1 - before) + self.stay * before
        odds = prior / (1 - prior)
        gain = np.log10(odds * (1 - self.usual) / self.usual)
        scores: Float64 = turn.evidence + self.weight * np.clip(gain, 0, turn.evidence)
        odds *= self.kappa * 10 ** (np.minimum(turn.evidence, STRONGEST) * (1 - self.kappa))
        memory.values["attack"][turn.user] = odds / (1 + odds)
        return scores

    def limits(self) -> dict[str, Any]:
        """None."""
        return {}

    def restore_limits(self, found: dict[str, Any]) -> None:
        """None to restore."""
