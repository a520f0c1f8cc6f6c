"""From verdicts to an order of alerts: the detector's, until there is enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from riskml.core.errors import require
from riskml.core.types import FloatArray
from riskml.scoring.calibration import Calibration
from riskml.triage.classifier import FOREST, Examples, TriageClassifier

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TriageSettings:
    """How much verdicts count.

    Args:
        kind: `forest` or `xgboost`.
        fewest: true incidents, and false alarms, from which on verdicts count at all.
        half_way: verdicts at which triage and detector weigh the same.
        most: largest weight of the triage, in [0, 1]; below 1 the detector is always heard.
        background_weight: see `TriageClassifier`.
        trees: see `TriageClassifier`.
        explore: share of what auditors are shown that is drawn from below the top.
        seed: of trees and draws.

    Raises:
        ConfigError: a setting is impossible.
    """

    kind: str = FOREST
    fewest: int = 5
    half_way: float = 30.0
    most: float = 0.8
    background_weight: float = 1.0
    trees: int = 100
    explore: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require("triage.fewest", self.fewest, self.fewest >= 2, "must be at least 2")
        require("triage.half_way", self.half_way, self.half_way > 0, "must be above 0")
        require("triage.most", self.most, 0 <= self.most <= 1, "must lie between 0 and 1")
        require("triage.explore", self.explore, 0 <= self.explore < 1, "must lie in [0, 1)")

    def weight(self, verdicts: int) -> float:
        """Of the triage after so many verdicts.

        >>> TriageSettings(half_way=30, most=0.8).weight(30)
        0.4
        """
        return self.most * verdicts / (verdicts + self.half_way)


class Triage:
    """Re-ranks windows by what auditors said of others.

    Attributes:
        weight: of the triage in the blended evidence; 0 where there are too few verdicts.
        reason: why the weight is 0, for people; else empty.
    """

    def __init__(self, settings: TriageSettings) -> None:
        self.settings = settings
        self.weight, self.reason = 0.0, "no verdicts yet"

    def fit(self, examples: Examples) -> Self:
        """Learn from verdicts, or stay out of the way.

        Args:
            examples: at least 20 windows in `background`, or the weight stays 0.
        """
        settings = self.settings
        positives, judged = int(examples.confirmed.sum()), len(examples.confirmed)
        self.weight = 0.0
        kinds = [set(examples.users[examples.confirmed == kind].tolist()) for kind in (0, 1)]
        if examples.fewest() < settings.fewest or min(map(len, kinds)) < 2:
            self.reason = (
                f"{positives} true incidents and {judged - positives} false alarms: "
                f"{settings.fewest} of each, of two users or more, are needed before verdicts count"
            )
            return self
        self.reason = ""
        self.classifier_ = TriageClassifier(
            settings.kind, settings.background_weight, settings.trees, settings.seed
        ).fit(examples)
        normal = self.classifier_.probability(examples.background)
        self.calibration_ = Calibration.fit(normal)
        self.weight = settings.weight(judged)
        return self

    def probability(self, x: FloatArray) -> Float64 | None:
        """That an auditor would confirm, float64 [n]; None while too little is known."""
        return self.classifier_.probability(x) if self.weight else None

    def blend(self, evidence: Float64, x: FloatArray) -> Float64:
        """Evidence of the detector and of the triage in one, float64 [n].

        Both are −log10 of the share of normal windows that score as high.

        Args:
            evidence: of the detector [n].
            x: see `triage_matrix`.
        """
        if not self.weight:
            return evidence
        told = -np.log10(self.calibration_.p_value(self.classifier_.probability(x)))
        blended: Float64 = (1 - self.weight) * evidence + self.weight * told
        return blended


def to_show(evidence: Float64, count: int, explore: float, rng: np.random.Generator) -> Int64:
    """Rows that an auditor is shown: the highest, and some from below to learn from.

    Those from below are drawn among the next ten times as many, so that what the triage has
    learnt to rank low is still looked at now and then.

    Args:
        evidence: of the windows of one day [n].
        count: how many can be looked at.
        explore: share of `count` that is drawn; on average, where that is no whole number.
        rng: draws.

    Returns:
        int64 [min(count, n)], the highest first.
    """
    order = np.argsort(-evidence, kind="stable").astype(np.int64)
    drawn = int(np.floor(count * explore + rng.random()))
    top = max(0, count - drawn)
    below = order[top : top + 10 * count]
    extra = rng.permutation(below)[: min(drawn, len(below))]
    return np.concatenate([order[:top], extra])[:count]
