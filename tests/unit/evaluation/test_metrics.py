"""Detection metrics against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from riskml.core.types import FloatArray
from riskml.evaluation.metrics import (
    FALSE_POSITIVE_RATES,
    Labels,
    Mask,
    alert_metrics,
    ranking_metrics,
    recall_by_alerts,
)

RECALLS = [f"recall_at_fpr_{rate:g}" for rate in FALSE_POSITIVE_RATES]
RANKING = ["average_precision", "roc_auc", *RECALLS]


def case(
    seed: int, n: int = 400, share: float = 0.1, levels: int = 20
) -> tuple[Labels, FloatArray]:
    """Labels and scores with many ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int8)
    scores = np.round(rng.normal(size=n) + labels, 1 if levels else 6).astype(np.float32)
    return labels, scores


def recall_by_hand(labels: Labels, scores: FloatArray, rate: float) -> float:
    """Best recall of any threshold that lets at most this share of normal windows pass."""
    best = 0.0
    for threshold in [np.inf, *scores]:
        alerts = scores >= threshold
        if alerts[labels == 0].mean() <= rate:
            best = max(best, float(alerts[labels == 1].mean()))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn_and_brute_force(seed: int) -> None:
    labels, scores = case(seed)
    metrics = ranking_metrics(labels, scores)
    assert list(metrics) == RANKING
    assert metrics["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    for rate in FALSE_POSITIVE_RATES:
        found = metrics[f"recall_at_fpr_{rate:g}"]
        assert found == pytest.approx(recall_by_hand(labels, scores, rate))


def test_names_are_stable() -> None:
    promised = {f"recall_at_fpr_{rate}" for rate in ("0.001", "0.01", "0.05")}
    assert promised <= set(RECALLS)
    assert list(ranking_metrics(*case(0))) == RANKING


def test_a_rate_that_is_just_reached_counts() -> None:
    labels = np.array([0] * 100 + [1] * 4, np.int8)
    scores = np.zeros(104, np.float32)
    scores[0], scores[100:] = 5, [9, 6, 4, 0]
    metrics = ranking_metrics(labels, scores)
    assert metrics["recall_at_fpr_0.001"] == 0.5
    assert metrics["recall_at_fpr_0.01"] == 0.75


def test_random_and_constant_scores() -> None:
    labels, _ = case(0, n=20_000)
    noise = np.random.default_rng(1).random(20_000).astype(np.float32)
    metrics = ranking_metrics(labels, noise)
    assert metrics["roc_auc"] == pytest.approx(0.5, abs=0.02)
    assert metrics["average_precision"] == pytest.approx(labels.mean(), abs=0.02)
    constant = ranking_metrics(labels, np.ones(20_000, np.float32))
    assert constant["roc_auc"] == pytest.approx(0.5)
    assert constant["average_precision"] == pytest.approx(labels.mean())
    assert {constant[name] for name in RECALLS} == {0}


def test_perfect_and_inverted_scores() -> None:
    labels, _ = case(2)
    assert set(ranking_metrics(labels, labels.astype(np.float32)).values()) == {1}
    inverted = ranking_metrics(labels, -labels.astype(np.float32))
    assert inverted["roc_auc"] == 0
    assert {inverted[name] for name in RECALLS} == {0}


@pytest.mark.parametrize("label", [0, 1])
def test_one_kind_only(label: int) -> None:
    labels = np.full(30, label, np.int8)
    assert ranking_metrics(labels, np.arange(30, dtype=np.float32)) == dict.fromkeys(RANKING)


@pytest.mark.parametrize("weight", [2, 5])
def test_weight_is_the_same_as_repeating_normal_windows(weight: int) -> None:
    labels, scores = case(7)
    times = np.where(labels == 1, 1, weight)
    again = ranking_metrics(np.repeat(labels, times), np.repeat(scores, times))
    weighted = ranking_metrics(labels, scores, weight)
    assert weighted == pytest.approx(again)
    assert weighted["average_precision"] < ranking_metrics(labels, scores)["average_precision"]
    alerts = scores > 1
    assert alert_metrics(labels, alerts, weight) == pytest.approx(
        alert_metrics(np.repeat(labels, times), np.repeat(alerts, times))
    )


@pytest.mark.parametrize("seed", range(3))
def test_alerts_against_scikit_learn(seed: int) -> None:
    labels, scores = case(seed)
    alerts = scores > 1
    assert alert_metrics(labels, alerts) == pytest.approx(
        {
            "precision": precision_score(labels, alerts),
            "recall": recall_score(labels, alerts),
            "f1": f1_score(labels, alerts),
        }
    )


@pytest.mark.parametrize(
    ("labels", "alerts", "expected"),
    [
        ([0, 0], [0, 0], (None, None, None)),
        ([0, 0], [0, 1], (0.0, None, None)),
        ([0, 1], [0, 0], (None, 0.0, None)),
        ([0, 1], [1, 0], (0.0, 0.0, 0.0)),
        ([1, 1], [1, 0], (1.0, 0.5, 2 / 3)),
        ([0, 1], [1, 1], (0.5, 1.0, 2 / 3)),
    ],
    ids=["nothing", "no-positives", "no-alerts", "missed", "all-positive", "all-alerts"],
)
def test_alerts_where_something_is_missing(
    labels: list[int], alerts: list[int], expected: tuple[float | None, ...]
) -> None:
    mask: Mask = np.array(alerts, bool)
    found = alert_metrics(np.array(labels, np.int8), mask)
    assert tuple(found.values()) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40))
def test_recall_by_alerts_against_brute_force(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in rows], np.int8)
    scores = np.array([score for _, score in rows], np.float32)
    k, recall = recall_by_alerts(labels, scores)
    order = sorted(range(len(rows)), key=lambda i: -rows[i][1])
    found = [sum(rows[i][0] for i in order[:n]) for n in range(1, len(rows) + 1)]
    assert k.tolist() == list(range(1, len(rows) + 1))
    assert recall.tolist() == pytest.approx([f / max(1, labels.sum()) for f in found])


def test_recall_by_alerts_of_nothing() -> None:
    k, recall = recall_by_alerts(np.zeros(0, np.int8), np.zeros(0, np.float32))
    assert k.tolist() == recall.tolist() == []
