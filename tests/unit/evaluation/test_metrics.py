"""Detection metrics against scikit-learn and brute force."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from riskml.core.errors import ConfigError, DataError
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
AREAS = ["average_precision", "roc_auc", "partial_roc_auc_0.01"]
RANKING = [
    "average_precision",
    "roc_auc",
    *RECALLS,
    "partial_roc_auc_0.01",
    "average_precision_at_prevalence",
    "oracle_f1",
    "oracle_f1_threshold",
]


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

    assert metrics["partial_roc_auc_0.01"] == pytest.approx(
        roc_auc_score(labels, scores, max_fpr=0.01)
    )
    best = max((alert_metrics(labels, scores >= at)["f1"], at) for at in np.unique(scores))
    assert (metrics["oracle_f1"], metrics["oracle_f1_threshold"]) == pytest.approx(best)


rows = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.sampled_from([0.25, 1, 2, 7.5])),
    min_size=2,
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(rows, st.sampled_from([np.float32, np.float64]))
def test_ties_and_weights_against_scikit_learn(
    drawn: list[tuple[bool, int, float]], dtype: type[np.float32]
) -> None:
    labels = np.array([row[0] for row in drawn], np.int8)
    scores = np.array([row[1] for row in drawn], dtype)
    weights = np.array([row[2] for row in drawn])
    found = ranking_metrics(labels, scores, weights=weights)
    if labels.all() or not labels.any():
        assert found == dict.fromkeys(RANKING)
        return
    expected = {
        "average_precision": average_precision_score(labels, scores, sample_weight=weights),
        "roc_auc": roc_auc_score(labels, scores, sample_weight=weights),
        "partial_roc_auc_0.01": roc_auc_score(labels, scores, sample_weight=weights, max_fpr=0.01),
    }
    assert {name: found[name] for name in AREAS} == pytest.approx(expected)
    passed, recall, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    for rate in FALSE_POSITIVE_RATES:
        best = recall[passed <= rate * (1 + 1e-9)].max()
        assert found[f"recall_at_fpr_{rate:g}"] == pytest.approx(best)
    precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    assert found["oracle_f1"] == pytest.approx(f1.max())
    alerts = scores >= found["oracle_f1_threshold"]
    chosen = alert_metrics(labels, alerts, weights=weights)
    assert chosen["f1"] == pytest.approx(found["oracle_f1"])
    assert chosen == pytest.approx(
        {
            "precision": precision_score(labels, alerts, sample_weight=weights),
            "recall": recall_score(labels, alerts, sample_weight=weights),
            "f1": f1_score(labels, alerts, sample_weight=weights),
        }
    )


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(drawn: list[tuple[bool, int, float]], chance: Any) -> None:
    def measured(order: list[tuple[bool, int, float]]) -> dict[str, float | None]:
        labels, scores, weights = (
            np.array(column, np.float64) for column in zip(*order, strict=True)
        )
        return ranking_metrics(labels.astype(np.int8), scores, weights=weights)

    shuffled = list(drawn)
    chance.shuffle(shuffled)
    assert measured(drawn) == pytest.approx(measured(shuffled))


@pytest.mark.parametrize("prevalence", [1e-4, 0.02, 0.5])
def test_average_precision_at_another_prevalence(prevalence: float) -> None:
    labels, scores = case(3)
    risky = labels.sum()
    weight = risky / (len(labels) - risky) * (1 - prevalence) / prevalence
    found = ranking_metrics(labels, scores, prevalence=prevalence)
    expected = ranking_metrics(labels, scores, weight)["average_precision"]
    assert found["average_precision_at_prevalence"] == pytest.approx(expected)
    again = ranking_metrics(labels, scores, 79.0, prevalence=prevalence)
    assert again["average_precision_at_prevalence"] == pytest.approx(expected)
    constant = ranking_metrics(labels, np.zeros(len(labels)), prevalence=prevalence)
    assert constant["average_precision_at_prevalence"] == pytest.approx(prevalence)
    as_it_is = ranking_metrics(labels, scores, prevalence=float(labels.mean()))
    assert as_it_is["average_precision_at_prevalence"] == pytest.approx(
        as_it_is["average_precision"]
    )


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, float("nan")])
def test_a_prevalence_that_cannot_be(prevalence: float) -> None:
    with pytest.raises(ConfigError, match=r"prevalence=.* must lie between 0 and 1"):
        ranking_metrics(*case(0), prevalence=prevalence)


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        ([0, 1, 2], [1, 2, 3], None, r"label of row 2 \(.*\) is 2: labels must be 0 or 1"),
        ([0, np.nan, 1], [1, 2, 3], None, "label of row 1 .* is nan"),
        ([0, 1, 1], [1, np.nan, np.inf], None, "score of row 1 .* is nan: .* finite"),
        ([0, 1, 1], [1, 2, -np.inf], None, "score of row 2 .* is -inf"),
        ([0, 1, 1], [1, 2, 3], [1, -1, 1], "weight of row 1 .* is -1"),
        ([0, 1, 1], [1, 2], None, r"equal length, not \(3,\), \(2,\)"),
    ],
)
def test_what_cannot_be_measured_is_named(
    labels: list[float], scores: list[float], weights: list[float] | None, message: str
) -> None:
    truth, values = np.array(labels), np.array(scores, np.float64)
    with pytest.raises(DataError, match=message):
        ranking_metrics(truth, values, weights=weights)
    if weights is None:
        with pytest.raises(DataError, match=message):
            recall_by_alerts(truth, values)


def test_huge_and_tiny_scores_are_told_apart() -> None:
    labels, scores = case(5)
    expected = ranking_metrics(labels, scores)
    for odd in (scores * 1e37, np.float64(scores) * 1e307, np.float64(scores) * 1e-320):
        found = ranking_metrics(labels, odd)
        assert {n: found[n] for n in RANKING[:-1]} == {n: expected[n] for n in RANKING[:-1]}
    close = 1 + np.arange(4) * np.spacing(1.0)
    assert ranking_metrics(np.array([0, 1, 0, 1]), close)["roc_auc"] == 0.75
    zeros = ranking_metrics(np.array([0, 1]), np.array([0.0, -0.0]))
    assert zeros["roc_auc"] == zeros["average_precision"] == 0.5


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
    perfect = ranking_metrics(labels, labels.astype(np.float32), prevalence=0.001)
    assert set(perfect.values()) == {1}
    inverted = ranking_metrics(labels, -labels.astype(np.float32))
    assert inverted["roc_auc"] == 0
    assert {inverted[name] for name in RECALLS} == {0}


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("n", [0, 1, 30])
def test_one_kind_only(label: int, n: int) -> None:
    labels = np.full(n, label, np.int8)
    assert ranking_metrics(labels, np.arange(n, dtype=np.float32)) == dict.fromkeys(RANKING)
    weightless = ranking_metrics(np.array([0, 1]), np.array([1.0, 2.0]), weights=[1, 0])
    assert weightless == dict.fromkeys(RANKING)


@pytest.mark.parametrize("weight", [2, 5])
def test_weight_is_the_same_as_repeating_normal_windows(weight: int) -> None:
    labels, scores = case(7)
    times = np.where(labels == 1, 1, weight)
    again = ranking_metrics(np.repeat(labels, times), np.repeat(scores, times))
    weighted = ranking_metrics(labels, scores, weight)
    assert weighted == pytest.approx(again)
    assert weighted["oracle_f1"] < ranking_metrics(labels, scores)["oracle_f1"]
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
@given(st.lists(st.tuples(st.booleans(), st.integers(-1, 1)), min_size=1, max_size=6))
def test_recall_by_alerts_is_the_mean_over_all_orders_of_ties(
    rows: list[tuple[bool, int]],
) -> None:
    labels = np.array([label for label, _ in rows], np.int8)
    scores = np.array([score for _, score in rows], np.float32)
    k, recall = recall_by_alerts(labels, scores)
    found = []
    for order in permutations(range(len(rows))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            found.append(np.cumsum(labels[list(order)]) / max(1, labels.sum()))
    assert k.tolist() == list(range(1, len(rows) + 1))
    assert recall.tolist() == pytest.approx(np.mean(found, axis=0))


def test_recall_by_alerts_looks_at_all_windows_that_one_stands_for() -> None:
    labels, scores = case(1)
    looked_at, recall = recall_by_alerts(labels, scores, 3.0)
    times = np.where(labels == 1, 1, 3)
    k, expected = recall_by_alerts(np.repeat(labels, times), np.repeat(scores, times))
    assert np.interp(looked_at, k, expected) == pytest.approx(recall)
    assert looked_at[-1] == times.sum()


def test_recall_by_alerts_of_nothing() -> None:
    k, recall = recall_by_alerts(np.zeros(0, np.int8), np.zeros(0, np.float32))
    assert k.tolist() == recall.tolist() == []
