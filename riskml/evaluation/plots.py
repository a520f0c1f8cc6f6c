"""The pictures that every run leaves, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.metrics import recall_by_alerts
from riskml.features.preparation import labels_of
from riskml.scoring.calibration import SCORE
from riskml.scoring.thresholds import days

matplotlib.use("agg")
NORMAL, RISKY, MARK = "#4c78a8", "#d1495b", "#e69f00"


def save_plots(evaluations: Sequence[Evaluation], folder: Path) -> list[Path]:
    """Draw all plots that the data allow.

    Args:
        evaluations: the first one is the detector in focus, the others are for comparison.
        folder: is made where missing.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    focus = evaluations[0]
    plots = {
        "score_distribution": score_distribution(focus),
        "risk_over_time": risk_over_time(focus),
    }
    if "label" in focus.scores.columns and focus.scores["label"].sum():
        plots["precision_recall"] = precision_recall(evaluations)
        plots["recall_by_budget"] = recall_by_budget(evaluations)
    paths = []
    for name, figure in plots.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def precision_recall(evaluations: Sequence[Evaluation]) -> Figure:
    """Precision against recall of every detector on the test windows."""
    figure, axes = _figure("Precision and recall on the test period")
    for evaluation in evaluations:
        precision, recall, _ = precision_recall_curve(
            labels_of(evaluation.scores), evaluation.scores["score"].to_numpy()
        )
        axes.plot(recall, precision, drawstyle="steps-post", **_line(evaluation, evaluations))
    prevalence = float(labels_of(evaluations[0].scores).mean())
    axes.axhline(prevalence, color="grey", linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8, loc="upper right")
    return figure


def recall_by_budget(evaluations: Sequence[Evaluation]) -> Figure:
    """Recall against the number of windows looked at a day."""
    figure, axes = _figure("Risky windows found, by how many are looked at")
    period = days(evaluations[0].scores)
    for evaluation in evaluations:
        looked_at, recall = recall_by_alerts(
            labels_of(evaluation.scores), evaluation.scores["score"].to_numpy()
        )
        axes.plot(looked_at / period, recall, **_line(evaluation, evaluations))
    axes.set_xscale("log")
    axes.set(
        xlabel="windows looked at a day (highest scores first)", ylabel="recall", ylim=(0, 1.02)
    )
    axes.legend(fontsize=8, loc="upper left")
    return figure


def score_distribution(evaluation: Evaluation) -> Figure:
    """Histogram of test scores, risky windows apart where they are known, with the threshold."""
    figure, axes = _figure(f"Scores of {evaluation.name} on the test period")
    scores = evaluation.scores["score"].to_numpy()
    low, high = np.quantile(scores, [0.001, 0.999])
    by_score = evaluation.calibration.alert_by == SCORE  # else the threshold is no score
    highest = max(high, evaluation.threshold) if by_score else high
    bins = np.linspace(low, max(highest, low + 1e-6), 60)
    clipped = np.clip(scores, bins[0], bins[-1])
    if "label" in evaluation.scores.columns:
        labels = labels_of(evaluation.scores)
        groups = [("normal", NORMAL, clipped[labels == 0]), ("risky", RISKY, clipped[labels == 1])]
    else:
        groups = [("all windows", NORMAL, clipped)]
    for name, color, values in groups:
        axes.hist(values, bins.tolist(), color=color, alpha=0.65, label=f"{name} ({len(values):,})")
    if by_score:
        axes.axvline(evaluation.threshold, color="black", linewidth=1, label="alert threshold")
    axes.set_yscale("log")
    axes.set(xlabel="score (outermost bars hold what lies beyond)", ylabel="windows")
    axes.legend(fontsize=8)
    return figure


def risk_over_time(evaluation: Evaluation, users: int = 8) -> Figure:
    """Risk of each window of the users with the highest peaks, one row a user."""
    table = evaluation.scores
    top = (
        table.group_by("user_id")
        .agg(pl.col("score").max())
        .sort("score", "user_id", descending=[True, False])
        .head(users)["user_id"]
        .to_list()
    )
    figure = Figure(figsize=(9, 0.9 * len(top) + 1.2), layout="constrained")
    rows = np.atleast_1d(figure.subplots(len(top), 1, sharex=True, sharey=True))
    for axes, user in zip(rows, top, strict=True):
        own = table.filter(pl.col("user_id") == user).sort("start")
        axes.vlines(own["start"].to_list(), 0, own["risk"].to_list(), color=NORMAL, linewidth=1.5)
        alerts = own.filter(pl.col("alert"))
        axes.scatter(
            alerts["start"].to_list(), alerts["risk"].to_list(), s=14, color=MARK, zorder=3
        )
        if "label" in own.columns:
            risky = own.filter(pl.col("label") == 1)
            axes.scatter(
                risky["start"].to_list(), [104] * len(risky), s=14, marker="v", color=RISKY
            )
        axes.set_ylim(0, 110)
        axes.set_ylabel(user, parse_math=False, rotation=0, ha="right", va="center", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].tick_params(axis="x", labelrotation=30, labelsize=8)
    marks = "dot: alert" + ("; triangle: truly risky" if "label" in table.columns else "")
    figure.suptitle(f"Risk (0–100) of the riskiest users, {evaluation.name} ({marks})", fontsize=10)
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(evaluation: Evaluation, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    if evaluation is evaluations[0]:
        return {"label": evaluation.name, "linewidth": 2.4, "color": RISKY, "zorder": 3}
    return {"label": evaluation.name, "linewidth": 1, "alpha": 0.8}
