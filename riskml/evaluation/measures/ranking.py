"""Windows counted by where they stand among the scores of risky ones: what ranking metrics need.

A ranking metric changes only where a risky window is met. So n windows come down to counts at the G
distinct scores of risky windows. Every function takes further axes behind, one entry a resample, so
that a metric and its bootstrap are one piece of code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def hits(self) -> Floats:
        """Weight of risky windows at or above each score [G, ...]."""
        return np.cumsum(self.positives, axis=0)

    @cached_property
    def false_alarms(self) -> Floats:
        """Weight of normal windows at or above each score [G, ...]."""
        return np.cumsum(self.between + self.tied, axis=0)

    @cached_property
    def all_positives(self) -> Floats:
        """Weight of all risky windows [...]."""
        return np.asarray(self.hits[-1] if len(self.hits) else np.zeros_like(self.below))

    @cached_property
    def all_normals(self) -> Floats:
        """Weight of all normal windows [...]."""
        return np.asarray(self.below + (self.false_alarms[-1] if len(self.hits) else 0.0))

    @cached_property
    def fewest(self) -> Floats:
        """The lowest of the false alarms over all resamples, at each score [G]."""
        return np.asarray(self.false_alarms.reshape(len(self.hits), -1).min(axis=1))

    def up_to(self, limit: Floats) -> RankedCounts:
        """The first scores alone, all that at most so many false alarms reach, and one more."""
        end = int(np.searchsorted(self.fewest, np.max(limit), "right")) + 1
        return RankedCounts(self.positives[:end], self.between[:end], self.tied[:end], self.below)


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
    raised = counts.hits + normal_weight * counts.false_alarms
    with np.errstate(divide="ignore", invalid="ignore"):
        gained = counts.positives * counts.hits / np.where(raised > 0, raised, 1.0)
        return _defined(gained.sum(axis=0) / counts.all_positives, counts)


def average_precision_at(counts: RankedCounts, prevalence: float) -> Floats:
    """Average precision as it would be if this share of all windows were risky [...]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = counts.all_positives / counts.all_normals
    return average_precision(counts, odds * (1 - prevalence) / prevalence)


def roc_area(counts: RankedCounts) -> Floats:
    """Chance that a risky window scores above a normal one, ties half [...]."""
    passed = counts.false_alarms - counts.tied / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (counts.positives * passed).sum(axis=0) / counts.all_positives
        return _defined(1 - share / counts.all_normals, counts)


def partial_roc_area(counts: RankedCounts, rate: float) -> Floats:
    """Area under the ROC curve up to a share of false alarms, straight lines across ties [...].

    It is put between 0.5 for chance and 1 for all found at once (McClish 1989).
    """
    limit = rate * counts.all_normals
    first = counts.up_to(limit)
    before = first.false_alarms - first.tied
    level = np.clip(limit - before + first.between, 0, first.between)
    slope = np.clip(limit - before, 0, first.tied)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = first.positives * slope / np.where(first.tied > 0, first.tied, 1.0)
        area = (level + slope) * (first.hits - first.positives) + slope * rise / 2
        beyond = np.clip(limit - first.false_alarms[-1], 0, None) * first.hits[-1]
        share = (area.sum(axis=0) + beyond) / (counts.all_normals * counts.all_positives)
    chance = rate**2 / 2
    return _defined((1 + (share - chance) / (rate - chance)) / 2, counts)


def recall_at_rate(counts: RankedCounts, rate: float) -> Floats:
    """Best recall of a threshold that raises at most this share of normal windows [...]."""
    limit = (rate + ROUNDING * rate) * counts.all_normals
    first = counts.up_to(limit)
    found = np.where(first.false_alarms <= limit, first.positives, 0.0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _defined(found / counts.all_positives, counts)


def best_f1(counts: RankedCounts, normal_weight: float = 1.0) -> tuple[Floats, Bins]:
    """The highest F1 of any threshold, and the place of its score [...]; for `oracle_` names."""
    raised = counts.hits + normal_weight * counts.false_alarms
    f1 = 2 * counts.hits / (raised + counts.all_positives)
    return f1.max(axis=0), f1.argmax(axis=0)


def _defined(values: Floats, counts: RankedCounts) -> Floats:
    """NaN where one kind of window is missing."""
    both = (counts.all_positives > 0) & (counts.all_normals > 0)
    return np.where(both, values, np.nan)
