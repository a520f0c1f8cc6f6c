"""The report of `riskml drift` as one HTML page."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from riskml.core.redaction import printable
from riskml.evaluation.reporting.blocks import (
    WARNING,
    Block,
    Cell,
    Column,
    Document,
    Facts,
    Line,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.html import render_html
from riskml.evaluation.reporting.plots import Drawing
from riskml.monitoring.drift import Drift

SHOWN = 30
"""Quantities in the picture: those that were furthest away in any period."""

LARGE_PSI = 0.25


def drift_page(drift: Drift, changes: pl.DataFrame, believed: list[datetime], model: str) -> str:
    """HTML that needs no other file.

    Args:
        drift: of windows and scores.
        changes: that detectors saw among the p-values, see `score_drift.changes`.
        believed: of them, those that several saw.
        model: version of the bundle.
    """
    sections = [
        Section("summary", "Summary", _summary(drift, believed)),
        Section("periods", "Period by period", [Pictures([_picture(drift)])]),
        Section("latest", "The last period", [_latest(drift)]),
        Section("episodes", "When somebody was woken", [_episodes(drift)]),
        Section("actions", "Actions that came or went", [_actions(drift)]),
        Section("scores", "Changes among the p-values", [_changes(changes)]),
    ]
    first, last = drift.table["begin"][0], drift.table["end"][-1]
    return render_html(
        Document(
            "Drift",
            f"Model {model}, {first} to {last}",
            [section for section in sections if section.blocks],
        )
    )


def _summary(drift: Drift, believed: list[datetime]) -> list[Block]:
    wakes, reference, rules = drift.wakes, drift.reference, drift.rules
    blocks: list[Block] = []
    if wakes:
        named = ", ".join(map(printable, wakes))
        blocks.append(Text(f"{named}: somebody should look at it.", WARNING, "Drift."))
    else:
        blocks.append(Text("Nothing drifts at present."))
    blocks.append(
        Facts(
            [
                (
                    "Held to",
                    f"{reference.windows:,} windows from {reference.begin} to {reference.end}",
                ),
                ("Periods", f"{drift.table['begin'].n_unique():,}, {_waiting(drift)}"),
                (
                    "Drift",
                    f"PSI of {rules.psi:g} or more, with a false discovery rate of "
                    f"{rules.significance:g}; {rules.in_a_row} periods in a row wake somebody",
                ),
                (
                    "Changes among p-values",
                    ", ".join(f"{at:%Y-%m-%d}" for at in believed) or "none",
                ),
            ],
            broad=True,
        )
    )
    return blocks


def _waiting(drift: Drift) -> str:
    least = drift.rules.least_windows
    return f"of {least:,} windows or more; {drift.waiting:,} windows wait for the next"


def _picture(drift: Drift) -> Picture:
    wide = drift.table.pivot("begin", index="quantity", values="psi").fill_null(0)
    names, values = wide["quantity"].to_list(), wide.drop("quantity").to_numpy()
    order = np.argsort(-values.max(axis=1), kind="stable")[:SHOWN]
    woken = drift.table.pivot("begin", index="quantity", values="wakes")
    marks = woken.drop("quantity").to_numpy()[order].astype(bool)
    figure = Figure(figsize=(10, 0.26 * len(order) + 1.4), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(
        values[order], aspect="auto", cmap="Blues", vmin=0, vmax=LARGE_PSI, interpolation="nearest"
    )
    rows, columns = np.nonzero(marks)
    axes.scatter(columns, rows, s=14, color="#d55e00", label="somebody is woken", linewidths=0)
    axes.set_yticks(range(len(order)), [printable(names[row]) for row in order], fontsize=8)
    days = wide.columns[1:]
    ticks = np.unique(np.linspace(0, len(days) - 1, min(len(days), 8)).astype(int))
    axes.set_xticks(ticks, [str(days[tick]) for tick in ticks], fontsize=8)
    axes.set_xlabel("first day of the period")
    figure.colorbar(shown, ax=axes, label="PSI", extend="max")
    if marks.any():
        figure.legend(loc="outside upper right", frameon=False, fontsize=8)
    caption = f"How far each quantity lies from the reference; the furthest {len(order)}."
    drawn = Drawing(figure, caption, "A row a quantity, a column a period, darker the further.")
    return Picture("drift", caption, drawn.alt, drawn.svg(), wide=True)


def _latest(drift: Drift) -> Table:
    last = drift.table.filter(pl.col("begin") == drift.table["begin"].max())
    meanings = {each.name: each.meaning for each in drift.reference.quantities}
    lines = [
        Line(
            [
                Cell(printable(row["quantity"]), detail=printable(meanings[row["quantity"]])),
                Cell(f"{row['psi']:.3f}", row["psi"]),
                Cell(f"{row['q_value']:.2g}", row["q_value"]),
                Cell("" if row["distance"] is None else f"{row['distance']:.2f}", row["distance"]),
                Cell("wakes" if row["wakes"] else "drifts" if row["drifts"] else ""),
            ],
            strong=row["drifts"],
        )
        for row in last.sort("psi", descending=True).iter_rows(named=True)
    ]
    columns = [
        Column("quantity", number=False),
        Column("PSI", hint="population stability index against the same weekdays"),
        Column("q", hint="p-value, corrected for the number of quantities"),
        Column("distance", hint="Wasserstein distance in deviations of the reference"),
        Column("", number=False),
    ]
    caption = f"{last['begin'][0]} to {last['end'][0]}, {last['windows'][0]:,} windows"
    return Table(caption, columns, lines)


def _episodes(drift: Drift) -> Table:
    lines = [
        Line([Cell(str(row["begin"])), Cell(str(row["end"])), Cell(", ".join(row["quantities"]))])
        for row in drift.episodes().iter_rows(named=True)
    ]
    columns = [Column(title, number=False) for title in ("from", "until", "because of")]
    return Table("Stretches of time", columns, lines, _none(lines), sortable=False)


def _actions(drift: Drift) -> Table:
    stretches = (
        drift.actions.group_by("action", "change", maintain_order=True)
        .agg(
            first=pl.col("begin").min(),
            last=pl.col("begin").max(),
            periods=pl.len(),
            expected=pl.col("expected").mean(),
            seen=pl.col("seen").mean(),
        )
        .sort("first", "action")
    )
    lines = [
        Line(
            [
                Cell(printable(row["action"])),
                Cell(row["change"]),
                Cell(str(row["first"])),
                Cell(str(row["last"])),
                Cell(f"{row['periods']:,}", row["periods"]),
                Cell(f"{row['expected']:.2%}", row["expected"]),
                Cell(f"{row['seen']:.2%}", row["seen"]),
            ]
        )
        for row in stretches.iter_rows(named=True)
    ]
    columns = [
        Column("action", number=False),
        Column("change", number=False, hint="unknown: training had none such"),
        Column("from", number=False),
        Column("until", number=False),
        Column("periods"),
        Column("expected", hint="share of events"),
        Column("seen", hint="share of events"),
    ]
    return Table("By action", columns, lines, _none(lines))


def _changes(changes: pl.DataFrame) -> Table:
    lines = [
        Line([Cell(row["detector"]), Cell(f"{row['at']:%Y-%m-%d %H:%M}")])
        for row in changes.iter_rows(named=True)
    ]
    columns = [Column("detector", number=False), Column("at, UTC", number=False)]
    return Table("By detector", columns, lines, _none(lines))


def _none(lines: list[Line]) -> list[str]:
    return [] if lines else ["None."]
