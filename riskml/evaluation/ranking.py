"""Windows counted by where they stand among the scores of risky ones: what ranking metrics need.

A ranking metric changes only where a risky window is met. So n windows come down to counts at the G
distinct scores of risky windows. Every function takes further axes behind, one entry a resample, so
that a metric and its bootstrap are one piece of code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bins = npt.NDArray[np.int64]

ROUNDING = 1e-9
"""Weighted counts that are equal but for rounding count as equal, as a share of all."""


@dataclass(frozen=True)
class RankedCounts:
    """Weights of windows by score, highest score of a risky window first.

    Args:
        positives: of risky windows with that score [G, ...].
        between: of normal windows under the score before and over this one [G, ...].
        tied: of normal windows with that very score [G, ...].
        below: of normal windows under the last of the scores [...].
    """

    positives: Floats
    between: Floats
    tied: Floats
    below: Floats

    @classmethod
    def of(cls, counts: Floats) -> RankedCounts:
        """Split the sums by the bins of `rank_bins` [3 G + 1, ...]."""
        groups = len(counts) // 3
        normals = counts[groups:]
        return cls(counts[:groups], normals[0:-1:2], normals[1::2], normals[-1])

    def all_positives(self) -> Floats:
        """Weight of all risky windows [...]."""
        return np.asarray(self.positives.sum(axis=0))

    def all_normals(self) -> Floats:
        """Weight of all normal windows [...]."""
        return np.asarray((self.between + self.tied).sum(axis=0) + self.below)

    def hits(self) -> Floats:
        """Weight of risky windows at or above each score [G, ...]."""
        return np.cumsum(self.positives, axis=0)

    def false_alarms(self) -> Floats:
        """Weight of normal windows at or above each score [G, ...]."""
        return np.cumsum(self.between + self.tied, axis=0)


def rank_bins(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> tuple[Bins, int]:
    """The place of each window among the scores of risky ones.

    Args:
        labels: whether risky [n].
        scores: finite [n]; only compared, so huge and tiny ones are exact.

    Returns:
        bins: of 0..3 G [n]: risky windows by score, then normal ones between and at the scores in
            turn, then those below all.
        G: how many distinct scores risky windows have.
    """
    distinct = np.unique(scores[labels])
    groups = len(distinct)
    place = np.searchsorted(distinct, scores, "left") + np.searchsorted(distinct, scores, "right")
    falling = 2 * groups - place
    return np.where(labels, falling // 2, groups + falling), groups


def average_precision(counts: RankedCounts, normal_weight: Floats | float = 1.0) -> Floats:
    """Sum of precision × gain in recall over the scores, NaN without risky windows [...]."""
    hits = counts.hits()
    raised = hits + normal_weight * counts.false_alarms()
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(raised > 0, hits / raised, 0.0)
        return _defined((precision * counts.positives).sum(axis=0) / hits[-1], counts)


def average_precision_at(counts: RankedCounts, prevalence: float) -> Floats:
    """Average precision as it would be if this share of all windows were risky [...]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = counts.all_positives() / counts.all_normals()
    return average_precision(counts, odds * (1 - prevalence) / prevalence)


def roc_area(counts: RankedCounts, up_to: float = 1.0) -> Floats:
    """Area under the ROC curve up to a share of false alarms, straight lines across ties [...]."""
    hits, after = counts.hits(), counts.false_alarms()
    before = after - counts.tied
    normals = counts.all_normals()
    limit = up_to * normals
    level = np.clip(limit - (before - counts.between), 0, counts.between)
    slope = np.clip(limit - before, 0, counts.tied)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(counts.tied > 0, slope / counts.tied, 0.0) * counts.positives
        area = ((level + slope) * (hits - counts.positives) + slope * rise / 2).sum(axis=0)
        area = area + np.clip(limit - after[-1], 0, counts.below) * hits[-1]
        return _defined(area / (normals * hits[-1]), counts)


def standardised_roc_area(counts: RankedCounts, up_to: float) -> Floats:
    """`roc_area` put between 0.5 for chance and 1 for all found at once (McClish 1989) [...]."""
    chance = up_to**2 / 2
    return (1 + (roc_area(counts, up_to) - chance) / (up_to - chance)) / 2


def recall_at_rate(counts: RankedCounts, rate: float) -> Floats:
    """Best recall of a threshold that raises at most this share of normal windows [...]."""
    hits, normals = counts.hits(), counts.all_normals()
    allowed = counts.false_alarms() <= (rate + ROUNDING * rate) * normals
    with np.errstate(divide="ignore", invalid="ignore"):
        return _defined(np.where(allowed, hits, 0.0).max(axis=0) / hits[-1], counts)


def best_f1(counts: RankedCounts, normal_weight: float = 1.0) -> tuple[Floats, Bins]:
    """The highest F1 of any threshold, and the place of its score [...]; for `oracle_` names."""
    hits = counts.hits()
    f1 = 2 * hits / (hits + normal_weight * counts.false_alarms() + hits[-1])
    return f1.max(axis=0), f1.argmax(axis=0)


def _defined(values: Floats, counts: RankedCounts) -> Floats:
    """NaN where one kind of window is missing."""
    both = (counts.all_positives() > 0) & (counts.all_normals() > 0)
    return np.where(both, values, np.nan)
