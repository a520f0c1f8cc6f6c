"""Two models beside each other, by numbers that can be counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from riskml.core.errors import DataError
from riskml.evaluation.agreement import agreement, joined, moved_most, overlap

FIRST = datetime(2024, 3, 4, tzinfo=UTC)


def rows(scores: list[float], threshold: float, users: int = 4) -> pl.DataFrame:
    """A window a user and day."""
    at = [FIRST + timedelta(days=i // users) for i in range(len(scores))]
    return pl.DataFrame(
        {
            "user_id": [f"user{i % users}" for i in range(len(scores))],
            "window_start": at,
            "window_end": [moment + timedelta(hours=1) for moment in at],
            "score": scores,
            "risk": [10 * score for score in scores],
            "alert": [score >= threshold for score in scores],
        }
    )


A, B = rows([1, 2, 3, 4, 4, 3, 2, 1], 4), rows([1, 2, 4, 3, 5, 3, 2, 1], 4)


def test_ranks_and_alerts() -> None:
    found = agreement(joined(A, B))
    assert (found["windows"], found["users"], found["days"]) == (8, 4, 2)
    assert found["alerts_a_day"] == {"both": 0.5, "only_a": 0.5, "only_b": 0.5}
    # by hand: ranks with ties 1.5 3.5 5.5 7.5 7.5 5.5 3.5 1.5 and 1.5 3.5 7 5.5 8 5.5 3.5 1.5
    # around their mean of 4.5: products sum to 37, squares to 40 and 40.5
    assert found["spearman"] == pytest.approx(37 / (40 * 40.5) ** 0.5)
    # of 28 pairs 22 in the same order, 1 the other way; 4 tied by A, 3 by B
    assert found["kendall"] == pytest.approx((22 - 1) / (24 * 25) ** 0.5)
    assert found["distribution"]["b"]["score"][-1] == 5


def test_the_same_agrees_with_itself() -> None:
    found = agreement(joined(A, A))
    assert found["spearman"] == found["kendall"] == pytest.approx(1)
    assert all(each["jaccard"] == pytest.approx(1) for each in found["overlap"])
    assert moved_most(joined(A, A)).is_empty()


def test_all_alike_has_no_ranks() -> None:
    found = agreement(joined(A, rows([1.0] * 8, 4)))
    assert (found["spearman"], found["kendall"]) == (None, None)


def test_overlap_counts_in_part() -> None:
    table = joined(A, B)
    # 250 of 1,000 users: one of four a day; the first day they differ, the second agree
    assert overlap(table, 250) == pytest.approx(1 / 3)
    # half an alert a day: the same windows, each half as often
    assert overlap(table, 125) == pytest.approx(1 / 3)
    # two of four a day: the first day {4, 3} both ways, the second {4, 3} and {5, 3}
    assert overlap(table, 500) == pytest.approx(1)
    # ties share: A looks at any one of four, B at the last
    tied = joined(rows([1, 1, 1, 1], 9), rows([1, 1, 1, 2], 9))
    assert overlap(tied, 250) == pytest.approx(0.25 / 1.75)
    assert overlap(tied, 0) is None


def test_whose_risk_moved_most() -> None:
    moved = moved_most(joined(A, B), 2)
    assert set(moved["user_id"]) <= {"user0", "user2", "user3"}
    assert moved["moved"].abs().to_list() == pytest.approx([10, 10])
    assert moved["user_id"].n_unique() == 2


def test_windows_of_other_times_do_not_match() -> None:
    later = B.with_columns(pl.col("window_end") + timedelta(minutes=1))
    with pytest.raises(DataError, match="none of 8 and 8 windows is of the same user and time"):
        joined(A, later)
    assert len(joined(A, B.head(3))) == 3
