"""Promises against what came: alerts a day, p-values, probabilities."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from score_tables import random_table, score_table
from sklearn.metrics import brier_score_loss

from riskml.evaluation.measures.reliability import (
    LEVELS,
    alerts_by_day,
    brier_metrics,
    reliability_metrics,
    reliability_table,
)


def test_alerts_of_each_day() -> None:
    table = score_table([0.5, 0.9, 2.2, 2.3, 4.1], alert=[1, 0, 1, 1, 0], label=[1, 0, 0, 1, 1])
    found = alerts_by_day(table, promised=10)
    assert found["day"].to_list() == [date(2024, 3, day) for day in (4, 5, 6, 7, 8)]
    assert found["windows"].to_list() == [2, 0, 2, 0, 1]
    assert found["alerts"].to_list() == [1, 0, 2, 0, 0]
    assert found["true_alerts"].to_list() == [1, 0, 1, 0, 0]
    assert found["promised"].to_list() == [2.0] * 5


def test_alerts_of_each_day_without_truth_or_promise() -> None:
    table = score_table([0.5, 2.2], alert=[1, 1]).drop("label")
    found = alerts_by_day(table)
    assert found["true_alerts"].to_list() == found["promised"].to_list() == [None] * 3
    empty = alerts_by_day(table.head(0), promised=3)
    assert empty.is_empty()
    assert empty.columns == found.columns


def test_reliability_of_normal_windows() -> None:
    p = [0.0001, 0.005, 0.01, 0.04, 0.3, 0.5, 0.9, 1.0, 0.0, 0.0]
    table = score_table([1] * 10, p_value=p, label=[0] * 8 + [1, 1])
    found = reliability_table(table)
    assert found["promised"].to_list() == list(LEVELS)
    assert found["windows"].to_list() == [1, 1, 3, 3, 4, 4, 4, 6]
    assert set(found["of"]) == {8}
    assert found["observed"].to_list() == [n / 8 for n in found["windows"]]
    assert found["ratio"].to_list() == pytest.approx(
        [n / 8 / level for n, level in zip(found["windows"], LEVELS, strict=True)]
    )
    assert reliability_metrics(table)["observed_at_p_0.01"] == 3 / 8
    unlabelled = reliability_table(table.drop("label"))
    assert set(unlabelled["of"]) == {10}
    assert unlabelled["windows"][0] == 3


@pytest.mark.parametrize("seed", range(3))
def test_gap_is_that_of_kolmogorov_and_smirnov(seed: int) -> None:
    from scipy.stats import kstest

    p = np.random.default_rng(seed).beta(1, 1.3, 200)
    found = reliability_metrics(score_table([1] * 200, p_value=p.tolist()))
    assert found["p_value_gap"] == pytest.approx(kstest(p, "uniform").statistic)


def test_no_windows() -> None:
    empty = random_table(0).head(0)
    assert reliability_table(empty)["observed"].to_list() == [None] * len(LEVELS)
    assert set(reliability_metrics(empty).values()) == {None}
    assert set(brier_metrics(empty).values()) == {None}


def two_groups(n: int, good: float, seed: int = 0) -> pl.DataFrame:
    """Scores 0 and 1; a share of `good` of the risky windows and 1 − good of the others have 1."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.3
    high = rng.random(n) < np.where(label, good, 1 - good)
    return score_table(
        [1] * n,
        user_id=[f"user{i}" for i in rng.integers(0, n // 10, n)],
        label=label.astype(int).tolist(),
        score=high.astype(float).tolist(),
    )


def test_brier_score_of_known_chances() -> None:
    table = two_groups(8000, 0.8)
    true = np.where(table["score"] == 1, 0.24 / (0.24 + 0.14), 0.06 / (0.06 + 0.56))
    best = brier_score_loss(table["label"], true)
    found = brier_metrics(table)
    assert found["oracle_brier"] == pytest.approx(best, abs=0.003)
    assert found["oracle_brier_skill"] == pytest.approx(1 - best / 0.21, abs=0.04)
    weighted = brier_metrics(table, normal_weight=10)
    assert weighted["oracle_brier"] < found["oracle_brier"]  # type: ignore[operator]


def test_brier_score_of_perfect_and_of_useless_scores() -> None:
    perfect = brier_metrics(two_groups(2000, 1.0))
    assert (perfect["oracle_brier"], perfect["oracle_brier_skill"]) == (0, 1)
    useless = brier_metrics(two_groups(2000, 0.5).with_columns(score=pl.lit(1.0)))
    assert useless["oracle_brier_skill"] == pytest.approx(0, abs=1e-9)


def test_a_user_is_never_judged_by_own_labels() -> None:
    """Each user's score is unique, so a curve that had seen the user would be perfect."""
    rng = np.random.default_rng(0)
    n, users = 4000, 200
    user = rng.integers(0, users, n)
    chance = np.where(rng.random(users) < 0.3, 1, 0)[user]
    table = score_table(
        [1] * n,
        user_id=[f"user{i}" for i in user],
        label=chance.tolist(),
        score=user.astype(float).tolist(),
    )
    assert brier_metrics(table)["oracle_brier_skill"] < 0.1  # type: ignore[operator]


def test_brier_score_needs_two_users_under_attack_and_a_normal_window() -> None:
    names = {"oracle_brier": None, "oracle_brier_skill": None}
    one = score_table([1, 1, 1], user_id=["a", "b", "a"], label=[1, 0, 1], score=[2, 1, 3])
    assert brier_metrics(one) == names
    risky = score_table([1, 1], user_id=["a", "b"], label=[1, 1], score=[2, 1])
    assert brier_metrics(risky) == names
    assert brier_metrics(random_table(0).with_columns(label=pl.lit(0))) == names


def test_huge_scores_keep_their_order_in_the_brier_score() -> None:
    table = random_table(1, n=300, users=40)
    expected = brier_metrics(table)
    assert brier_metrics(table.with_columns(pl.col("score") * 1e300)) == expected
