"""Metrics over several test periods."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from score_tables import random_table

from riskml.evaluation.measures.budgets import budget_metrics
from riskml.evaluation.measures.folds import mean_of_defined, over_folds
from riskml.evaluation.measures.incidents import incident_metrics
from riskml.evaluation.measures.reliability import reliability_metrics
from riskml.evaluation.metrics import alert_metrics, ranking_metrics
from riskml.scoring.thresholds import days


def test_one_fold_is_the_metrics_of_its_table() -> None:
    table = random_table(0, n=120)
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    found = over_folds([table], normal_weight=3.0, promised=10, prevalence=0.01)
    ranking = ranking_metrics(labels, scores, 3.0, prevalence=0.01)
    assert {name: found[name] for name in ranking} == pytest.approx(ranking)
    for where, column in (("budget", "within_budget"), ("threshold", "alert")):
        parts = alert_metrics(labels, table[column].to_numpy(), 3.0)
        parts |= incident_metrics([table], None, where, 3.0)
        assert {name: found[f"{name}_at_{where}"] for name in parts} == parts
    assert budget_metrics([table], 3.0).items() <= found.items()
    assert reliability_metrics(table).items() <= found.items()
    assert found["alerts_delivered_ratio"] == table["alert"].sum() / 10
    assert found["incidents"] == table["incidents"].explode().drop_nulls().n_unique()


def test_rankings_are_means_and_alerts_are_counted_together() -> None:
    tables = [random_table(seed, n=100) for seed in (1, 3)]  # some incidents are in both
    tables[1] = tables[1].with_columns(score=1000 * pl.col("score") - 1e6)
    alone = [over_folds([table]) for table in tables]
    both = over_folds(tables)
    for name in ("average_precision", "roc_auc", "recall_at_fpr_0.05", "oracle_f1", "oracle_brier"):
        assert both[name] == pytest.approx(np.mean([metrics[name] for metrics in alone]))
    assert both["oracle_f1_threshold"] is None
    for name in ("test_windows", "positive_windows", "alerts_at_threshold", "alerts_at_budget"):
        assert both[name] == sum(metrics[name] for metrics in alone)
    whole = pl.concat(tables)
    pooled = alert_metrics(whole["label"].to_numpy(), whole["alert"].to_numpy())
    assert {name: both[f"{name}_at_threshold"] for name in pooled} == pooled
    span = sum(days(table) for table in tables)
    assert both["alerts_per_day_at_threshold"] == pytest.approx(whole["alert"].sum() / span)
    names = {name for table in tables for name in table["incidents"].explode().drop_nulls()}
    assert both["incidents"] == len(names) < sum(int(m["incidents"] or 0) for m in alone)
    assert list(both) == list(alone[0])


def test_a_fold_without_risky_windows_counts_where_it_can() -> None:
    table, quiet = (
        random_table(3, n=80),
        random_table(4, n=80).with_columns(
            label=pl.lit(0, pl.Int8), incidents=pl.lit([], pl.List(pl.String))
        ),
    )
    both, alone = over_folds([table, quiet]), over_folds([table])
    assert both["average_precision"] == alone["average_precision"]
    assert both["recall_at_threshold"] == alone["recall_at_threshold"]
    assert both["precision_at_threshold"] < alone["precision_at_threshold"]  # type: ignore[operator]


def test_numbers_go_into_json() -> None:
    empty = random_table(0).head(0)
    for tables in ([random_table(0)], [random_table(0), random_table(1)], [empty]):
        found = over_folds(tables)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert {type(value) for value in found.values()} <= {int, float, type(None)}


def test_mean_of_defined() -> None:
    several: list[dict[str, float | None]] = [{"a": 1, "b": None}, {"a": 2, "b": 4, "c": None}]
    assert mean_of_defined(several) == {"a": 1.5, "b": 4, "c": None}
