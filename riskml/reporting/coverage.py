"""Which days were scored, when nothing came, and what was set apart."""

from __future__ import annotations

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
from riskml.reporting.score_facts import LONG_GAP, ScoreFacts
from riskml.reporting.view import MOST_ROWS, View
from riskml.reporting.words import NONE

MOST_GAPS = 5


def coverage(view: View) -> Section:
    """Days, gaps and quarantine."""
    words = view.words
    now, before = view.scores, view.scores_before
    if now is None or before is None:
        return Section("coverage", words("coverage"), [Text(words("coverage_none"))])
    days, days_before = len(now.period.days), len(before.period.days)
    about = words(
        "coverage_about",
        windows=now.counted.height,
        users=now.counted["user_id"].n_unique(),
        covered=days - len(now.empty_days),
        days=days,
        windows_before=before.counted.height,
        users_before=before.counted["user_id"].n_unique(),
        covered_before=days_before - len(before.empty_days),
        days_before=days_before,
    )
    blocks: list[Block] = [Text(about), _by_day(view, now), _gaps(view, now, before)]
    blocks.append(_quarantine(view, now, before))
    return Section("coverage", words("coverage"), blocks)


def _by_day(view: View, scores: ScoreFacts) -> Table:
    words = view.words
    day = pl.col("window_end").dt.date().alias("day")
    found = scores.counted.group_by(day).agg(
        events=pl.col("n_events").sum(), windows=pl.len(), users=pl.col("user_id").n_unique()
    )
    raised = dict(view.log.windows.group_by(day).len().iter_rows())
    counts = {row["day"]: row for row in found.iter_rows(named=True)}
    lines, empty = [], set(scores.empty_days)
    for each in view.period.days:
        row = counts.get(each, {"events": 0, "windows": 0, "users": 0})
        numbers = [row["events"], row["windows"], row["users"], raised.get(each, 0)]
        mark = Cell(words("no_data"), tone=WARNING) if each in empty else Cell("")
        lines.append(Line([Cell(words.weekday(each)), *map(view.number, numbers), mark]))
    titles = ("events", "windows", "users", "raised_windows")
    columns = [Column(words("day"), number=False), *(Column(words(title)) for title in titles)]
    return Table(words("by_day"), [*columns, Column("", number=False)], lines, sortable=False)


def _gaps(view: View, now: ScoreFacts, before: ScoreFacts) -> Block:
    words, least = view.words, int(LONG_GAP.total_seconds() // 3600)
    if not now.gaps:
        return Text(words("gaps_none", n=least))
    lines = [
        Line(
            [
                Cell(words.moment(start)),
                Cell(words.moment(end)),
                Cell(words.hours(end - start), (end - start).total_seconds()),
            ]
        )
        for start, end in now.gaps[:MOST_GAPS]
    ]
    columns = [Column(words("gap_from"), False), Column(words("gap_until"), False)]
    longest = words.hours(before.gaps[0][1] - before.gaps[0][0]) if before.gaps else NONE
    notes = [words("gaps_note", n=least, before=longest)]
    return Table(words("gaps_table"), [*columns, Column(words("gap_length"))], lines, notes)


def _quarantine(view: View, now: ScoreFacts, before: ScoreFacts) -> Block:
    words = view.words
    if now.quarantine.is_empty() and before.quarantine.is_empty():
        return Text(words("quarantine_none"))
    past = dict(before.quarantine.group_by("rule").len().iter_rows())
    found = dict(now.quarantine.group_by("rule").len().iter_rows())
    rules = sorted({*found, *past}, key=lambda rule: (-found.get(rule, 0), rule))
    lines = []
    for rule in rules[:MOST_ROWS]:
        key = f"set_apart_{rule}"
        name = words(key) if words.knows(key) else words("set_apart_other", what=rule)
        numbers = map(view.number, (found.get(rule, 0), past.get(rule, 0)))
        lines.append(Line([Cell(view.veil.text(name)), *numbers]))
    columns = [Column(words("reason"), False), Column(words("rows")), Column(words("earlier"))]
    notes = [words("quarantine_note")]
    return Table(words("quarantine_table"), columns, lines, notes)
