"""Every measure that takes a weight of normal windows takes the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from score_tables import random_table

from riskml.core.errors import ConfigError
from riskml.evaluation.measures.bootstrap import resample
from riskml.evaluation.measures.budgets import budget_metrics, look
from riskml.evaluation.measures.folds import over_folds
from riskml.evaluation.measures.incidents import by_group, incident_metrics
from riskml.evaluation.measures.reliability import brier_metrics
from riskml.evaluation.metrics import alert_metrics, ranking_metrics, recall_by_alerts

LABELS, SCORES = np.array([0, 1, 0, 1], np.int8), np.array([0.1, 0.9, 0.4, 0.3])
MEASURES: dict[str, Callable[[pl.DataFrame, float], Any]] = {
    "ranking": lambda _, weight: ranking_metrics(LABELS, SCORES, weight),
    "alerts": lambda _, weight: alert_metrics(LABELS, SCORES > 0.2, weight),
    "recall": lambda _, weight: recall_by_alerts(LABELS, SCORES, weight),
    "look": lambda table, weight: look(table, [1], weight),
    "budgets": lambda table, weight: budget_metrics([table], weight),
    "brier": brier_metrics,
    "incidents": lambda table, weight: incident_metrics([table], None, "budget", weight),
    "groups": lambda table, weight: by_group(table, None, "peer", weight),
    "resamples": lambda table, weight: resample([table], weight, resamples=2),
    "folds": lambda table, weight: over_folds([table], weight),
}


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return random_table(0)


@pytest.mark.parametrize("weight", [-1, 0, float("nan"), float("inf"), True, "2"])
@pytest.mark.parametrize("name", MEASURES)
def test_no_weight(name: str, weight: Any, table: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match=f"normal_weight={weight} must be a finite number above"):
        MEASURES[name](table, weight)


@pytest.mark.parametrize("weight", [0.5, 3, np.float64(2.0), np.float32(2.0), np.int64(2)])
def test_a_weight(weight: float) -> None:
    assert ranking_metrics(LABELS, SCORES, weight)["roc_auc"] == 0.75
