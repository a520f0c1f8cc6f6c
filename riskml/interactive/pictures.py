"""Pictures of a log: the hours of the day, and one user's timeline."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from riskml.core.errors import DataError, did_you_mean, require
from riskml.core.redaction import printable, shortened
from riskml.core.schema import TIME_ZONE
from riskml.evaluation.reporting.plots import MARK, NORMAL, RISKY, Drawing
from riskml.features.local_time import LOCAL_TIME, with_local_time

WEEKDAY = "weekday"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LOW, HIGH = 0.1, 0.9
COLOURS = "Blues"
"""One hue from light to dark: for every kind of eyes, and in print."""

LONGEST_NAME = 24


def hours(events: pl.DataFrame, zone: str, by: str, rows: int) -> Drawing:
    """Heat map: the share of each row's events in each hour of the users' own clocks.

    Args:
        events: of a log.
        zone: of users whose own is not in the log.
        by: `weekday`, or a column.
        rows: how many values of the column, the commonest.

    Raises:
        DataError: there is no such column.
        ConfigError: there are to be no rows.
    """
    require("rows", rows, isinstance(rows, int) and rows >= 1, "must be at least 1")
    if by == WEEKDAY:
        value = pl.col(LOCAL_TIME).dt.to_string("%A")
        names = list(WEEKDAYS)
    else:
        if by not in events.columns:
            raise DataError(
                f"the log has no column '{by}': {did_you_mean(by, (WEEKDAY, *events.columns))}"
            )
        value = pl.col(by).cast(pl.String)
        common = events.select(value.alias("of")).drop_nulls().group_by("of").len()
        names = common.sort("len", "of", descending=[True, False]).head(rows)["of"].to_list()
    labels = [_short(name) for name in names]
    local = with_local_time(events, zone)
    counts = local.group_by(of=value, hour=pl.col(LOCAL_TIME).dt.hour()).len()
    table = np.zeros((len(names), 24))
    for of, hour, count in counts.iter_rows():
        if of in names:
            table[names.index(of), hour] = count
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(7.2, 0.34 * len(names) + 1.5), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        np.arange(25), np.arange(len(names) + 1), share, cmap=COLOURS, vmin=0, edgecolor="white"
    )
    mesh.set_linewidth(0.4)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(names)) + 0.5)
    axes.set_yticklabels(labels, parse_math=False)
    axes.set_xticks(range(0, 25, 3))
    axes.set_xlabel(_clock("hour of the day", events, zone))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    axes.set_title(f"When it is done, by {by}", loc="left", fontsize=11, parse_math=False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.01)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bar.set_label("share of the row", fontsize=9)
    bar.outline.set_visible(False)
    caption = (
        f"Each row adds up to 100 %; dark hours are those in which most of it is done. By {by}."
    )
    return Drawing(figure, caption, f"Heat map of hours by {by}: {', '.join(labels)}.", wide=True)


def timeline(
    events: pl.DataFrame,
    zone: str,
    keys: pl.DataFrame,
    user_id: str,
    scores: pl.DataFrame | None = None,
) -> Drawing:
    """When a user was active, how much, and how risky that looked.

    Args:
        events: of the log.
        zone: of users whose own is not in the log.
        keys: of the windows, with `period`.
        user_id: whose.
        scores: test windows with risk and alert, and label where it is known.
    """
    own = events.filter(pl.col("user_id") == user_id)
    windows = keys.filter(pl.col("user_id") == user_id)
    judged = None if scores is None else scores.filter(pl.col("user_id") == user_id)
    heights = [2.2, 1.2] if judged is None else [2.2, 1.2, 1.2]
    figure = Figure(figsize=(8.4, 1.35 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _when(figure, panels[0], with_local_time(own, zone))
    panels[0].set_ylabel(_clock("hour", events, zone))
    _how_much(panels[1], windows)
    caption = (
        "Above: the hours in which there were events. "
        "Below: events of each window; the band is where 80 % of the train windows lie."
    )
    if judged is not None:
        _how_risky(panels[2], judged)
        caption += " Last: risk of each test window; a dot is an alert"
        caption += ", a triangle truly risky." if "label" in judged.columns else "."
    for axes in panels:
        _periods(axes, windows, named=axes is panels[0])
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    panels[-1].xaxis.set_major_locator(AutoDateLocator(maxticks=7))  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_formatter(DateFormatter("%d %b %Y"))  # type: ignore[no-untyped-call]
    name = printable(user_id)
    panels[0].set_title(f"User {_short(name)}", loc="left", fontsize=11, pad=16, parse_math=False)
    alt = f"Timeline of user {name}: {len(own):,} events in {len(windows):,} windows."
    return Drawing(figure, caption, alt, wide=True)


def _when(figure: Figure, axes: Axes, events: pl.DataFrame) -> None:
    moment = pl.col(LOCAL_TIME)
    counts = events.group_by(day=moment.dt.date(), hour=moment.dt.hour()).len()
    first: date = counts["day"].min()  # type: ignore[assignment]
    last: date = counts["day"].max()  # type: ignore[assignment]
    table = np.zeros((24, (last - first).days + 1))
    for day, hour, count in counts.iter_rows():
        table[hour, (day - first).days] = count
    edges = [first + timedelta(days=i) for i in range(table.shape[1] + 1)]
    shown = np.ma.masked_equal(table, 0)
    mesh = axes.pcolormesh(
        np.array(edges, "datetime64[D]"), np.arange(25), shown, cmap=COLOURS, vmin=-table.max() / 4
    )
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, boundaries=np.linspace(0, table.max(), 64))
    bar.set_label("events an hour", fontsize=9)
    bar.set_ticks(np.unique(np.linspace(0, table.max(), 4).astype(int)).tolist())
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.set(ylim=(0, 24), yticks=range(0, 25, 6))


def _how_much(axes: Axes, windows: pl.DataFrame) -> None:
    axes.vlines(windows["start"].to_list(), 0, windows["n_events"], color=NORMAL, linewidth=2)
    usual = windows.filter(pl.col("period") == "train")["n_events"]
    if len(usual):
        low, high = usual.quantile(LOW), usual.quantile(HIGH)
        axes.axhspan(low or 0, high or 0, color="#b4bac1", alpha=0.4, zorder=0, label="usual")
    axes.set(ylabel="events")
    axes.set_ylim(bottom=0)


def _how_risky(axes: Axes, judged: pl.DataFrame) -> None:
    axes.vlines(judged["start"].to_list(), 0, judged["risk"], color=NORMAL, linewidth=2)
    alerts = judged.filter(pl.col("alert"))
    axes.scatter(alerts["start"].to_list(), alerts["risk"], s=26, color=MARK, zorder=3)
    if "label" in judged.columns:
        risky = judged.filter(pl.col("label") == 1)
        axes.scatter(
            risky["start"].to_list(), [114] * len(risky), s=26, marker="v", color=RISKY, zorder=3
        )
    axes.set(ylabel="risk", ylim=(0, 122), yticks=(0, 50, 100))


def _periods(axes: Axes, windows: pl.DataFrame, named: bool) -> None:
    """Where each period begins."""
    for period, start in windows.group_by("period").agg(pl.col("start").min()).iter_rows():
        if period != "train":
            axes.axvline(start, color="black", linewidth=0.8, linestyle=":")
        if named:
            axes.annotate(
                period,
                (start, 24),
                xytext=(2, 4),
                textcoords="offset points",
                fontsize=9,
                annotation_clip=False,
            )


def _clock(label: str, events: pl.DataFrame, zone: str) -> str:
    return f"{label} ({'own clock' if TIME_ZONE in events.columns else zone})"


def _short(name: str) -> str:
    return shortened(printable(name), LONGEST_NAME)
