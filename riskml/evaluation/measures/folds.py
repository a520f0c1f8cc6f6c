"""All numbers of a detector on one test period or on several: what metrics.json holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from riskml.core.errors import require_positive
from riskml.evaluation.measures.budgets import budget_metrics
from riskml.evaluation.measures.incidents import CHOSEN, detections, incident_metrics
from riskml.evaluation.measures.reliability import brier_metrics, reliability_metrics
from riskml.evaluation.metrics import Metrics, alert_metrics, ranking_metrics
from riskml.scoring.thresholds import days

PER_FOLD = ("oracle_f1_threshold",)
"""What has no mean over folds: a score means something else after each refit."""


def over_folds(
    tables: Sequence[pl.DataFrame],
    normal_weight: float = 1.0,
    promised: float | None = None,
    incidents: pl.DataFrame | None = None,
    prevalence: float | None = None,
) -> Metrics:
    """All metrics of a detector over its folds.

    Scores of different refits cannot be compared, so ranking metrics and the Brier score are the
    mean over the folds in which they are defined. Alerts, incidents, budgets and p-values are
    counted over all folds together: the windows of each fold, and an incident once, found if it is
    found in any of them.

    Args:
        tables: of scores, one a fold, see `Evaluation.scores`.
        normal_weight: how many normal windows each normal one stands for.
        promised: how many alerts the rule was to give in all folds, where it promises a number.
        incidents: see `PreparedWindows.incidents`; None where no more than their ids are known.
        prevalence: the share of risky windows that `average_precision_at_prevalence` is for.

    Returns:
        By the names of docs/outputs.md; without labels only what needs none.

    Raises:
        DataError: a label is not 0 or 1, or a score is not a finite number.
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    columns = [name for name in _POOLED if all(name in table.columns for table in tables)]
    whole = pl.concat([table.select(columns) for table in tables])
    alerts = int(whole["alert"].sum())
    span = sum(days(table) for table in tables if len(table))
    metrics: Metrics = {
        "test_windows": len(whole),
        "alerts_at_threshold": alerts,
        "alerts_at_budget": int(whole["within_budget"].sum()),
        "alerts_per_day_at_threshold": alerts / span if span else None,
        "alerts_promised": promised,
        "alerts_delivered_ratio": alerts / promised if promised else None,
        **reliability_metrics(whole),
    }
    if "label" not in columns:
        return metrics
    labels = whole["label"].to_numpy()
    ranking = [
        ranking_metrics(
            table["label"].to_numpy(),
            table["score"].to_numpy(),
            normal_weight,
            prevalence=prevalence,
        )
        for table in tables
    ]
    metrics |= {
        "positive_windows": int(labels.sum()),
        "prevalence": float(labels.mean()) if len(labels) else None,
        "incidents": len(detections(tables, incidents, "budget")),
        **mean_of_defined(ranking),
    }
    if len(tables) > 1:
        metrics |= dict.fromkeys(PER_FOLD)
    for where, column in CHOSEN.items():
        found = alert_metrics(labels, whole[column].to_numpy(), normal_weight)
        found |= incident_metrics(tables, incidents, where, normal_weight)
        metrics |= {f"{name}_at_{where}": value for name, value in found.items()}
    metrics |= budget_metrics(tables, normal_weight)
    return metrics | mean_of_defined([brier_metrics(table, normal_weight) for table in tables])


_POOLED = ("p_value", "alert", "within_budget", "label")


def mean_of_defined(several: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over those where it is defined; None where it is in none."""
    found: Metrics = {}
    for name in dict.fromkeys(name for metrics in several for name in metrics):
        values = [value for metrics in several if (value := metrics.get(name)) is not None]
        found[name] = float(np.mean(values)) if values else None
    return found
