"""The pictures of an evaluation: PNG in a folder, and SVG inside the report."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from riskml.core.letters import lettered
from riskml.core.redaction import printable, shortened
from riskml.evaluation.comparison import Comparison
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.reporting.curves import (
    MAIN,
    highlighted,
    new_figure,
    precision_recall,
    recall_by_budget,
)
from riskml.features.preparation import labels_of
from riskml.scoring.calibration import SCORE

NORMAL, RISKY, MARK = "#7a9cc0", "#b3263a", "#d98200"
LONGEST_NAME = 18
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Day 0 of Matplotlib's axes of time."""

ROW = 135
"""Height of a user's row of risk, with room above 100 for marks."""

OUTSIDE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
"""What a picture inside another page does not need."""


@dataclass(frozen=True)
class Drawing:
    """A plot.

    Args:
        figure: itself.
        caption: for all readers.
        alt: what is to be seen, for those who cannot.
        wide: whether it takes a whole row of a page.
    """

    figure: Figure
    caption: str
    alt: str
    wide: bool = False

    def svg(self) -> str:
        """The picture as one element, the same letters for the same figure."""
        out = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": "riskml"}):
            lettered(self.figure).savefig(out, format="svg", metadata={"Date": None})
        return OUTSIDE.sub("", out.getvalue()).strip()

    def _repr_html_(self) -> str:
        # the same picture whatever Matplotlib draws on here, and with words for who cannot see it
        return (
            f"<figure style='margin:6px 0;max-width:100%;background:#fff;color:#222'>"
            f"<div role='img' aria-label='{escape(self.alt, quote=True)}'>{self.svg()}</div>"
            f"<figcaption style='padding:2px 6px'>{escape(self.caption)}</figcaption></figure>"
        )


def draw(comparison: Comparison, by_day: pl.DataFrame) -> dict[str, Drawing]:
    """All plots that the data allow, by name.

    Args:
        comparison: the first row is the detector in focus.
        by_day: alerts promised and delivered, see
            `riskml.evaluation.measures.reliability.alerts_by_day`.
    """
    rows, row = comparison.rows, comparison.focus
    focus = row.evaluations[0]
    name = printable(focus.name)
    fold = " in the first fold" if len(comparison.folds) > 1 else ""
    plots = {
        "score_distribution": Drawing(
            score_distribution(focus),
            f"Scores of {name}{fold}; the outermost bars hold what lies beyond.",
            f"Histogram of the scores of {name}, with the alert threshold.",
        ),
        "risk_over_time": Drawing(
            risk_over_time([each for each in row.evaluations if each.seed == focus.seed]),
            "Risk of each window of the users with the highest ones; a row is 0 to 100 "
            "high. Dot: alert"
            + ("; triangle: truly risky." if "label" in focus.scores.columns else "."),
            "Risk of the riskiest users over time, one row a user.",
            wide=True,
        ),
        "alerts_by_day": Drawing(
            alerts_by_day_plot(by_day),
            "Alerts of each day against the number that was promised.",
            "Bars of the alerts of each UTC day, with a line at the promised number.",
        ),
    }
    if "label" in focus.scores.columns and focus.scores["label"].sum():
        best = ", ".join(f"{row.name} {row.metrics[MAIN]:.2f}" for row in highlighted(rows))
        figures = f"{name} {rows[0].metrics[MAIN] or 0:.2f}" + (f", {best}" if best else "")
        plots |= {
            "precision_recall": Drawing(
                precision_recall(rows),
                "Precision and recall when ever more windows are looked at; high on the right is "
                "good.",
                f"Precision against recall. Average precision: {figures}.",
            ),
            "recall_by_budget": Drawing(
                recall_by_budget(rows),
                "Share of risky windows found, by how many windows are looked at a day.",
                f"Recall against windows looked at a day, of {name} and the others.",
            ),
        }
    return plots


