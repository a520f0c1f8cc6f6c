"""Files and tables that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_cases import (
    INCIDENTS,
    SCORES,
    MakeWindows,
    compared,
    evaluated,
    prepared,
    with_reasons,
)

from riskml.evaluation.comparison import Row
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.outputs import (
    MAX_EXPLAINED,
    alert_rows,
    alerts_table,
    metrics_document,
    write_metrics,
    write_tables,
)


@pytest.fixture
def evaluation(make_windows: MakeWindows) -> Evaluation:
    return evaluated(prepared(make_windows, INCIDENTS), SCORES)


def test_numbers_that_are_not_defined_are_null_and_never_nan(
    make_windows: MakeWindows, tmp_path: Path
) -> None:
    windows = prepared(make_windows, {})
    document = metrics_document(compared(windows, [evaluated(windows, SCORES)]))
    assert json.loads(write_metrics(tmp_path, document).read_text())["metrics"]["roc_auc"] is None
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(tmp_path, {"a": float("nan")})


def test_alerts_are_sorted_and_have_their_reasons(evaluation: Evaluation) -> None:
    alerts = with_reasons(evaluation)
    passed = np.flatnonzero(evaluation.threshold <= SCORES)
    expected = passed[np.argsort(-SCORES[passed])]
    assert len(expected) > 5
    assert alerts["row"].to_list() == expected.tolist()
    assert alerts["score"].to_list() == SCORES[expected].tolist()
    assert alerts["reasons"].to_list() == [[f"first of {i}", "second; [b]"] for i in expected]


def test_alerts_of_one_score_are_in_order_of_their_ids(make_windows: MakeWindows) -> None:
    scores = np.zeros(60)
    scores[[9, 5, 30]] = 99
    rows = alert_rows(evaluated(prepared(make_windows), scores))
    assert rows["row"].to_list() == [5, 9, 30]


def test_only_so_many_alerts_are_explained(make_windows: MakeWindows) -> None:
    scores = 50 + np.arange(MAX_EXPLAINED + 40)
    made = evaluated(prepared(make_windows, n_test=len(scores)), scores)
    assert made.scores["alert"].sum() == MAX_EXPLAINED + 40
    assert alert_rows(made)["score"].to_list() == (50 + np.arange(40, 240))[::-1].tolist()


@pytest.mark.parametrize("incidents", [INCIDENTS, {}, None], ids=["truth", "normal", "no-truth"])
def test_tables_are_read_as_they_were_written(
    incidents: dict[int, list[str]] | None, make_windows: MakeWindows, tmp_path: Path
) -> None:
    made = evaluated(prepared(make_windows, incidents), SCORES)
    alerts = with_reasons(made)
    write_tables(tmp_path, Row((made,), {}), alerts)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "alerts.csv",
        "alerts.parquet",
        "scores.parquet",
    ]
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.drop("fold", "seed").equals(made.scores.drop("within_budget"))
    assert scores.select(pl.col("fold", "seed").unique()).rows() == [(0, 0)]
    stored = pl.read_parquet(tmp_path / "alerts.parquet")
    assert stored.equals(alerts.drop("within_budget", "row"))
    sheet = pl.read_csv(tmp_path / "alerts.csv")
    assert sheet.columns == stored.columns
    assert sheet["window_id"].to_list() == stored["window_id"].to_list()
    assert sheet["score"].cast(pl.Float32).to_list() == stored["score"].to_list()
    assert sheet["reasons"].to_list() == ["; ".join(texts) for texts in stored["reasons"]]


def test_no_alerts(make_windows: MakeWindows, tmp_path: Path) -> None:
    made = evaluated(prepared(make_windows, INCIDENTS), np.full(60, -5))
    alerts = alerts_table(made, [])
    assert alerts.is_empty()
    write_tables(tmp_path, Row((made,), {}), alerts)
    assert pl.read_csv(tmp_path / "alerts.csv").is_empty()


def test_names_from_the_log_are_no_formulas(evaluation: Evaluation, tmp_path: Path) -> None:
    alerts = with_reasons(evaluation).with_columns(user_id=pl.lit("=cmd()"))
    write_tables(tmp_path, Row((evaluation,), {}), alerts)
    assert pl.read_csv(tmp_path / "alerts.csv")["user_id"].str.starts_with("'=cmd()").all()
