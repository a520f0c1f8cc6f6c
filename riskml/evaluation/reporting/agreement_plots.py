"""Pictures of two models beside each other."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from riskml.core.redaction import printable

ONLY_A, ONLY_B, BOTH, REST = "#0b4f8a", "#d55e00", "#00805e", "#b4bac1"


def save_plots(table: pl.DataFrame, names: tuple[str, str], folder: Path) -> list[Path]:
    """Write `risk.png` and `alerts.png`.

    Args:
        table: as of `agreement.joined`.
        names: of the models.
        folder: made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = (printable(names[0]), printable(names[1]))
    figures = {"risk.png": _risk(table, shown), "alerts.png": _alerts(table, shown)}
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=120)
    return [folder / name for name in figures]


def _risk(table: pl.DataFrame, names: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, linestyle=":")
    a, b = pl.col("alert_a"), pl.col("alert_b")
    kinds = (
        ("no alert", ~a & ~b, REST),
        ("alert of both", a & b, BOTH),
        ("of A only", a & ~b, ONLY_A),
        ("of B only", b & ~a, ONLY_B),
    )
    for label, chosen, colour in kinds:
        part = table.filter(chosen)
        axes.scatter(
            part["risk_a"].to_numpy(),
            part["risk_b"].to_numpy(),
            s=14,
            color=colour,
            alpha=0.7,
            label=f"{label} ({len(part):,})",
            linewidths=0,
        )
    axes.set(
        xlabel=f"risk by A: {names[0]}",
        ylabel=f"risk by B: {names[1]}",
        xlim=(-2, 102),
        ylim=(-2, 102),
        title="Each window's risk",
        aspect="equal",
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _alerts(table: pl.DataFrame, names: tuple[str, str]) -> Figure:
    days = (
        table.group_by(pl.col("window_end").dt.date().alias("day"))
        .agg(
            both=(pl.col("alert_a") & pl.col("alert_b")).sum(),
            only_a=(pl.col("alert_a") & ~pl.col("alert_b")).sum(),
            only_b=(pl.col("alert_b") & ~pl.col("alert_a")).sum(),
        )
        .sort("day")
    )
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    at, level = days["day"].to_numpy(), pl.Series([0.0] * len(days))
    parts = (
        ("both", "both", BOTH),
        ("only_a", f"A only: {names[0]}", ONLY_A),
        ("only_b", f"B only: {names[1]}", ONLY_B),
    )
    for column, label, colour in parts:
        height = days[column].cast(pl.Float64)
        axes.bar(at, height.to_numpy(), bottom=level.to_numpy(), color=colour, label=label)
        level = level + height
    axes.set(ylabel="alerts a day", title="Alerts by day (UTC)")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.autofmt_xdate()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
