"""Pictures: that they are there, and that they show the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared
from PIL import Image
from report_cases import comparison

from riskml.core.types import FloatArray
from riskml.evaluation.comparison import Comparison, rows_of
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.reporting.curves import recall_by_budget
from riskml.evaluation.reporting.plots import (
    Drawing,
    alerts_by_day_plot,
    draw,
    risk_over_time,
    save_plots,
    score_distribution,
)
from riskml.evaluation.reporting.view import View

SCORES = np.random.default_rng(0).normal(25, 12, 60).astype(np.float32)
INCIDENTS = {3: ["a"], 4: ["a"], 20: ["b"]}
WITHOUT_TRUTH = ["alerts_by_day", "risk_over_time", "score_distribution"]
ALL = ["alerts_by_day", "precision_recall", "recall_by_budget", *WITHOUT_TRUTH[1:]]


def saved(made: Comparison, folder: Path) -> list[str]:
    """Sorted names, after looking at every file and every picture for the page."""
    plots = draw(made, View(made).by_day)
    paths = save_plots(plots, folder)
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 400 <= image.width <= 2000
            assert 150 <= image.height <= 2000
            pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 5
        svg = plots[path.stem].svg()
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "<metadata" not in svg
    assert sorted(file.name for file in folder.iterdir()) == sorted(path.name for path in paths)
    return sorted(path.stem for path in paths)


def of(evaluation: Evaluation, make_windows: MakeWindows) -> Comparison:
    """A comparison of nothing but this."""
    return replace(comparison(make_windows, others=()), rows=rows_of([evaluation]))


def evaluation(
    make_windows: MakeWindows,
    incidents: dict[int, list[str]] | None = None,
    scores: FloatArray = SCORES,
    users: int = 3,
    name: str = "given",
) -> Evaluation:
    return evaluated(prepared(make_windows, incidents, users=users), scores, name=name)


@pytest.mark.parametrize("incidents", [None, {}], ids=["no truth", "no positives"])
def test_nothing_known_to_be_risky(
    incidents: dict[int, list[str]] | None, make_windows: MakeWindows
) -> None:
    made = comparison(make_windows, incidents)
    assert sorted(draw(made, View(made).by_day)) == WITHOUT_TRUTH


def test_constant_scores(make_windows: MakeWindows, tmp_path: Path) -> None:
    windows = prepared(make_windows, INCIDENTS, users=30)
    made = evaluated(windows, np.full(60, 1e6), np.full(40, 1e6))
    assert saved(of(made, make_windows), tmp_path / "new" / "plots") == ALL


def test_odd_names(make_windows: MakeWindows) -> None:
    names = ["DOM\\svc$", "$a^^$", "a_b{", "x" * 60, "\x00<&\u202e", "_a"]
    made = evaluation(make_windows, INCIDENTS, users=len(names))
    users = pl.col("user_id").replace_strict([f"user{i}" for i in range(len(names))], names)
    made = replace(made, scores=made.scores.with_columns(user_id=users))
    figure = risk_over_time([made])
    shown = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    seen = ["".join(c if c.isprintable() else "�" for c in name) for name in names]
    assert shown == {name if len(name) <= 18 else name[:17] + "…" for name in seen}
    detectors = rows_of([replace(made, name=name) for name in names])
    for odd in (figure, recall_by_budget(detectors)):
        ElementTree.fromstring(Drawing(odd, "", "").svg())


def test_risk_of_the_users_with_the_highest_scores(make_windows: MakeWindows) -> None:
    made = evaluation(make_windows, INCIDENTS, users=12)
    axes = risk_over_time([made], users=5).axes[0]
    peak = made.scores.group_by("user_id").agg(pl.col("score").max()).sort("score", descending=True)
    riskiest = peak["user_id"].head(5).to_list()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[::-1] == riskiest, "the riskiest is on top"
    lines, alerts, risky = axes.collections[-3:]
    first = made.scores.filter(pl.col("user_id") == riskiest[0])
    segments = lines.get_segments()  # type: ignore[attr-defined]
    heights = [segment[1, 1] - segment[0, 1] for segment in segments]
    assert heights == pytest.approx(first["risk"].to_list())
    assert len(alerts.get_offsets()) == first["alert"].sum()
    assert len(risky.get_offsets()) == first["label"].sum()


def test_every_window_is_in_the_histogram(make_windows: MakeWindows) -> None:
    scores = SCORES.copy()
    scores[0], scores[1] = 1e5, -1e5
    figure = score_distribution(evaluation(make_windows, INCIDENTS, scores))
    counts = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]  # type: ignore[attr-defined]
    assert counts == [57, 3]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["alert threshold", "normal (57)", "risky (3)"]


def test_bars_are_the_alerts_of_each_day(make_windows: MakeWindows) -> None:
    by_day = View(comparison(make_windows)).by_day
    axes = alerts_by_day_plot(by_day).axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]  # type: ignore[attr-defined]
    assert heights == [by_day["alerts"].to_list(), by_day["true_alerts"].to_list()]
    (promise,) = axes.get_lines()
    assert list(promise.get_ydata()) == by_day["promised"].to_list()
    assert axes.get_xlabel() == "2024"


def test_days_of_two_years(make_windows: MakeWindows) -> None:
    made = evaluation(make_windows)
    scores = made.scores.with_columns(pl.col("start", "end").dt.offset_by("295d"))
    axes = risk_over_time([replace(made, scores=scores)]).axes[0]
    assert axes.get_xlabel() == "2024 to 2025" or axes.get_xlabel() == "2025"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert 1 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)
