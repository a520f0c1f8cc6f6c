"""Detection metrics; None where a metric is not defined (no positives, say)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Labels = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Metrics = dict[str, float | None]

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.013, 0.046, 0.05)
"""1.3 % and 4.6 % are the working points of the literature on UNIX masquerades."""


def ranking_metrics(labels: Labels, scores: Scores, normal_weight: float = 1.0) -> Metrics:
    """Average precision, ROC-AUC and recall at low false-positive rates.

    Args:
        labels: 0 or 1 [n].
        scores: [n], higher is riskier; ties are treated as ties.
        normal_weight: how many normal windows each normal one stands for.
    """
    positives = int(labels.sum())
    names = ["average_precision", "roc_auc", *map(_recall_name, FALSE_POSITIVE_RATES)]
    if positives == 0 or positives == len(labels):
        return dict.fromkeys(names)
    weight = np.where(labels == 1, 1.0, normal_weight)
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    recalls = [float(true_positive[false_positive <= rate].max()) for rate in FALSE_POSITIVE_RATES]
    return dict(
        zip(
            names,
            [
                float(average_precision_score(labels, scores, sample_weight=weight)),
                float(roc_auc_score(labels, scores)),
                *recalls,
            ],
            strict=True,
        )
    )


def alert_metrics(labels: Labels, alerts: Mask, normal_weight: float = 1.0) -> Metrics:
    """Precision, recall and F1 of a set of alerts.

    Precision is None without alerts, recall without positives, F1 without either.
    """
    hits = float((labels[alerts] == 1).sum())
    raised = hits + float((labels[alerts] == 0).sum()) * normal_weight
    positives = float((labels == 1).sum())
    return {
        "precision": hits / raised if raised else None,
        "recall": hits / positives if positives else None,
        "f1": 2 * hits / (raised + positives) if raised and positives else None,
    }


def recall_by_alerts(
    labels: Labels, scores: Scores
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Recall when the k highest windows are looked at, for k = 1..n; ties in the given order."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order] == 1)
    total = max(int(found[-1]), 1) if len(found) else 1
    return np.arange(1, len(labels) + 1), found / total


def _recall_name(rate: float) -> str:
    return f"recall_at_fpr_{rate:g}"
