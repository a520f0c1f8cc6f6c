"""What people were not told of, and by which rule."""

from __future__ import annotations

from riskml.alerting.suppression import (
    ACCEPTED,
    CAP_PEER,
    CAP_USER,
    FIRST,
    JUDGED,
    REMINDER,
    REPEAT,
    RISEN,
)
from riskml.evaluation.reporting.blocks import Block, Cell, Column, Line, Section, Table, Text
from riskml.reporting.view import MOST_ROWS, View

RULES = (FIRST, RISEN, REMINDER, REPEAT, JUDGED, ACCEPTED, CAP_USER, CAP_PEER)


def suppressed(view: View) -> Section:
    """Rules, and who answers for what."""
    words, windows = view.words, view.log.windows
    if windows.is_empty() and view.log_before.windows.is_empty():
        return Section("suppressed", words("suppressed"), [])
    told = int(windows["told"].sum())
    blocks: list[Block] = [
        Text(words("suppressed_about", all=windows.height, told=told)),
        _rules(view),
    ]
    if not view.log.accepted.is_empty():
        lines = [
            Line([Cell(view.veil.text(row["why"])), view.number(row["n"])])
            for row in view.log.accepted.head(MOST_ROWS).iter_rows(named=True)
        ]
        columns = [Column(words("owner_why"), number=False), Column(words("raised_windows"))]
        blocks.append(Table(words("accepted_table"), columns, lines))
    return Section("suppressed", words("suppressed"), blocks)


def _rules(view: View) -> Table:
    words = view.words
    now, before = (
        {(rule, told): n for rule, told, n in each.windows.group_by("rule", "told").len().rows()}
        for each in (view.log, view.log_before)
    )
    lines = [
        Line(
            [
                Cell(words(f"rule_{rule}")),
                Cell(words("told_yes" if told else "told_no")),
                view.number(now.get((rule, told), 0)),
                view.number(before.get((rule, told), 0)),
            ]
        )
        for rule in RULES
        for told in (True, False)
        if (rule, told) in now or (rule, told) in before
    ]
    columns = [Column(words("rule"), number=False), Column(words("told"), number=False)]
    columns += [Column(words("raised_windows")), Column(words("earlier"))]
    return Table(words("rules_table"), columns, lines, sortable=False)
