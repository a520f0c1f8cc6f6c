"""Which models scored, how their scores lie, and whether the data have moved."""

from __future__ import annotations

from typing import Any

import polars as pl

from riskml.evaluation.reporting.blocks import (
    WARNING,
    Block,
    Cell,
    Column,
    Line,
    Section,
    Table,
    Text,
)
from riskml.reporting.score_facts import CHAMPION, ScoreFacts
from riskml.reporting.view import MOST_ROWS, View
from riskml.reporting.words import NONE


def model(view: View) -> Section:
    """Models over time, and drift."""
    words = view.words
    now, before = (
        _models(view.scores, view.log.windows),
        _models(view.scores_before, view.log_before.windows),
    )
    blocks: list[Block] = [Text(_changes(view, now, before))]
    if not now.is_empty() or not before.is_empty():
        blocks.append(_table(view, now, before))
    return Section("model", words("model"), [*blocks, *_drift(view, set(now["model_version"]))])


def _models(scores: ScoreFacts | None, raised: pl.DataFrame) -> pl.DataFrame:
    """A row each model and role; of raised windows alone where scores are not looked at."""
    if scores is None:
        learning = pl.lit(None, pl.Boolean)
        windows = raised.with_columns(role=pl.lit(CHAMPION), alert=True, learning=learning)
    else:
        windows = scores.windows
    return (
        windows.group_by("model_version", "role")
        .agg(
            first=pl.col("window_end").min(),
            last=pl.col("window_end").max(),
            windows=pl.len(),
            raised=pl.col("alert").sum(),
            median=pl.col("risk").median(),
            high=pl.col("risk").quantile(0.95),
            learning=pl.col("learning").mean(),
        )
        .sort("role", "first", "model_version")
    )


def _changes(view: View, now: pl.DataFrame, before: pl.DataFrame) -> str:
    mine, past = (
        each.filter(pl.col("role") == CHAMPION).sort("first")["model_version"].to_list()
        for each in (now, before)
    )
    if not mine:
        return view.words("model_none")
    if len(mine) > 1:
        return view.words("model_changed", n=len(mine) - 1)
    if past and past[-1] != mine[0]:
        return view.words("model_new")
    return view.words("model_same") if past else view.words("none_before")


def _table(view: View, now: pl.DataFrame, before: pl.DataFrame) -> Table:
    words = view.words
    names = [words("version"), words("period"), words("first_window"), words("last_window")]
    numbers = ("windows", "raised_share", "median_risk", "high_risk", "learning")
    columns = [Column(name, number=False) for name in names]
    columns += [Column(words(name)) for name in numbers]
    rows = [(words("this_period"), row) for row in now.iter_rows(named=True)]
    rows += [(words("earlier"), row) for row in before.iter_rows(named=True)]
    lines = [Line(_cells(view, when, row)) for when, row in rows]
    note = words("models_note_raised" if view.scores is None else "models_note")
    return Table(words("models_table"), columns, lines, [note], sortable=False)


def _cells(view: View, when: str, row: dict[str, Any]) -> list[Cell]:
    words = view.words
    role = words(f"role_{row['role']}")
    return [
        Cell(row["model_version"], detail=role),
        Cell(when),
        Cell(words.short_day(row["first"])),
        Cell(words.short_day(row["last"])),
        view.number(row["windows"]),
        Cell(NONE) if view.scores is None else view.share(row["raised"], row["windows"]),
        view.number(row["median"], 1),
        view.number(row["high"], 1),
        Cell(words.percent(row["learning"]), row["learning"]),
    ]


def _drift(view: View, models: set[str]) -> list[Block]:
    words, drift = view.words, view.drift
    if drift is None:
        return [Text(words("drift_none"), lead=words("drift"))]
    blocks: list[Block] = []
    if drift.wakes:
        what = view.veil.text(", ".join(drift.wakes))
        told = words("drift_wakes", n=drift.periods, what=what)
        blocks.append(Text(told, WARNING, words("drift")))
    else:
        blocks.append(Text(words("drift_still", n=drift.periods), lead=words("drift")))
    if drift.model_version not in models:
        told = words("drift_other_model", version=view.veil.text(drift.model_version))
        blocks.append(Text(told, WARNING))
    lines = [
        Line(
            [
                Cell(view.veil.text(each.name)),
                view.number(each.psi, 3),
                Cell(words("drift_yes" if each.drifts else "drift_no")),
            ]
        )
        for each in drift.latest[:MOST_ROWS]
    ]
    if lines:
        columns = [Column(words("quantity"), False), Column("PSI"), Column(words("drifts"), False)]
        blocks.append(Table(words("drift_table"), columns, lines, [words("drift_note")]))
    return blocks
