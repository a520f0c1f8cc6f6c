"""Detection metrics; None where a metric is not defined (no positives, say)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from riskml.core.errors import DataError, require, require_positive
from riskml.evaluation.measures.ranking import (
    Floats,
    RankedCounts,
    average_precision,
    average_precision_at,
    best_f1,
    partial_roc_area,
    rank_bins,
    recall_at_rate,
    roc_area,
)

Labels = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Metrics = dict[str, float | None]

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.013, 0.046, 0.05)
"""1.3 % and 4.6 % are the working points of the literature on UNIX masquerades."""

PARTIAL = 0.01
"""The share of false alarms up to which the partial area under the ROC curve goes."""


def ranking_metrics(
    labels: Labels,
    scores: Scores,
    normal_weight: float = 1.0,
    weights: npt.ArrayLike | None = None,
    prevalence: float | None = None,
) -> Metrics:
    """How well scores rank risky windows before normal ones.

    A tie of a risky and a normal window counts for neither: they are passed together or not at all.

    Args:
        labels: 0 or 1 [n].
        scores: finite [n], higher is riskier.
        normal_weight: how many normal windows each normal one stands for.
        weights: of single windows [n], beside the `normal_weight`; 1 unless given.
        prevalence: the share of risky windows that `average_precision_at_prevalence` is for.

    Returns:
        Average precision, ROC-AUC, recall at `FALSE_POSITIVE_RATES`, and
        `partial_roc_auc_0.01`: standardised as by McClish (1989), 0.5 for chance, as in
        scikit-learn's `roc_auc_score(max_fpr=0.01)`;
        `average_precision_at_prevalence`: with normal windows weighted to a stated prevalence;
        `oracle_f1`: the best F1 that any threshold has, by `oracle_f1_threshold`. It is chosen by
        the labels it is measured on, so it is no result, only a bound.

    Raises:
        DataError: a label is not 0 or 1, or a score or weight is not a finite number.
        ConfigError: `normal_weight` is no finite number above 0, or the prevalence does not lie
            between 0 and 1.
    """
    if prevalence is not None:
        require("prevalence", prevalence, 0 < prevalence < 1, "must lie between 0 and 1")
    require_positive("normal_weight", normal_weight)
    risky, scores, weight = checked(labels, scores, weights)
    bins, groups = rank_bins(risky, scores)
    counts = RankedCounts.of(np.asarray(np.bincount(bins, weight, 3 * groups + 1), np.float64))
    names = [*_ranking_names(), "average_precision_at_prevalence", "oracle_f1"]
    if groups == 0 or not (counts.all_positives > 0 and counts.all_normals > 0):
        return dict.fromkeys([*names, "oracle_f1_threshold"])
    f1, best = best_f1(counts, normal_weight)
    values = [
        *ranking_values(counts, normal_weight).values(),
        np.nan if prevalence is None else average_precision_at(counts, prevalence),
        f1,
    ]
    threshold = float(np.unique(scores[risky])[::-1][int(best)])
    metrics = {name: as_metric(value) for name, value in zip(names, values, strict=True)}
    return metrics | {"oracle_f1_threshold": threshold}


def ranking_values(counts: RankedCounts, normal_weight: float = 1.0) -> dict[str, Floats]:
    """The ranking metrics that need nothing but counts, by name; NaN where not defined [...]."""
    if not len(counts.positives):
        return dict.fromkeys(_ranking_names(), np.full_like(counts.below, np.nan))
    values = [
        average_precision(counts, normal_weight),
        roc_area(counts),
        *(recall_at_rate(counts, rate) for rate in FALSE_POSITIVE_RATES),
        partial_roc_area(counts, PARTIAL),
    ]
    return dict(zip(_ranking_names(), values, strict=True))


def alert_metrics(
    labels: Labels,
    alerts: Mask,
    normal_weight: float = 1.0,
    weights: npt.ArrayLike | None = None,
) -> Metrics:
    """Precision, recall and F1 of a set of alerts.

    Precision is None without alerts, recall without positives, F1 without either.

    Args:
        labels: 0 or 1 [n].
        alerts: whether raised [n].
        normal_weight: how many normal windows each normal one stands for.
        weights: of single windows [n], beside the `normal_weight`; 1 unless given.

    Raises:
        DataError: a label is not 0 or 1, or a weight is not a finite number.
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    risky, chosen, weight = checked(labels, alerts, weights)
    weight = np.where(risky, weight, weight * normal_weight)
    raised = chosen != 0
    return of_alerts(
        float(weight[raised & risky].sum()),
        float(weight[raised].sum()),
        float(weight[risky].sum()),
    )


def of_alerts(hits: float, raised: float, positives: float) -> Metrics:
    """Precision, recall and F1 from sums: risky alerts, alerts, risky windows."""
    return {
        "precision": hits / raised if raised else None,
        "recall": hits / positives if positives else None,
        "f1": 2 * hits / (raised + positives) if raised and positives else None,
    }


def recall_by_alerts(
    labels: Labels, scores: Scores, normal_weight: float = 1.0
) -> tuple[Floats, Floats]:
    """Recall when the k highest windows are looked at, for k = 1..n.

    Among windows of one score it is the mean over all orders in which they could come.

    Args:
        labels: 0 or 1 [n].
        scores: finite [n].
        normal_weight: how many normal windows each normal one stands for.

    Returns:
        How many windows are looked at, and the recall, both [n].

    Raises:
        DataError: a label is not 0 or 1, or a score is not a finite number.
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    risky, scores, _ = checked(labels, scores)
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    found = np.bincount(group, risky, len(sizes))
    seen = found + normal_weight * (sizes - found)
    within = np.arange(1, len(scores) + 1) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    part = within / np.repeat(sizes, sizes)
    looked_at, hits = (
        np.repeat(np.cumsum(each) - each, sizes) + np.repeat(each, sizes) * part
        for each in (seen, found)
    )
    return looked_at, hits / max(float(found.sum()), 1.0)


def checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[Mask, npt.NDArray[np.floating], Floats]:
    """Labels as a mask, scores, and weights (1 unless given), all [n].

    Raises:
        DataError: they differ in length, a label is not 0 or 1, a score is not a finite number, or
            a weight is not one from 0 on; the first such row is named.
    """
    truth, values = np.asarray(labels), np.asarray(scores)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    weight = np.ones(truth.shape) if weights is None else np.asarray(weights, np.float64)
    if truth.ndim != 1 or not truth.shape == values.shape == weight.shape:
        raise DataError(
            "labels, scores and weights must be one row of equal length, "
            f"not {truth.shape}, {values.shape} and {weight.shape}"
        )
    risky = truth == 1
    _refuse("label", truth, risky | (truth == 0), "labels must be 0 or 1")
    _refuse("score", values, np.isfinite(values), "scores must be finite numbers")
    fits = np.isfinite(weight) & (weight >= 0)
    _refuse("weight", weight, fits, "weights must be finite and not below 0")
    return risky, values, weight


def as_metric(value: Floats | float) -> float | None:
    """A plain number, None where it is not defined."""
    return None if np.isnan(value) else float(value)


def _refuse(what: str, values: npt.NDArray[np.generic], fits: Mask, rule: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(f"the {what} of row {row} (counted from 0) is {values[row]}: {rule}")


def _ranking_names() -> list[str]:
    rates = [f"recall_at_fpr_{rate:g}" for rate in FALSE_POSITIVE_RATES]
    return ["average_precision", "roc_auc", *rates, f"partial_roc_auc_{PARTIAL:g}"]
