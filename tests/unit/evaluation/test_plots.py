"""Pictures: that they are there, and that they show the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared
from PIL import Image

from riskml.core.types import FloatArray
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.metrics import recall_by_alerts
from riskml.evaluation.plots import (
    precision_recall,
    recall_by_budget,
    risk_over_time,
    save_plots,
    score_distribution,
)
from riskml.scoring.thresholds import days

SCORES = np.random.default_rng(0).normal(25, 12, 60).astype(np.float32)
INCIDENTS = {3: ["a"], 4: ["a"], 20: ["b"]}
WITHOUT_TRUTH = ["risk_over_time.png", "score_distribution.png"]
ALL = ["precision_recall.png", "recall_by_budget.png", *WITHOUT_TRUTH]


def check_images(paths: list[Path], folder: Path) -> list[str]:
    """Sorted names, after looking at every file."""
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 400 <= image.width <= 2000
            assert 150 <= image.height <= 2000
            pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 5
    names = sorted(path.name for path in paths)
    assert sorted(file.name for file in folder.iterdir()) == names
    return names


def evaluation(
    make_windows: MakeWindows,
    incidents: dict[int, list[str]] | None = None,
    scores: FloatArray = SCORES,
    users: int = 3,
    name: str = "given",
) -> Evaluation:
    return evaluated(prepared(make_windows, incidents, users=users), scores, name=name)


def test_with_truth(make_windows: MakeWindows, tmp_path: Path) -> None:
    several = [evaluation(make_windows, INCIDENTS, SCORES * f, name=f"x{f}") for f in (1, -1, 2)]
    paths = save_plots(several, tmp_path / "new" / "plots")
    assert check_images(paths, tmp_path / "new" / "plots") == ALL


def test_without_truth(make_windows: MakeWindows, tmp_path: Path) -> None:
    paths = save_plots([evaluation(make_windows)], tmp_path)
    assert check_images(paths, tmp_path) == WITHOUT_TRUTH


def test_truth_without_positives(make_windows: MakeWindows, tmp_path: Path) -> None:
    paths = save_plots([evaluation(make_windows, {})], tmp_path)
    assert check_images(paths, tmp_path) == WITHOUT_TRUTH


@pytest.mark.parametrize("users", [1, 30])
def test_few_and_many_users(users: int, make_windows: MakeWindows, tmp_path: Path) -> None:
    made = evaluation(make_windows, INCIDENTS, users=users)
    assert check_images(save_plots([made], tmp_path), tmp_path) == ALL


@pytest.mark.parametrize("value", [0.0, 1e6, -3.0])
def test_constant_scores(value: float, make_windows: MakeWindows, tmp_path: Path) -> None:
    windows = prepared(make_windows, INCIDENTS)
    made = evaluated(windows, np.full(60, value), np.full(40, value))
    assert check_images(save_plots([made], tmp_path), tmp_path) == ALL


@pytest.mark.parametrize("user", ["DOM\\svc$", "$a^^$", "a_b{", "x" * 60])
def test_odd_user_names(user: str, make_windows: MakeWindows, tmp_path: Path) -> None:
    made = evaluation(make_windows)
    renamed = made.scores.with_columns(user_id=pl.lit(user))
    paths = save_plots([replace(made, scores=renamed)], tmp_path)
    assert check_images(paths, tmp_path) == WITHOUT_TRUTH


def test_risk_of_the_users_with_the_highest_scores(make_windows: MakeWindows) -> None:
    made = evaluation(make_windows, INCIDENTS, users=12)
    figure = risk_over_time(made, users=5)
    peak = made.scores.group_by("user_id").agg(pl.col("score").max()).sort("score").reverse()
    assert [axes.get_ylabel() for axes in figure.axes] == peak["user_id"].head(5).to_list()
    first = made.scores.filter(pl.col("user_id") == peak["user_id"][0])
    lines, alerts, risky = figure.axes[0].collections
    tops = [segment[1, 1] for segment in lines.get_segments()]  # type: ignore[attr-defined]
    assert tops == pytest.approx(first["risk"].to_list())
    assert len(alerts.get_offsets()) == first["alert"].sum()
    assert len(risky.get_offsets()) == first["label"].sum()


def test_every_window_is_in_the_histogram(make_windows: MakeWindows) -> None:
    scores = SCORES.copy()
    scores[0], scores[1] = 1e5, -1e5
    axes = score_distribution(evaluation(make_windows, INCIDENTS, scores)).axes[0]
    counts = [sum(bar.get_height() for bar in bars) for bars in axes.containers]  # type: ignore[attr-defined]
    assert counts == [57, 3]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["normal (57)", "risky (3)", "alert threshold"]


def test_recall_by_budget_shows_recall(make_windows: MakeWindows) -> None:
    made = evaluation(make_windows, INCIDENTS)
    other = evaluation(make_windows, INCIDENTS, -SCORES, name="other")
    lines = recall_by_budget([made, other]).axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["given", "other"]
    for line, scores in zip(lines, (SCORES, -SCORES), strict=True):
        k, recall = recall_by_alerts(made.scores["label"].to_numpy(), scores)
        np.testing.assert_allclose(line.get_xdata(), k / days(made.scores))
        np.testing.assert_allclose(line.get_ydata(), recall)


def test_precision_recall_shows_chance(make_windows: MakeWindows) -> None:
    perfect = np.zeros(60, np.float32)
    perfect[list(INCIDENTS)] = 50
    axes = precision_recall([evaluation(make_windows, INCIDENTS, perfect)]).axes[0]
    curve, chance = axes.get_lines()
    assert list(chance.get_ydata()) == [3 / 60] * 2
    assert max(p for p, r in zip(curve.get_ydata(), curve.get_xdata(), strict=True) if r == 1) == 1
