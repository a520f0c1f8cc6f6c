"""Incidents found, how soon and at what cost."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from score_tables import FIRST, random_table, score_table

from riskml.evaluation.measures.incidents import by_group, detections, incident_metrics
from riskml.evaluation.metrics import ranking_metrics

NAMES = [
    "incident_recall",
    "days_to_detect_median",
    "days_to_detect_mean",
    "events_to_detect_median",
    "events_to_detect_mean",
    "alerts_per_true_incident",
    "false_alerts_per_day",
    "benign_users_flagged_per_week",
]


def three_incidents() -> pl.DataFrame:
    """The first is found with its second window, the second at once and again, the third never."""
    return score_table(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 14],
        user_id=["ann", "ann", "ann", "bob", "bob", "cid", "dan", "dan", "eve", "eve"],
        n_events=[3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        label=[1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        incidents=[["x"], ["x"], ["x", "y"], ["y"], ["y"], ["z"], [], [], [], []],
        alert=[0, 1, 1, 0, 0, 0, 1, 1, 0, 1],
        within_budget=[0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    )


def known() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "incident_id": ["z", "x", "y", "old"],
            "scenario": ["leak", "leak", None, "leak"],
            "user_id": ["cid", "ann", "ann", "eve"],
            "start": [FIRST + timedelta(days=day) for day in (5.9, 0.5, 2.75, -30)],
        }
    )


def test_each_incident() -> None:
    found = detections([three_incidents()], known(), "threshold")
    assert found["incident_id"].to_list() == ["x", "y", "z"]
    assert found["scenario"].to_list() == ["leak", None, "leak"]
    assert found["user_id"].to_list() == ["ann", "ann", "cid"]
    assert found["windows"].to_list() == [3, 3, 1]
    assert found["alerts"].to_list() == [2, 1, 0]
    assert found["found"].to_list() == [True, True, False]
    at = [FIRST + timedelta(days=day) for day in (2, 3)]
    assert found["found_at"].to_list() == [*at, None]
    assert found["days_to_detect"].to_list() == [1.5, 0.25, None]
    assert found["events_to_detect"].to_list() == [7, 5, None]


def test_without_a_table_of_incidents_they_start_with_their_first_window() -> None:
    found = detections([three_incidents()], None, "threshold")
    assert found["scenario"].to_list() == [None] * 3
    assert found["days_to_detect"].to_list()[:2] == pytest.approx([1 + 1 / 24, 1 / 24])


def test_metrics() -> None:
    found = incident_metrics([three_incidents()], known(), "threshold")
    assert list(found) == NAMES
    assert found["incident_recall"] == pytest.approx(2 / 3)
    assert found["days_to_detect_median"] == found["days_to_detect_mean"] == 0.875
    assert found["events_to_detect_mean"] == 6
    assert found["alerts_per_true_incident"] == 5 / 2
    period = 13 + 1 / 24
    assert found["false_alerts_per_day"] == pytest.approx(3 / period)
    # dan in the second week (days 7 to 13), once; eve in the third
    assert found["benign_users_flagged_per_week"] == pytest.approx(2 / (period / 7))


def test_median_and_mean_are_not_the_same() -> None:
    table = score_table(
        [1, 2, 9],
        label=[1, 1, 1],
        incidents=[["a"], ["b"], ["c"]],
        alert=[1, 1, 1],
        n_events=[1, 2, 9],
    )
    incidents = pl.DataFrame(
        {"incident_id": ["a", "b", "c"], "scenario": ["s"] * 3, "start": [FIRST] * 3}
    )
    found = incident_metrics([table], incidents, "threshold")
    assert (found["days_to_detect_median"], found["days_to_detect_mean"]) == (2, 4)
    assert (found["events_to_detect_median"], found["events_to_detect_mean"]) == (2, 4)


def test_nothing_found() -> None:
    found = incident_metrics([three_incidents()], known(), "budget")
    assert found["incident_recall"] == 0
    assert {found[name] for name in NAMES[1:6]} == {None}
    assert found["false_alerts_per_day"] > 0  # type: ignore[operator]


def test_users_under_attack_are_not_benign_and_count_once_a_week() -> None:
    table = score_table(
        [0.5, 1.5, 2.5, 3.5, 6.5],
        user_id=["ann", "ann", "bob", "bob", "bob"],
        label=[1, 0, 0, 0, 0],
        alert=[1, 1, 1, 1, 1],
        incidents=[["x"], [], [], [], []],
    )
    found = incident_metrics([table], None, "threshold")
    assert found["benign_users_flagged_per_week"] == 1
    assert found["false_alerts_per_day"] == pytest.approx(4 / (6 + 1 / 24))


def test_normal_windows_that_stand_for_others() -> None:
    found = incident_metrics([three_incidents()], known(), "threshold", normal_weight=10)
    assert found["alerts_per_true_incident"] == (2 + 30) / 2
    assert found["false_alerts_per_day"] == pytest.approx(30 / (13 + 1 / 24))
    assert found["benign_users_flagged_per_week"] is None


def test_an_incident_in_two_folds_is_one() -> None:
    table = three_incidents()
    early, late = table.head(2).with_columns(alert=pl.lit(False)), table.tail(8)
    found = detections([early, late], known(), "threshold")
    assert found["found"].to_list() == [True, True, False]
    assert found["days_to_detect"].to_list() == [2.5, 0.25, None]
    assert found["events_to_detect"].to_list() == [12, 5, None]
    # a window that is in both is one window
    twice = detections([table, table], known(), "threshold")
    assert twice.equals(detections([table], known(), "threshold"))
    spans = [2 - 1 + 1 / 24, 14 - 3 + 1 / 24]
    metrics = incident_metrics([early, late], known(), "threshold")
    assert metrics["false_alerts_per_day"] == pytest.approx(3 / sum(spans))


@pytest.mark.parametrize("rows", [0, 10])
def test_no_incidents(rows: int) -> None:
    table = three_incidents().tail(4).head(rows)
    found = incident_metrics([table], known(), "threshold")
    assert found["incident_recall"] is found["alerts_per_true_incident"] is None
    assert (found["false_alerts_per_day"] is None) == (rows == 0)
    assert detections([table], known(), "budget").is_empty()


def test_groups_are_parts_of_the_table() -> None:
    table = random_table(0, n=200).with_columns(
        peer=pl.when(pl.col("user_id") < "user3").then(pl.lit("lab")).otherwise(pl.lit("desk"))
    )
    found = by_group(table, None, "peer")
    assert found["group"].to_list() == ["desk", "lab"]
    for row in found.iter_rows(named=True):
        part = table.filter(pl.col("peer") == row["group"])
        labels = part["label"].to_numpy()
        ranking = ranking_metrics(labels, part["score"].to_numpy())
        assert row["windows"] == len(part)
        assert row["users"] == part["user_id"].n_unique()
        assert row["positives"] == labels.sum()
        assert row["average_precision"] == ranking["average_precision"]
        assert row["roc_auc"] == ranking["roc_auc"]
        own = detections([part], None, "budget")
        assert row["incidents"] == len(own)
        assert row["incident_recall_at_budget"] == own["found"].mean()
        found_ = part.filter("within_budget")["label"].sum()
        assert row["recall_at_budget"] == pytest.approx(found_ / labels.sum())


def test_tenure_tells_new_users_apart() -> None:
    table = score_table(
        [1, 2, 3, 4],
        label=[1, 0, 0, 0],
        known_windows=[0, 0, 3, 90],
        learning=[True, False, True, False],
    )
    found = by_group(table, None, "tenure")
    assert dict(zip(found["group"], found["windows"], strict=True)) == {
        "known": 1,
        "new": 1,
        "unseen": 2,
    }
    assert found.filter(pl.col("group") == "known")["average_precision"].to_list() == [None]


def test_a_scenario_is_measured_among_all_normal_windows() -> None:
    found = by_group(three_incidents(), known(), "scenario")
    assert found["group"].to_list() == ["unknown", "leak"]
    assert found["positives"].to_list() == [3, 4]
    assert found["windows"].to_list() == [7, 8]
    assert found["incidents"].to_list() == [1, 2]
    assert found["incident_recall_at_threshold"].to_list() == [1, 0.5]
    assert found["recall_at_threshold"].to_list() == pytest.approx([1 / 3, 1 / 2])
    assert by_group(three_incidents(), None, "scenario").is_empty()


def test_groups_of_nothing() -> None:
    empty = three_incidents().head(0).with_columns(peer=pl.lit("x"))
    assert by_group(empty, known(), "peer").is_empty()
