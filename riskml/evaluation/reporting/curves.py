"""Curves of all detectors at once: the one in focus and the best others stand out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from riskml.core.redaction import printable
from riskml.evaluation.comparison import Row
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.metrics import recall_by_alerts
from riskml.features.preparation import labels_of
from riskml.scoring.thresholds import days

Points = npt.NDArray[np.float64]

FOCUS, REST = "#0b4f8a", "#b4bac1"
BEST = (("#d55e00", "--"), ("#00805e", "-."), ("#a3457c", (0, (1, 1.2))))
"""Colours that most kinds of colour blindness keep apart (after Okabe and Ito), and dashes."""

MAX_POINTS = 400
"""Of a curve; more cannot be seen."""

MAIN = "average_precision"


@dataclass(frozen=True)
class Curve:
    """Of one detector."""

    x: Points
    y: Points


def precision_recall(rows: Sequence[Row]) -> Figure:
    """Precision against recall of every detector on the test windows, the first in focus.

    Detectors whose figures are withheld are left out.

    Of several folds or seeds it is the mean precision at each recall. Normal windows count as often
    as they stand for.
    """
    figure, axes = new_figure()
    _draw(axes, rows, _precision_recall, drawstyle="steps-pre")
    axes.axhline(
        chance(rows[0].evaluations), color="black", linestyle=":", linewidth=1, label="chance"
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    _legend(figure, axes)
    return figure


def recall_by_budget(rows: Sequence[Row]) -> Figure:
    """Recall against the number of windows looked at a day, the highest scores first."""
    figure, axes = new_figure()
    _draw(axes, rows, _recall_by_budget)
    promised = rows[0].metrics.get("alerts_promised")
    if promised:
        span = sum(days(e.scores) for e in rows[0].evaluations if e.seed == rows[0].seeds[0])
        axes.axvline(promised / span, color="black", linestyle=":", linewidth=1, label="budget")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="windows looked at a day", ylabel="share of risky windows found")
    axes.set_ylim(0, 1.02)
    _legend(figure, axes)
    return figure


def new_figure(width: float = 4.6, height: float = 3.6) -> tuple[Figure, Axes]:
    """Small, so that its letters can be read on a phone."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return figure, axes


def highlighted(rows: Sequence[Row]) -> list[Row]:
    """The best of the detectors beside the focus, best first."""
    known = [row for row in rows[1:] if row.metrics.get(MAIN) is not None]
    return sorted(known, key=lambda row: (-(row.metrics[MAIN] or 0), row.name))[: len(BEST)]


def chance(evaluations: Sequence[Evaluation]) -> float:
    """Average precision of windows drawn by lot: the share of risky ones, weighted."""
    risky = sum(int(evaluation.scores["label"].sum()) for evaluation in evaluations)
    every = sum(len(evaluation.scores) for evaluation in evaluations)
    return risky / max(risky + evaluations[0].normal_weight * (every - risky), 1.0)


def _draw(axes: Axes, rows: Sequence[Row], curve: Callable[[Row], Curve], **style: Any) -> None:
    best = highlighted(rows)
    rest = [row for row in rows[1:] if row not in best and _is_judged(row)]
    for i, row in enumerate(rest):
        label = f"{len(rest)} more detector{'s' * (len(rest) > 1)}" if i == 0 else f"_{row.name}"
        points = curve(row)
        axes.plot(points.x, points.y, color=REST, linewidth=0.8, zorder=1, label=label, **style)
    for row, (color, dashes) in reversed([*zip(best, BEST, strict=False)]):
        points = curve(row)
        look: dict[str, Any] = {"color": color, "linestyle": dashes, "linewidth": 1.3, "zorder": 2}
        axes.plot(points.x, points.y, label=_label(row), **look, **style)
    points = curve(rows[0])
    axes.plot(
        points.x, points.y, color=FOCUS, linewidth=2.4, zorder=3, label=_label(rows[0]), **style
    )


def _is_judged(row: Row) -> bool:
    return all("label" in each.scores.columns for each in row.evaluations)


def _label(row: Row) -> str:
    return printable(row.name).lstrip("_") or "?"  # a leading _ would hide it


def _legend(figure: Figure, axes: Axes) -> None:
    lines, _ = axes.get_legend_handles_labels()
    order = {FOCUS: 0, **{color: 1 + i for i, (color, _) in enumerate(BEST)}, REST: 8}
    lines.sort(key=lambda line: order.get(line.get_color(), 9))  # type: ignore[attr-defined]
    legend = figure.legend(
        handles=lines, loc="outside lower center", ncols=2, fontsize=8, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _precision_recall(row: Row) -> Curve:
    curves = [_one_precision_recall(e) for e in row.evaluations if labels_of(e.scores).any()]
    if len(curves) == 1 and len(curves[0].x) <= MAX_POINTS:
        return curves[0]
    recall = np.linspace(0, 1, MAX_POINTS)
    # the precision of the first threshold that reaches the recall
    values = [c.y[np.searchsorted(c.x, recall - 1e-12).clip(max=len(c.x) - 1)] for c in curves]
    return Curve(recall, np.mean(values, axis=0))


def _one_precision_recall(evaluation: Evaluation) -> Curve:
    labels = labels_of(evaluation.scores)
    precision, recall, _ = precision_recall_curve(
        labels,
        evaluation.scores["score"].to_numpy(),
        sample_weight=np.where(labels == 1, 1.0, evaluation.normal_weight),
    )
    # of thresholds with one recall the highest, which reaches it first
    reached, first = np.unique(recall[::-1], return_index=True)
    return Curve(reached, precision[::-1][first])


def _recall_by_budget(row: Row) -> Curve:
    curves = []
    for evaluation in row.evaluations:
        labels, scores = labels_of(evaluation.scores), evaluation.scores["score"].to_numpy()
        if labels.any():
            looked_at, recall = recall_by_alerts(labels, scores, evaluation.normal_weight)
            curves.append(Curve(looked_at / days(evaluation.scores), recall))
    if len(curves) == 1 and len(curves[0].x) <= MAX_POINTS:
        return curves[0]
    first, last = min(c.x[0] for c in curves), max(c.x[-1] for c in curves)
    budget = np.geomspace(first, last, MAX_POINTS)
    return Curve(budget, np.mean([np.interp(budget, c.x, c.y, left=0) for c in curves], axis=0))
