"""The terms of a choice without labels, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from riskml.evaluation.choice import (
    agreement,
    borda,
    precision_within,
    progress,
    told_apart,
    usual_mean,
)


def test_ranks_count_and_not_the_units() -> None:
    found = [{"a": -1e9, "b": 0.2}, {"a": 0.0, "b": 0.1}, {"a": 1.0, "b": 0.3}]
    np.testing.assert_allclose(borda(found, {"a": 1.0, "b": 1.0}), [2 / 6, 2 / 6, 5 / 6])
    np.testing.assert_allclose(borda(found, {"b": 7.0}), [3 / 6, 1 / 6, 5 / 6])
    assert borda(found, {"a": 3.0, "b": 1.0}).argmin() == 0


def test_equals_share_a_rank_and_what_is_missing_is_worst() -> None:
    np.testing.assert_allclose(borda([{"a": 1.0}] * 4, {"a": 1.0}), [0.5] * 4)
    found = [{}, {"a": -5.0}, {"a": 2.0}]
    np.testing.assert_allclose(borda(found, {"a": 1.0}), [1 / 6, 3 / 6, 5 / 6])
    assert len(borda([], {"a": 1.0})) == 0


def test_progress_is_the_mean_of_what_has_a_fixed_scale() -> None:
    terms = {"likelihood": -40.0, "injected": 0.2, "agreement": 0.8}
    assert progress(terms, {"likelihood": 9.0, "injected": 1.0, "agreement": 3.0}) == pytest.approx(
        0.65
    )
    assert progress(terms, {"likelihood": 1.0, "injected": 1.0}) == 0.2
    assert progress(terms, {"likelihood": 1.0}) == -40.0


def test_precision_counts_only_what_the_budget_has_room_for() -> None:
    labels = np.array([1, 0, 1, 0, 1], np.int8)
    scores = np.array([5, 4, 3, 2, 1], np.float32)
    three = np.array([True, True, True, False, False])
    assert precision_within(labels, scores, three) == pytest.approx((1 + 2 / 3) / 3)
    assert precision_within(labels, scores, np.ones(5, bool)) == pytest.approx(
        (1 + 2 / 3 + 3 / 5) / 3
    )
    none = np.zeros(5, bool)
    assert precision_within(labels, scores, none) == 0.0
    assert precision_within(np.zeros(5, np.int8), scores, three) == 0.0
    one = np.array([True, False, False, False, False])
    assert precision_within(labels, scores, one) == 1.0, "one alert cannot find more than one"


def test_agreement_is_a_share() -> None:
    order = np.arange(10.0)
    assert agreement(np.arange(10, dtype=np.float32) ** 3, order) == pytest.approx(1.0)
    assert agreement(-np.arange(10, dtype=np.float32), order) == pytest.approx(0.0)
    assert agreement(np.zeros(10, np.float32), order) == 0.5
    assert agreement(np.arange(10, dtype=np.float32), np.zeros(10)) == 0.5


def test_mixed_windows_are_told_apart() -> None:
    low, high = np.zeros(5, np.float32), np.ones(5, np.float32)
    assert told_apart(low, high) == 1.0
    assert told_apart(high, low) == 0.0
    assert told_apart(low, low) == 0.5


def test_a_few_odd_windows_do_not_move_the_mean() -> None:
    surprise = np.r_[np.full(95, 2.0), np.full(5, 1e6)].astype(np.float32)
    assert usual_mean(surprise) == 2.0
    assert usual_mean(np.array([3.0], np.float32)) == 3.0
