"""The main figures by scenario, role and tenure."""

from __future__ import annotations

import polars as pl

from riskml.evaluation.reporting.blocks import Block, Cell, Column, Line, Section, Table, Text
from riskml.evaluation.reporting.metric_names import MEANINGS
from riskml.evaluation.reporting.numbers import count, number, share
from riskml.evaluation.reporting.view import MAIN, View

SHOWN = 40
"""Groups of one table; more would be a list, not a table."""

TENURES = {
    "unseen": "unseen: no window in training",
    "new": "new: too few windows in training",
    "known": "known",
}

TITLES = {
    "scenario": "By scenario",
    "role": "By role (peer group)",
    "tenure": "By tenure: how well the user was known",
}

FEW = 5
"""Risky windows below which a group's figures are little more than an example."""


def groups(view: View) -> Section:
    """Tables by scenario, role and tenure, of what is known."""
    title = "By scenario, role and tenure"
    if not view.positives:
        return Section("groups", title, ())
    tables: list[Block] = []
    for by, caption in TITLES.items():
        if by == "scenario" and not view.has_incidents:
            continue
        found = view.groups(by)
        if len(found) > (1 if by == "role" else 0):
            tables.append(_table(caption, found, by))
    about = (
        "How well it does for whom, and against what. Alerts and incidents are those that were "
        f"raised and found. Groups with fewer than {FEW} risky windows are examples, not measures."
    )
    return Section("groups", title, (Text(about), *tables))


def _table(caption: str, found: pl.DataFrame, by: str) -> Table:
    by_scenario = by == "scenario"
    lines = []
    for row in found.head(SHOWN).iter_rows(named=True):
        name = TENURES.get(row["group"], row["group"]) if by == "tenure" else row["group"]
        cells = [Cell(name)]
        if not by_scenario:
            cells += [_count(row[name]) for name in ("windows", "users", "false_alarms")]
        cells += [
            _count(row["positives"]),
            Cell(share(row["recall_at_threshold"]), row["recall_at_threshold"]),
            _count(row["incidents"]),
            Cell(share(row["incident_recall_at_threshold"]), row["incident_recall_at_threshold"]),
            Cell(number(row[MAIN]), row[MAIN]),
            Cell(number(row["roc_auc"]), row["roc_auc"]),
        ]
        lines.append(Line(cells))
    columns = [
        Column(by, number=False),
        *([] if by_scenario else [*map(Column, ("windows", "users", "false alarms"))]),
        Column("risky windows"),
        Column("with an alert"),
        Column("incidents"),
        Column("found"),
        Column("average precision", hint=MEANINGS[MAIN]),
        Column("ROC-AUC", hint=MEANINGS["roc_auc"]),
    ]
    notes = []
    if by_scenario:
        notes.append("Ranking figures are of a scenario's risky windows among all normal windows.")
    if len(found) > SHOWN:
        notes.append(f"{len(found) - SHOWN} more groups are not shown.")
    return Table(caption, columns, lines, notes)


def _count(value: float | None) -> Cell:
    return Cell(count(value), value)
