"""New alerts, what became of them, how many were confirmed, and what they were about."""

from __future__ import annotations

import polars as pl

from riskml.alerting.states import AlertState, Severity
from riskml.evaluation.reporting.blocks import (
    Block,
    Cell,
    Column,
    Line,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.reporting.charts import bars
from riskml.reporting.precision import precision_of
from riskml.reporting.scenarios import scenario
from riskml.reporting.styles import FONTS
from riskml.reporting.view import MOST_ALERTS, MOST_ROWS, View

GRAVEST_FIRST = tuple(reversed(Severity))
LAST_STATES = (
    AlertState.RESOLVED,
    AlertState.FALSE_ALARM,
    AlertState.ACCEPTED_RISK,
    AlertState.ACKNOWLEDGED,
    AlertState.OPEN,
)


def alerts(view: View) -> Section:
    """Picture, counts and the riskiest ones."""
    blocks: list[Block] = []
    if not view.log.alerts.is_empty():
        blocks = [_by_day(view), _by_severity(view), _riskiest(view)]
    elif not view.log_before.alerts.is_empty():
        blocks = [_by_severity(view)]
    return Section("alerts", view.words("alerts"), blocks)


def _by_day(view: View) -> Pictures:
    words = view.words
    days = pl.col("begun").dt.date().alias("day")
    counted = view.log.alerts.group_by("severity", days).len()
    counts: dict[str, dict[object, int]] = {}
    for severity, day, n in counted.iter_rows():
        counts.setdefault(severity, {})[day] = n
    day, n = (
        view.log.alerts.group_by(days).len().sort("len", "day", descending=[True, False]).row(0)
    )
    return Pictures(
        [
            Picture(
                "alerts_by_day",
                words("alerts_by_day"),
                words("alerts_by_day_alt", day=words.short_day(day), n=n),
                bars(view.period.days, counts, words, FONTS[words.language]),  # type: ignore[arg-type]
                wide=True,
            )
        ]
    )


def _by_severity(view: View) -> Table:
    words, now, before = view.words, view.log.alerts, view.log_before.alerts
    titles = [words("new"), words("earlier"), *(words(f"state_{s}") for s in LAST_STATES)]
    columns = [Column(words("severity"), number=False), *map(Column, titles)]

    def line(name: str, mine: pl.DataFrame, past: pl.DataFrame, strong: bool = False) -> Line:
        states = [mine.filter(pl.col("state") == state.value).height for state in LAST_STATES]
        return Line([Cell(name), *map(view.number, [mine.height, past.height, *states])], strong)

    lines = []
    for severity in GRAVEST_FIRST:
        mine = pl.col("severity") == severity.value
        lines.append(line(words(f"severity_{severity}"), now.filter(mine), before.filter(mine)))
    lines.append(line(words("total"), now, before, strong=True))
    notes = [words("note_states")]
    return Table(words("by_severity"), columns, lines, notes, sortable=False)


def _riskiest(view: View) -> Table:
    words, found = view.words, view.log.alerts
    titles = ("alert", "begun", "user", "about", "severity")
    columns = [Column(words(title), number=False) for title in titles]
    columns += [Column(words("risk")), Column(words("state"), False)]
    lines = [
        Line(
            [
                Cell(row["alert_id"]),
                Cell(words.moment(row["begun"])),
                view.user(row["user_id"], row["peer"]),
                Cell(view.veil.text(scenario(row["signature"], words))),
                Cell(words(f"severity_{row['severity']}")),
                view.number(row["risk"]),
                Cell(words(f"state_{row['state']}")),
            ]
        )
        for row in found.head(MOST_ALERTS).iter_rows(named=True)
    ]
    notes = [words("note_show")]
    if found.height > MOST_ALERTS:
        notes.insert(0, words("further", n=found.height - MOST_ALERTS))
    return Table(words("riskiest"), columns, lines, notes)


def precision(view: View) -> Section:
    """Of the new alerts, and by severity."""
    words, now = view.words, view.log.alerts
    whole = precision_of(now)
    blocks: list[Block] = [Text(words("precision_about"))]
    if not whole.judged and not precision_of(view.log_before.alerts).judged:
        return Section("precision", words("precision"), [*blocks, Text(words("precision_none"))])
    titles = ("judged", "confirmed", "false_alarms", "share_confirmed")
    columns = [Column(words("severity"), number=False), *(Column(words(title)) for title in titles)]
    lines = [_judged(view, words("all_alerts"), now, strong=True)]
    for severity in GRAVEST_FIRST:
        some = now.filter(pl.col("severity") == severity.value)
        if precision_of(some).judged:
            lines.append(_judged(view, words(f"severity_{severity}"), some))
    lines.append(_judged(view, words("all_before"), view.log_before.alerts))
    notes = [words("wilson"), words("selection", judged=whole.judged, all=now.height)]
    blocks.append(Table(words("precision_table"), columns, lines, notes, sortable=False))
    return Section("precision", words("precision"), blocks)


def _judged(view: View, name: str, alerts: pl.DataFrame, strong: bool = False) -> Line:
    words, found = view.words, precision_of(alerts)
    low, high = map(words.percent, found.interval)
    doubt = f"({low}–{high})" if found.judged else ""
    counts = (found.judged, found.confirmed, found.judged - found.confirmed)
    share = Cell(words.percent(found.share), found.share, doubt)
    return Line([Cell(name), *map(view.number, counts), share], strong)


def scenarios(view: View) -> Section:
    """By the weightiest reason."""
    words, now = view.words, view.log.alerts
    past = dict(view.log_before.alerts.group_by("signature").len().iter_rows())
    found = now.group_by("signature").agg(
        n=pl.len(), users=pl.col("user_id").n_unique(), risk=pl.col("risk").max()
    )
    found = found.sort("n", "risk", "signature", descending=[True, True, False])
    titles = ("new", "earlier", "users", "highest_risk", "confirmed", "false_alarms")
    columns = [Column(words("about"), number=False), *(Column(words(title)) for title in titles)]
    lines = []
    for row in found.head(MOST_ROWS).iter_rows(named=True):
        judged = precision_of(now.filter(pl.col("signature") == row["signature"]))
        name = view.veil.text(scenario(row["signature"], words))
        numbers = [row["n"], past.get(row["signature"], 0), row["users"], row["risk"]]
        numbers += [judged.confirmed, judged.judged - judged.confirmed]
        lines.append(Line([Cell(name), *map(view.number, numbers)]))
    notes = [words("further", n=now.height - found.head(MOST_ROWS)["n"].sum())]
    table = Table(words("scenarios_table"), columns, lines, notes if len(found) > MOST_ROWS else ())
    return Section("scenarios", words("scenarios"), [table] if lines else [])
