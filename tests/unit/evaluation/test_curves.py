"""Curves: that they show the numbers, of one test period or of several, however long."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from report_cases import comparison

from riskml.core.types import FloatArray
from riskml.evaluation.comparison import Row, rows_of
from riskml.evaluation.metrics import recall_by_alerts
from riskml.evaluation.reporting import curves
from riskml.evaluation.reporting.curves import (
    chance,
    highlighted,
    precision_recall,
    recall_by_budget,
)
from riskml.scoring.thresholds import days

SCORES = np.random.default_rng(0).normal(25, 12, 60).astype(np.float32)
INCIDENTS = {3: ["a"], 4: ["a"], 20: ["b"]}


def rows(
    make_windows: MakeWindows, normal_weight: float = 1.0, **scores: FloatArray
) -> tuple[Row, ...]:
    windows = prepared(make_windows, INCIDENTS, normal_weight=normal_weight)
    return rows_of([evaluated(windows, each, name=name) for name, each in scores.items()])


def line(figure: Figure, label: str) -> Line2D:
    (found,) = [line for line in figure.axes[0].get_lines() if line.get_label() == label]
    return found


def area(figure: Figure, label: str) -> float:
    """Under the steps of a curve."""
    found = line(figure, label)
    assert found.get_drawstyle() == "steps-pre"
    x, y = np.asarray(found.get_xdata()), np.asarray(found.get_ydata())
    return float((np.diff(x) * y[1:]).sum())


@pytest.mark.parametrize("weight", [1.0, 7.5])
def test_area_under_precision_and_recall_is_the_average_precision(
    weight: float, make_windows: MakeWindows
) -> None:
    made = rows(make_windows, weight, given=SCORES, other=np.round(-SCORES / 20))
    figure = precision_recall(made)
    for row in made:
        assert area(figure, row.name) == pytest.approx(row.metrics["average_precision"])
    guess = 3 / (3 + weight * 57)
    assert list(line(figure, "chance").get_ydata()) == pytest.approx([guess] * 2)
    assert chance(made[0].evaluations) == pytest.approx(guess)


def test_recall_by_budget_shows_recall(make_windows: MakeWindows) -> None:
    made = rows(make_windows, given=SCORES, other=-SCORES)
    figure = recall_by_budget(made)
    for row in made:
        table = row.evaluations[0].scores
        k, recall = recall_by_alerts(table["label"].to_numpy(), table["score"].to_numpy())
        found = line(figure, row.name)
        np.testing.assert_allclose(found.get_xdata(), k / days(table))
        np.testing.assert_allclose(found.get_ydata(), recall)
    promised = made[0].metrics["alerts_promised"] or 0
    assert line(figure, "budget").get_xdata()[0] == pytest.approx(
        promised / days(made[0].evaluations[0].scores)
    )


def test_long_curves_are_thinned_and_several_folds_averaged(
    make_windows: MakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = comparison(make_windows, folds=2)
    mean = np.mean([e.metrics["average_precision"] or 0 for e in made.focus.evaluations])
    assert area(precision_recall(made.rows), "focus") == pytest.approx(float(mean), abs=0.01)
    recall = line(recall_by_budget(made.rows), "focus")
    assert len(recall.get_xdata()) == curves.MAX_POINTS
    assert np.all(np.diff(np.asarray(recall.get_ydata())) >= -1e-12)
    assert recall.get_ydata()[-1] == pytest.approx(1)
    monkeypatch.setattr(curves, "MAX_POINTS", 50)
    one = comparison(make_windows)
    thin = line(recall_by_budget(one.rows), "focus")
    assert len(thin.get_xdata()) == 50


def test_the_focus_and_the_best_stand_out(make_windows: MakeWindows) -> None:
    names = ["good", "bad", "_hidden", *(f"other_{i}" for i in range(6))]
    made = comparison(make_windows, others=names)
    best = highlighted(made.rows)
    ranked = sorted(made.rows[1:], key=lambda row: -(row.metrics["average_precision"] or 0))
    assert best == ranked[:3]
    for figure in (precision_recall(made.rows), recall_by_budget(made.rows)):
        lines = figure.axes[0].get_lines()
        focus = line(figure, "focus")
        assert focus.get_linewidth() == max(each.get_linewidth() for each in lines)
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels[:4] == ["focus", *(row.name.lstrip("_") for row in best)]
        assert labels[4] == "6 more detectors"
        assert len(labels) == 6
        drawn = {each.get_color() for each in lines} - {curves.REST, "black"}
        assert len(drawn) == 4
