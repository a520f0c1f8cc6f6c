"""From scores to a table and metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from evaluation_cases import GivenScores, MakeWindows, evaluated, prepared
from score_tables import score_table

from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.evaluation.evaluator import evaluate_detector, measure
from riskml.evaluation.metrics import alert_metrics, ranking_metrics
from riskml.evaluation.outputs import alert_rows
from riskml.scoring.calibration import Calibration
from riskml.scoring.conformal import ConformalAlerts
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import AlertShare, days

SCORES = np.random.default_rng(0).normal(25, 12, 60).astype(np.float32)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
INCIDENTS = {3: ["a"], 4: ["a", "b"], 20: ["c"], 59: ["d"]}

UNLABELLED_METRICS = [
    "test_windows",
    "alerts_at_threshold",
    "alerts_at_budget",
    "alerts_per_day_at_threshold",
    "alerts_promised",
    "alerts_delivered_ratio",
    "observed_at_p_0.01",
    "p_value_gap",
    "fit_seconds",
    "score_seconds",
    "threshold",
]


def test_table(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    evaluation = evaluated(windows, SCORES)
    table = evaluation.scores
    assert table.columns == [
        *windows.test.keys.columns,
        "score",
        "p_value",
        "risk",
        "alert",
        "known_windows",
        "learning",
        "within_budget",
        "label",
        "incidents",
    ]
    assert table.select(windows.test.keys.columns).equals(windows.test.keys)
    assert table["score"].to_list() == SCORES.tolist()
    assert table["alert"].to_list() == np.greater_equal(SCORES, evaluation.threshold).tolist()
    expected = Calibration.fit(np.arange(40))
    assert table["risk"].to_list() == expected.risk(SCORES).tolist()
    assert table["p_value"].to_list() == expected.p_value(SCORES).tolist()
    assert table["label"].sum() == 4
    assert evaluation.name == "given"
    assert not table["learning"].any(), "13 train windows a user"


def test_delivered_against_promised(make_windows: MakeWindows) -> None:
    evaluation = evaluated(prepared(make_windows), SCORES)
    metrics, period = evaluation.metrics, days(evaluation.scores)
    assert metrics["alerts_promised"] == pytest.approx(period)
    assert metrics["alerts_delivered_ratio"] == evaluation.scores["alert"].sum() / period
    none = evaluated(prepared(make_windows), SCORES, rule=ConformalAlerts()).metrics
    assert none["alerts_promised"] is none["alerts_delivered_ratio"] is None


def test_windows_of_users_that_the_train_period_hardly_knew_are_marked(
    make_windows: MakeWindows,
) -> None:
    windows = prepared(make_windows)
    train = windows.train.take(np.flatnonzero(windows.train.keys["user_id"] != "user1")[:20])
    table = evaluated(replace(windows, train=train), SCORES).scores
    assert table.filter(pl.col("learning"))["user_id"].unique().to_list() == ["user1"]
    assert (table["user_id"] == "user1").sum() == table["learning"].sum()


@pytest.mark.parametrize("alert_by", ["score", "p_value"])
def test_alerts_by_score_or_by_rank_among_the_peers(
    alert_by: str, make_windows: MakeWindows
) -> None:
    windows = prepared(make_windows, n_test=400)
    quiet = [name == "user0" for name in windows.test.keys["user_id"]]

    def grouped(part: Windows) -> Windows:
        group = (
            pl.when(pl.col("user_id") == "user0").then(pl.lit("quiet")).otherwise(pl.lit("loud"))
        )
        return replace(part, keys=part.keys.with_columns(peer=group))

    rng = np.random.default_rng(5)
    calibration = make_windows(400, seed=2, first_day=4)
    loud = 100 * (calibration.keys["user_id"] != "user0").to_numpy()
    windows = replace(windows, calibration=grouped(calibration), test=grouped(windows.test))
    detector = GivenScores(
        {
            **dict(zip(calibration.keys["window_id"], rng.normal(size=400) + loud, strict=True)),
            **dict(
                zip(
                    windows.test.keys["window_id"],
                    rng.normal(size=400) + 100 * ~np.array(quiet),
                    strict=True,
                )
            ),
        }
    )
    settings = ScoringSettings(peer_windows=20, alert_by=alert_by)
    made = evaluate_detector("given", detector, windows, AlertShare(0.1), settings=settings)
    among_quiet = made.scores.filter(pl.col("alert"), pl.col("peer") == "quiet")
    share = len(among_quiet) / made.scores["alert"].sum()
    assert share == 0 if alert_by == "score" else 0.2 < share < 0.5
    # the risk reads each window among its peers, whatever decides
    high = made.scores.group_by("peer").agg((pl.col("p_value") <= 0.1).mean())
    assert high["p_value"].to_list() == pytest.approx([0.1, 0.1], abs=0.09)
    order = alert_rows(made)["score" if alert_by == "score" else "p_value"].to_list()
    assert order == sorted(order, reverse=alert_by == "score")


def test_threshold_comes_from_the_calibration_period_alone(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    # One alert a day on four days of scores 0..39: the four highest pass.
    assert evaluated(windows, SCORES).threshold == 35.5
    assert evaluated(windows, SCORES * 100).threshold == 35.5
    assert evaluated(windows, SCORES, rule=AlertShare(0.5)).threshold == 19.5


def test_scores_side_by_side_deliver_the_budget(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, n_test=40)
    step = np.spacing(np.float32(1000))
    close = np.float32(1000) + step * np.arange(40, dtype=np.float32)
    assert len(set(close.tolist())) == 40
    for calibration in (close, close[::-1], close - step):
        metrics = evaluated(windows, calibration, calibration).metrics
        assert metrics["alerts_at_threshold"] == 4


def test_metrics(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS, normal_weight=3.0)
    evaluation = evaluated(windows, SCORES)
    table, metrics = evaluation.scores, evaluation.metrics
    labels = table["label"].to_numpy()
    assert metrics["test_windows"] == 60
    assert metrics["positive_windows"] == 4
    assert metrics["prevalence"] == pytest.approx(4 / 60)
    assert metrics["fit_seconds"] == 1.5
    assert metrics["score_seconds"] >= 0  # type: ignore[operator]
    ranking = ranking_metrics(labels, SCORES, 3.0)
    assert {name: metrics[name] for name in ranking} == ranking
    for where, column in (("threshold", "alert"), ("budget", "within_budget")):
        chosen = table[column].to_numpy()
        assert metrics[f"alerts_at_{where}"] == chosen.sum()
        for name, value in alert_metrics(labels, chosen, 3.0).items():
            assert metrics[f"{name}_at_{where}"] == value
    period = (table["end"].max() - table["start"].min()).total_seconds() / 86_400  # type: ignore[operator,union-attr]
    assert metrics["alerts_per_day_at_threshold"] == pytest.approx(table["alert"].sum() / period)


def test_metrics_go_into_json(make_windows: MakeWindows) -> None:
    for incidents in (INCIDENTS, {}, None):
        metrics = evaluated(prepared(make_windows, incidents), SCORES).metrics
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
        assert {type(value) for value in metrics.values()} <= {int, float, type(None)}


def test_without_truth(make_windows: MakeWindows) -> None:
    evaluation = evaluated(prepared(make_windows), SCORES)
    assert not {"label", "incidents"} & set(evaluation.scores.columns)
    assert list(evaluation.metrics) == UNLABELLED_METRICS


def test_truth_without_positives(make_windows: MakeWindows) -> None:
    metrics = evaluated(prepared(make_windows, {}), SCORES).metrics
    assert metrics["positive_windows"] == metrics["prevalence"] == 0
    for name in ("average_precision", "roc_auc", "recall_at_budget", "incident_recall_at_budget"):
        assert metrics[name] is None
    assert metrics["precision_at_budget"] == metrics["incidents"] == 0


def table(
    alert: list[int], budget: list[int], label: list[int], incidents: list[list[str]]
) -> pl.DataFrame:
    return score_table(
        [(hour + 1) / 24 for hour in range(len(alert))],
        score=list(range(len(alert))),
        alert=alert,
        within_budget=budget,
        label=label,
        incidents=incidents,
    )


def test_incident_recall_and_alert_precision() -> None:
    found = measure(
        table(
            alert=[1, 1, 0, 0, 1, 1],
            budget=[0, 1, 0, 0, 0, 0],
            label=[1, 1, 1, 1, 0, 0],
            incidents=[["a"], ["a", "b"], ["c"], ["d"], [], []],
        )
    )
    # a and b are found, c and d are not; a by two alerts.
    assert found["incident_recall_at_threshold"] == 0.5
    assert found["recall_at_threshold"] == 0.5
    assert found["precision_at_threshold"] == 0.5
    assert found["f1_at_threshold"] == 0.5
    assert found["incident_recall_at_budget"] == 0.5
    assert found["recall_at_budget"] == 0.25
    assert found["precision_at_budget"] == 1
    assert found["alerts_per_day_at_threshold"] == 4


def test_one_alert_finds_a_long_incident() -> None:
    found = measure(table([0, 0, 1], [0, 0, 0], [1, 1, 1], [["a"], ["a"], ["a"]]))
    assert found["incident_recall_at_threshold"] == 1
    assert found["recall_at_threshold"] == pytest.approx(1 / 3)
    assert found["incident_recall_at_budget"] == 0


def test_incidents_start_where_their_table_says(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    incidents = pl.DataFrame(
        {"incident_id": ["a", "b", "c", "d"], "scenario": ["x"] * 4, "start": [LONG_AGO] * 4}
    )
    scores = np.where(np.isin(np.arange(60), list(INCIDENTS)), 99, SCORES)
    first = evaluated(windows, scores).metrics
    told = evaluated(replace(windows, incidents=incidents), scores).metrics
    assert first["incidents"] == told["incidents"] == 4
    found = "days_to_detect_mean_at_threshold"
    assert told[found] > first[found] > 0  # type: ignore[operator]


def test_positives_without_incidents() -> None:
    found = measure(table([1, 0], [1, 0], [1, 0], [[], []]))
    assert found["incident_recall_at_threshold"] is None
    assert found["recall_at_threshold"] == 1


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers(odd: float, make_windows: MakeWindows) -> None:
    windows = prepared(make_windows)
    scores = SCORES.copy()
    scores[[7, 9]] = odd
    with pytest.raises(DataError, match=r"given gave .* no finite number for 2 windows.*'3-0007'"):
        evaluated(windows, scores)
    calibration = np.arange(40, dtype=np.float32)
    calibration[3] = odd
    with pytest.raises(DataError, match="no finite number for 1 windows"):
        evaluated(windows, SCORES, calibration)


def test_constant_scores_are_not_all_alerts(make_windows: MakeWindows) -> None:
    evaluation = evaluated(prepared(make_windows), np.full(60, 0.1), np.full(40, 0.1))
    assert evaluation.metrics["alerts_at_threshold"] <= 6  # type: ignore[operator]
    assert evaluation.scores["risk"].to_list() == [0] * 60
