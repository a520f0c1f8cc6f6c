"""What a run shows on the screen."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evaluation_cases import (
    INCIDENTS,
    SCORES,
    MakeWindows,
    compared,
    evaluated,
    full_comparison,
    prepared,
    with_reasons,
)
from rich.console import Console

from riskml.evaluation.comparison import Comparison
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.outputs import alerts_table
from riskml.evaluation.reporting.printed import print_alerts, print_table


@pytest.fixture
def evaluation(make_windows: MakeWindows) -> Evaluation:
    return evaluated(prepared(make_windows, INCIDENTS), SCORES)


def console(width: int = 200) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=width, no_color=True, soft_wrap=True), text


def printed(comparison: Comparison, width: int = 200) -> list[str]:
    out, text = console(width)
    print_table(out, comparison)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def row_of(lines: list[str], name: str) -> list[str]:
    (row,) = (line.split() for line in lines if line.split()[:1] == [name])
    return row


def test_best_comes_first(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    perfect = np.zeros(60)
    perfect[list(INCIDENTS)] = 50
    several = [
        evaluated(windows, scores, name=name)
        for name, scores in (("middling", SCORES), ("worst", -perfect), ("best", perfect))
    ]
    lines = printed(compared(windows, several))
    assert lines[:2] == [
        "Test period: 3 risky of 60 windows",
        "precision, recall, F1 within the budget: 1 alert a day",
    ]
    assert [line.split()[0] for line in lines[-3:]] == ["best", "middling", "worst"]
    within = [several[2].metrics[f"{name}_at_budget"] for name in ("precision", "recall")]
    best = [1.0, 1.0, *within]
    assert [float(cell) for cell in row_of(lines, "best")[1:5]] == pytest.approx(best, abs=6e-4)
    assert row_of(lines, "best")[6] == "1.50"


def test_intervals_marks_seeds_and_footnotes(make_windows: MakeWindows) -> None:
    lines = printed(full_comparison(make_windows))
    assert lines[0] == "2 test periods: 6 risky of 120 windows"
    assert row_of(lines, "focus")[2] == "0.02–0.31"
    assert "▲" in row_of(lines, "best")
    assert "≈" in row_of(lines, "worst")
    assert not {"▲", "≈"} & set(row_of(lines, "focus"))
    assert [row_of(lines, name)[-3] for name in ("focus", "worst")] == ["2", "1"]
    assert row_of(lines, "best")[1] == "[1]"
    assert row_of(lines, "pyod_lof")[1] == "[2]"
    assert row_of(lines, "pyod_lof").count("–") == 9
    assert lines[-4:] == [
        "≈ focus is not shown to be above: the paired 95 % interval of AP holds 0",
        "▲ above focus by that interval",
        "[1] made stable",
        "[2] too few windows",
    ]


def test_no_mark_where_the_focus_is_above(make_windows: MakeWindows) -> None:
    whole = full_comparison(make_windows)
    above = replace(whole.rows[2].lead["average_precision"], low=0.01)
    rows = (whole.rows[0], replace(whole.rows[2], lead={"average_precision": above}))
    lines = printed(replace(whole, rows=rows))
    assert not any(mark in line for line in lines for mark in "▲≈")


def test_without_resampling_there_is_neither_interval_nor_mark(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    lines = printed(compared(windows, [evaluated(windows, SCORES)]))
    assert not any("95 %" in line or "seeds" in line for line in lines)
    assert len(row_of(lines, "given")) == 8


LONG = "pyod_autoencoder"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_fits_and_uses_the_room(width: int, make_windows: MakeWindows) -> None:
    whole = full_comparison(make_windows)
    named = tuple(replace(each, name=LONG) for each in whole.rows[1].evaluations)
    slow = {**whole.rows[1].metrics, "fit_seconds": 1234.56}
    rows = (whole.rows[0], replace(whole.rows[1], evaluations=named, metrics=slow), whole.rows[2])
    lines = printed(replace(whole, rows=rows), width)
    table = lines[2:-4]
    assert max(map(len, table)) <= width
    assert not any("…" in line for line in lines)
    headers = {word for line in table[:2] for word in line.split()}
    assert {"detector", "AP", "95", "ROC", "AUC", "recall"} <= headers
    assert ("F1" in headers) == (width > 80)
    assert ({"fit", "score", "seeds"} <= headers) == (width > 80)


def test_a_sample_is_called_one(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS, normal_weight=20)
    lines = printed(compared(windows, [evaluated(windows, SCORES)]), 80)
    assert "spent on a sample: a normal window stands for 20" in lines[2]
    assert "up to 20 times as many alerts" in lines[3]
    assert max(map(len, lines)) <= 80


def test_undefined_cells_are_dashes(make_windows: MakeWindows, evaluation: Evaluation) -> None:
    evaluation.metrics["f1_at_budget"] = None
    lines = printed(compared(prepared(make_windows, INCIDENTS), [evaluation]))
    assert row_of(lines, "given")[5] == "–"


def test_nothing_to_measure(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows)
    lines = printed(compared(windows, [evaluated(windows, SCORES)]))
    assert lines == ["Nothing known to be risky in the test period: no measures, alerts below."]


@pytest.mark.parametrize("name", ["b[/bold]", "[red]x"])
def test_names_are_printed_as_they_are(name: str, make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    lines = printed(compared(windows, [evaluated(windows, SCORES, name=name)], {"y": name}))
    assert row_of(lines, name)
    assert lines[-1] == f"[1] {name}"


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


def test_no_alerts(make_windows: MakeWindows) -> None:
    made = evaluated(prepared(make_windows, INCIDENTS), np.full(60, -5))
    out, text = console()
    print_alerts(out, alerts_table(made, []), 0)
    assert text.getvalue() == "No alerts.\n"


@pytest.mark.parametrize("user", ["svc[prod]", "a[/b]", "[red]x"])
def test_user_names_are_printed_as_they_are(user: str, evaluation: Evaluation) -> None:
    out, text = console()
    print_alerts(out, with_reasons(evaluation).with_columns(user_id=pl.lit(user)), 1)
    assert user in text.getvalue().splitlines()[1]


def test_names_from_the_log_do_not_steer_the_terminal(evaluation: Evaluation) -> None:
    alerts = with_reasons(evaluation).with_columns(user_id=pl.lit("=cmd()\x1b[31m"))
    out, text = console()
    print_alerts(out, alerts, 300)
    assert "300 alerts" in text.getvalue() and "kept in the files" in text.getvalue()
    assert "\x1b[31m" not in text.getvalue()
