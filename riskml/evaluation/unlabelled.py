"""How good a detector is, by windows that were held out and without a label of the test period."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from riskml.core.errors import DataError
from riskml.core.types import FloatArray, Windows
from riskml.evaluation.choice import (
    AGREEMENT,
    INJECTED,
    LABELS,
    LIKELIHOOD,
    Float64,
    agreement,
    precision_within,
    told_apart,
    usual_mean,
)
from riskml.evaluation.metrics import Labels
from riskml.models.base import Detector
from riskml.scoring.thresholds import Threshold


@dataclass(frozen=True)
class Attacks:
    """Windows that are known to be attacks, out of the train and calibration periods.

    Args:
        windows: that were not fitted on.
        incidents: ids of each window's incidents; the window's own id where none is named.
    """

    windows: Windows
    incidents: Sequence[Sequence[str]]

    @property
    def count(self) -> int:
        """Number of incidents."""
        return len({name for names in self.incidents for name in names})

    def found(self, scores: FloatArray, threshold: float) -> float:
        """Share of the incidents with a window at the threshold or above it."""
        found: dict[str, bool] = {}
        for names, score in zip(self.incidents, scores, strict=True):
            for name in names:
                found[name] = found.get(name, False) or bool(score >= threshold)
        return float(np.mean(list(found.values())))


@dataclass(frozen=True)
class TimeFold:
    """A block of time that was held out, with what came before it.

    Args:
        train: windows to fit on.
        calibration: those between them and the block, by which training stops early.
        held: windows of the block.
        injected: the same block with made-up anomalies among them.
        odd: which of those are the anomalies, int8 [injected].
        attacks: what is known of attacks, or None.
        seed: of what is drawn.
    """

    train: Windows
    calibration: Windows
    held: Windows
    injected: Windows
    odd: Labels
    attacks: Attacks | None = None
    seed: int = 0

    @cached_property
    def mixed(self) -> Windows:
        """Of each held-out window half the features and half the actions are another window's."""
        rng = np.random.default_rng([self.seed, len(self.held)])
        n = len(self.held)
        donor = (np.arange(n) + rng.integers(1, max(n, 2), n)) % n
        x, tokens, times = self.held.x.copy(), self.held.tokens.copy(), self.held.times.copy()
        topics = [feature.topic for feature in self.held.spec.features]
        place = {topic: i for i, topic in enumerate(dict.fromkeys(topics))}
        swapped = rng.random((n, len(place))) < 0.5
        columns = swapped[:, [place[topic] for topic in topics]]
        x[columns] = x[donor][columns]
        both = np.minimum(self.held.lengths, self.held.lengths[donor])
        here = rng.random(tokens.shape) < 0.5
        here &= np.arange(tokens.shape[1]) < both[:, None]
        tokens[here] = tokens[donor][here]
        if times.size:
            times[here] = times[donor][here]
        return Windows(self.held.keys, x, self.held.spec, tokens, self.held.lengths, times)


def ranks_by(fold: TimeFold, detector: Detector) -> Float64:
    """Ranks of the injected block's windows by a detector that is fitted here, float64 [n]."""
    detector.fit(fold.train, fold.calibration)
    ranks: Float64 = rankdata(detector.score_after(fold.calibration, fold.injected))
    return ranks


@dataclass(frozen=True)
class Judge:
    """Measures detectors on one fold.

    Args:
        fold: of time.
        rule: the alert budget.
        terms: which signs are asked for.
        simple: mean rank of the injected block's windows by simple detectors, for `agreement`.
    """

    fold: TimeFold
    rule: Threshold
    terms: Collection[str]
    simple: Float64 | None = None

    def quick(self, detector: Detector) -> dict[str, float]:
        """The terms that one pass over the injected block tells."""
        fold = self.fold
        scores = self._scores(detector, fold.injected)
        found: dict[str, float] = {}
        if INJECTED in self.terms:
            budget = self.rule.top(scores, fold.injected.keys)
            found[INJECTED] = precision_within(fold.odd, scores, budget)
        if AGREEMENT in self.terms and self.simple is not None:
            found[AGREEMENT] = agreement(scores, self.simple)
        return found

    def measure(self, detector: Detector) -> tuple[dict[str, float], float]:
        """All terms, and the seconds that a thousand windows take to be scored.

        Raises:
            DataError: a score is not finite.
        """
        fold = self.fold
        found = self.quick(detector)
        start = time.perf_counter()
        usual = self._scores(detector, fold.held)
        seconds = (time.perf_counter() - start) / len(fold.held) * 1000
        if LIKELIHOOD in self.terms:
            surprise = detector.held_out_surprise(fold.held)
            if surprise is None:
                found[LIKELIHOOD] = told_apart(usual, self._scores(detector, fold.mixed))
            else:
                _check_finite(surprise)
                found[LIKELIHOOD] = -usual_mean(surprise)
        if LABELS in self.terms and fold.attacks is not None:
            top = self.rule.top(usual, fold.held.keys)
            known = detector.score(fold.attacks.windows)
            _check_finite(known)
            found[LABELS] = fold.attacks.found(known, float(usual[top].min()))
        return found, seconds

    def _scores(self, detector: Detector, windows: Windows) -> FloatArray:
        scores = detector.score_after(self.fold.calibration, windows)
        _check_finite(scores)
        return scores


def _check_finite(scores: FloatArray) -> None:
    odd = int((~np.isfinite(scores)).sum())
    if odd:
        raise DataError(f"{odd} of {len(scores)} scores are no finite number")
