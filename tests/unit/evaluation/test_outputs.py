"""Files and tables that a run leaves."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared
from rich.console import Console

from riskml.core.types import Reason
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.outputs import (
    MAX_EXPLAINED,
    alert_rows,
    alerts_table,
    metrics_document,
    print_alerts,
    print_table,
    write_metrics,
    write_tables,
)

SCORES = np.random.default_rng(0).normal(30, 12, 60).astype(np.float32)
INCIDENTS = {3: ["a"], 4: ["a", "b"], 20: ["c"]}


@pytest.fixture
def evaluation(make_windows: MakeWindows) -> Evaluation:
    return evaluated(prepared(make_windows, INCIDENTS), SCORES)


def console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=200, no_color=True), text


def with_reasons(evaluation: Evaluation) -> pl.DataFrame:
    rows = alert_rows(evaluation)["row"]
    reasons = [[Reason("t", 2, f"first of {row}"), Reason("u", 1, "second; [b]")] for row in rows]
    return alerts_table(evaluation, reasons)


def test_metrics_document(make_windows: MakeWindows, tmp_path: Path) -> None:
    windows = prepared(make_windows, INCIDENTS)
    several = [evaluated(windows, SCORES * f, name=f"x{f}") for f in (1, -1)]
    document = metrics_document(several, windows, {"data": "made", "seed": 3})
    path = write_metrics(tmp_path, document)
    assert path == tmp_path / "metrics.json"
    read = json.loads(path.read_text())
    assert read == document
    assert read["schema_version"] == 1
    assert (read["data"], read["seed"], read["detector"]) == ("made", 3, "x1")
    assert read["windows"] == {"train": 40, "calibration": 40, "test": 60}
    assert read["features"] == 5
    tokens = windows.test.tokens
    assert read["unknown_action_rate"] == pytest.approx((tokens == 1).sum() / (tokens > 0).sum())
    assert list(read["detectors"]) == ["x1", "x-1"]
    assert read["metrics"] == read["detectors"]["x1"] == several[0].metrics


def test_numbers_that_are_not_defined_are_null_and_never_nan(
    make_windows: MakeWindows, tmp_path: Path
) -> None:
    windows = prepared(make_windows, {})
    document = metrics_document([evaluated(windows, SCORES)], windows, {})
    assert json.loads(write_metrics(tmp_path, document).read_text())["metrics"]["roc_auc"] is None
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(tmp_path, {"a": float("nan")})


def test_footnotes_and_what_could_not_be_evaluated(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    several = [
        replace(evaluated(windows, SCORES * factor, name=name), note=note)
        for name, factor, note in [("a", 1, ""), ("b", -1, "made stable"), ("c", 2, "made stable")]
    ]
    refused = {"d": "these windows hold no actions"}
    document = metrics_document(several, windows, {}, refused)
    assert document["notes"] == {"b": "made stable", "c": "made stable"}
    assert document["refused"] == refused
    assert "d" not in document["detectors"]
    shown, text = console()
    print_table(shown, several, "5 alerts a day", refused)
    lines = text.getvalue().splitlines()
    rows = {line.split()[1]: line for line in lines if line.startswith("│")}
    assert "[" not in rows["a"]
    assert "b [1]" in rows["b"]
    assert "c [1]" in rows["c"]
    assert "d [2]" in rows["d"]
    assert rows["d"].count("–") == 7
    assert lines[-2:] == ["[1] made stable", "[2] these windows hold no actions"]


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
    write_tables(tmp_path, made, alerts)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "alerts.csv",
        "alerts.parquet",
        "scores.parquet",
    ]
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.equals(made.scores.drop("within_budget"))
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
    write_tables(tmp_path, made, alerts)
    assert pl.read_csv(tmp_path / "alerts.csv").is_empty()
    out, text = console()
    print_alerts(out, alerts, 0)
    assert text.getvalue() == "No alerts.\n"


def test_printed_table(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    perfect = np.zeros(60)
    perfect[list(INCIDENTS)] = 50
    several = [
        evaluated(windows, scores, name=name)
        for name, scores in (("middling", SCORES), ("worst", -perfect), ("best", perfect))
    ]
    out, text = console()
    print_table(out, several, "5 alerts a day")
    shown = text.getvalue()
    assert "Test period: 3 risky of 60 windows" in shown
    assert "within the budget: 5" in shown
    lines = [line for line in shown.splitlines() if any(e.name in line for e in several)]
    assert [next(e.name for e in several if e.name in line) for line in lines] == [
        "best",
        "middling",
        "worst",
    ]
    cells = [cell.strip() for cell in lines[0].strip("│┃ ").split("│")]
    assert cells[:3] == ["best", "1.000", "1.000"]
    assert cells[6] == "1.50"


def test_undefined_cells_are_dashes(evaluation: Evaluation) -> None:
    evaluation.metrics["f1_at_budget"] = None
    out, text = console()
    print_table(out, [evaluation], "one")
    assert "–" in text.getvalue().splitlines()[-2]


def test_nothing_to_measure(make_windows: MakeWindows) -> None:
    out, text = console()
    print_table(out, [evaluated(prepared(make_windows), SCORES)], "one")
    assert text.getvalue().startswith("Nothing known to be risky in the test period")


def test_printed_alerts(evaluation: Evaluation) -> None:
    alerts = with_reasons(evaluation)
    out, text = console()
    print_alerts(out, alerts, len(alerts), top=2)
    lines = text.getvalue().splitlines()
    assert lines[0] == f"{len(alerts)} alerts; the riskiest:"
    first = alerts.row(0, named=True)
    truth = "truly risky" if first["label"] else "normal in truth"
    assert first["user_id"] in lines[1]
    assert f"{first['start']:%Y-%m-%d %H:%M}" in lines[1]
    assert truth in lines[1]
    assert lines[2:4] == [f"        - first of {first['row']}", "        - second; [b]"]
    assert len(lines) == 7


@pytest.mark.parametrize("user", ["svc[prod]", "a[/b]", "[red]x"])
def test_user_names_are_printed_as_they_are(user: str, evaluation: Evaluation) -> None:
    out, text = console()
    print_alerts(out, with_reasons(evaluation).with_columns(user_id=pl.lit(user)), 1)
    assert user in text.getvalue().splitlines()[1]


def test_names_from_the_log_steer_neither_terminal_nor_spreadsheet(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    alerts = with_reasons(evaluation).with_columns(user_id=pl.lit("=cmd()\x1b[31m"))
    out, text = console()
    print_alerts(out, alerts, 300)
    assert "300 alerts" in text.getvalue() and "kept in the files" in text.getvalue()
    assert "\x1b[31m" not in text.getvalue()
    write_tables(tmp_path, evaluation, alerts)
    assert pl.read_csv(tmp_path / "alerts.csv")["user_id"].str.starts_with("'=cmd()").all()
