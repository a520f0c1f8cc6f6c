"""What is found by looking at so many windows a day."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np
import polars as pl
import pytest
from score_tables import random_table, score_table

from riskml.core.errors import DataError
from riskml.evaluation.measures.budgets import BUDGETS, budget_metrics, look
from riskml.scoring.thresholds import DailyBudget


def users_of(n: int) -> list[str]:
    return [f"user{number}" for number in range(n)]


def by_hand(table: pl.DataFrame, room: float) -> tuple[float, float]:
    """Mean hits and alerts over all orders of ties; the part of an alert is a part of the next."""
    hits = raised = 0.0
    for day in table.with_columns(pl.col("end").dt.date()).partition_by("end"):
        scores, labels = day["score"].to_list(), day["label"].to_list()
        orders = [
            order
            for order in permutations(range(len(day)))
            if all(scores[a] >= scores[b] for a, b in pairwise(order))
        ]
        share = [min(1.0, max(0.0, room - place)) for place in range(len(day))]
        found = [sum(labels[i] * s for i, s in zip(order, share, strict=True)) for order in orders]
        hits += float(np.mean(found))
        raised += sum(share)
    return hits, raised


@pytest.mark.parametrize("seed", range(6))
def test_against_every_order_of_ties(seed: int) -> None:
    table = random_table(seed, n=7, users=5, days=2.9)
    users = table["user_id"].n_unique()
    budgets = [50, 200, 300, 420, 700, 1e6]
    looked = look(table, budgets)
    for budget, hits, raised in zip(budgets, looked.hits, looked.raised, strict=True):
        assert (hits, raised) == pytest.approx(by_hand(table, budget * users / 1000))


@pytest.mark.parametrize("seed", range(3))
def test_more_budget_never_finds_less(seed: int) -> None:
    table = random_table(seed, n=400, users=60, levels=3)
    looked = look(table, range(1, 200))
    assert (np.diff(looked.hits) >= -1e-9).all()
    assert (np.diff(looked.raised) >= 0).all()


def test_a_part_of_an_alert_is_one_more_on_that_share_of_days() -> None:
    table = score_table(
        [0.1, 0.2, 0.3, 1.1, 1.2, 1.3],
        user_id=users_of(6),
        score=[3, 2, 1] * 2,
        label=[0, 1, 1, 1, 0, 0],
    )
    looked = look(table, [250, 50])  # one and a half a day, and three in ten days
    assert looked.hits.tolist() == pytest.approx([1.5, 0.3])
    assert looked.raised.tolist() == pytest.approx([3, 0.6])


def test_days_are_those_on_which_windows_end_in_utc() -> None:
    table = score_table([1.0, 1.02, 0.99], user_id=users_of(3), score=[3, 2, 1], label=[1, 1, 1])
    assert look(table, [334]).hits == pytest.approx(1.002 + 1)


def test_whole_budgets_are_those_of_the_daily_budget() -> None:
    table = random_table(1, n=400, users=100, days=9.9, levels=1e9)
    mask = DailyBudget(3, max_share=1).top(table["score"].to_numpy(), table)
    looked = look(table, [3000 / table["user_id"].n_unique()])
    assert looked.raised == pytest.approx(mask.sum())
    assert looked.hits == pytest.approx((mask & (table["label"] == 1).to_numpy()).sum())


@pytest.mark.parametrize("weight", [2, 3])
def test_a_weight_is_the_same_as_repeating_normal_windows(weight: int) -> None:
    table = random_table(2, n=200, users=40)
    again = pl.concat([table, *[table.filter(pl.col("label") == 0)] * (weight - 1)])
    assert budget_metrics([table], weight) == pytest.approx(budget_metrics([again]))


def test_names_and_cumulative_recall() -> None:
    table = random_table(3, n=300, users=90)
    found = budget_metrics([table])
    kinds = product(BUDGETS, ("precision", "recall", "f1"))
    names = [f"{kind}_at_{k}_per_1000_users" for k, kind in kinds]
    assert list(found) == [*names, "cumulative_recall_50", "cumulative_recall_area_50"]
    looked = look(table, range(1, 51))
    recalls = looked.hits / looked.positives
    assert found["cumulative_recall_50"] == pytest.approx(recalls.sum())
    assert found["cumulative_recall_area_50"] == pytest.approx(recalls.mean())
    for k in BUDGETS:
        hits, raised = looked.hits[k - 1], looked.raised[k - 1]
        assert found[f"recall_at_{k}_per_1000_users"] == pytest.approx(recalls[k - 1])
        assert found[f"precision_at_{k}_per_1000_users"] == pytest.approx(hits / raised)
        f1 = 2 * hits / (raised + looked.positives)
        assert found[f"f1_at_{k}_per_1000_users"] == pytest.approx(f1)


def test_everything_looked_at_finds_everything() -> None:
    table = random_table(4)
    assert budget_metrics([table], budgets=[10**6 // 2])["recall_at_500000_per_1000_users"] == 1


def test_folds_are_looked_at_apart_and_counted_together() -> None:
    one, other = random_table(5), random_table(6, users=20)
    both = look(one, BUDGETS) + look(other, BUDGETS)
    found = budget_metrics([one, other])
    for k, hits, raised in zip(BUDGETS, both.hits, both.raised, strict=True):
        assert found[f"precision_at_{k}_per_1000_users"] == pytest.approx(hits / raised)
        assert found[f"recall_at_{k}_per_1000_users"] == pytest.approx(hits / both.positives)


def test_constant_scores_find_their_share() -> None:
    table = random_table(7, n=200, users=100).with_columns(score=pl.lit(2.0))
    by_day = table.group_by(pl.col("end").dt.date()).agg(pl.len(), pl.col("label").sum())
    looked = look(table, [30])
    share = (3 * table["user_id"].n_unique() / 100) / by_day["len"]
    assert looked.hits == pytest.approx((share * by_day["label"]).sum())


def test_nothing_to_find_and_nothing_to_look_at() -> None:
    table = random_table(0).with_columns(label=pl.lit(0, pl.Int8))
    found = budget_metrics([table])
    assert {name for name, value in found.items() if value is not None} == {
        f"precision_at_{k}_per_1000_users" for k in BUDGETS
    }
    assert set(budget_metrics([table.head(0)]).values()) == {None}


def test_odd_scores_are_refused() -> None:
    table = random_table(0).with_columns(score=pl.lit(float("nan")))
    with pytest.raises(DataError, match="score of row 0"):
        budget_metrics([table])
