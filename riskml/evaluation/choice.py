"""Choosing among detectors without test labels: the ranks of several signs, weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from riskml.core.types import FloatArray
from riskml.evaluation.metrics import Labels, Mask

LIKELIHOOD, INJECTED, AGREEMENT, LABELS = "likelihood", "injected", "agreement", "labels"
TERMS = (LIKELIHOOD, INJECTED, AGREEMENT, LABELS)
"""Signs of a good detector; of each the higher is the better."""

FIXED_SCALE = (INJECTED, AGREEMENT, LABELS)
"""Those that lie between 0 and 1, whatever the other detectors do."""

Float64 = npt.NDArray[np.float64]


def borda(found: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> Float64:
    """Weighted mean of the ranks among all that were tried, float64 [n] from 0 to 1.

    Args:
        found: of each that was tried the terms, higher is better; a missing one is the worst.
        weights: of the terms that count.

    >>> borda([{"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 9.0}], {"a": 3, "b": 1})
    array([0.625, 0.375])
    """
    total = np.zeros(len(found))
    for term, weight in weights.items():
        values = np.array([one.get(term, -np.inf) for one in found])
        total += weight * (rankdata(values) - 0.5) / max(len(found), 1)
    share: Float64 = total / max(sum(weights.values()), 1e-12)
    return share


def progress(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """One number for a trial by itself, which the others do not move.

    The weighted mean of the terms with a fixed scale; where none of them counts, the likelihood.
    """
    counted = {term: w for term, w in weights.items() if term in FIXED_SCALE and term in terms}
    if not sum(counted.values()):
        return float(terms[LIKELIHOOD])
    return float(sum(w * terms[t] for t, w in counted.items()) / sum(counted.values()))


def precision_within(labels: Labels, scores: FloatArray, budget: Mask) -> float:
    """Average precision of the windows that the budget has room for; 0 to 1.

    Windows outside the budget count as not found, so what is ranked below it does not matter.
    """
    order = np.flatnonzero(budget)
    order = order[np.argsort(-scores[order], kind="stable")]
    hits = labels[order] == 1
    precision = np.cumsum(hits) / np.arange(1, len(order) + 1)
    most = min(int((labels == 1).sum()), len(order))
    return float(precision[hits].sum() / most) if most else 0.0


def agreement(scores: FloatArray, consensus: Float64) -> float:
    """Rank correlation with the mean rank of others, as a share: 0.5 is none, 1 the same order."""
    if np.ptp(scores) == 0 or np.ptp(consensus) == 0:
        return 0.5
    return float((1 + spearmanr(scores, consensus).statistic) / 2)


def told_apart(usual: FloatArray, mixed: FloatArray) -> float:
    """Chance that a mixed window scores higher than a usual one (area under the curve)."""
    labels = np.repeat([0, 1], [len(usual), len(mixed)])
    return float(roc_auc_score(labels, np.concatenate([usual, mixed])))


def usual_mean(surprise: FloatArray, odd_share: float = 0.05) -> float:
    """Mean of all but the highest: a few attacks may be among held-out windows."""
    kept = max(1, round(len(surprise) * (1 - odd_share)))
    return float(np.sort(surprise.astype(np.float64))[:kept].mean())