def save_plots(plots: Mapping[str, Drawing], folder: Path) -> list[Path]:
    """Write each as PNG.

    Args:
        plots: by name.
        folder: is made where missing.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, plot in plots.items():
        paths.append(folder / f"{name}.png")
        lettered(plot.figure).savefig(paths[-1], dpi=160)
        plot.figure.set_layout_engine("none")  # places are found; the report draws it once more
    return paths


def score_distribution(evaluation: Evaluation) -> Figure:
    """Histogram of test scores, risky windows apart where they are known, with the threshold."""
    figure, axes = new_figure()
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
        axes.hist(values, bins.tolist(), color=color, alpha=0.8, label=f"{name} ({len(values):,})")
    if by_score:
        axes.axvline(evaluation.threshold, color="black", linewidth=1, label="alert threshold")
    axes.set_yscale("log")
    axes.set(xlabel="score", ylabel="windows")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def alerts_by_day_plot(by_day: pl.DataFrame) -> Figure:
    """Alerts of each UTC day, those truly risky apart where they are known, and the promise."""
    figure, axes = new_figure()
    days, alerts = by_day["day"].to_list(), by_day["alerts"].to_numpy()
    true = by_day["true_alerts"]
    known = not true.is_null().all()
    axes.bar(days, alerts, color=NORMAL, width=0.85, label="false" if known else "alerts")
    if known:
        axes.bar(days, true.to_numpy(), color=RISKY, width=0.85, label="truly risky")
    if not by_day["promised"].is_null().all():
        axes.step(
            days, by_day["promised"], where="mid", color="black", linewidth=1, label="promised"
        )
    axes.set(ylabel="alerts a day")
    _dates(axes, 6)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def risk_over_time(evaluations: Sequence[Evaluation], users: int = 8) -> Figure:
    """Risk of each window of the users with the highest peaks, one row of 0 to 100 a user.

    Args:
        evaluations: of one detector, a fold each; p-values can be compared where scores cannot.
        users: how many rows.
    """
    shown = ("user_id", "start", "risk", "p_value", "alert", "label")
    tables = [each.scores.select(set(shown) & set(each.scores.columns)) for each in evaluations]
    table = pl.concat(tables, how="diagonal")  # a fold that was refused has no labels
    top = (
        table.group_by("user_id")
        .agg(pl.col("p_value").min())
        .sort("p_value", "user_id")
        .head(users)["user_id"]
        .to_list()
    )
    figure, axes = new_figure(4.9, 0.42 * len(top) + 0.6)
    for place, user in enumerate(reversed(top)):
        own = table.filter(pl.col("user_id") == user).sort("start")
        foot = place * ROW
        axes.axhline(foot, color="#d5d9de", linewidth=0.8, zorder=0)
        axes.vlines(own["start"].to_list(), foot, foot + own["risk"], color=NORMAL, linewidth=1.5)
        alerts = own.filter(pl.col("alert"))
        axes.scatter(alerts["start"].to_list(), foot + alerts["risk"], s=12, color=MARK, zorder=3)
        if "label" in own.columns:
            risky = own.filter(pl.col("label") == 1)
            axes.scatter(
                risky["start"].to_list(), [foot + 118] * len(risky), s=14, marker="v", color=RISKY
            )
    axes.set_ylim(-5, ROW * len(top))
    axes.set_yticks([place * ROW + 50 for place in range(len(top))])
    names = [shortened(printable(user), LONGEST_NAME) for user in reversed(top)]
    axes.set_yticklabels(names, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _dates(axes, 7)
    return figure


def _dates(axes: Axes, most: int) -> None:
    """At most so many days, evenly spaced, and the year below."""
    first, last = axes.get_xlim()
    step = max(1, math.ceil((last - first) / most))
    days = np.arange(math.ceil(first), last, step)
    moments = [EPOCH + timedelta(days=float(day)) for day in days]
    axes.set_xticks(days, [f"{moment:%d %b}" for moment in moments])
    years = [(EPOCH + timedelta(days=end)).year for end in (first, last)]
    axes.set_xlabel(" to ".join(map(str, dict.fromkeys(years))), fontsize=9)
