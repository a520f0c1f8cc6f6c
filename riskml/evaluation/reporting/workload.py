"""What the alerts are as work: how many a day, which incidents they found, how soon."""

from __future__ import annotations

from collections.abc import Sequence

from riskml.evaluation.measures.reliability import reliability_table
from riskml.evaluation.reporting.blocks import (
    OK,
    REFUSED,
    Block,
    Cell,
    Column,
    Line,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.numbers import (
    NONE,
    count,
    in_days,
    moment,
    number,
    share,
    some,
)
from riskml.evaluation.reporting.spending import wait_of, what_binds
from riskml.evaluation.reporting.view import View

SHOWN_INCIDENTS = 100


def workload(view: View, pictures: Sequence[Pictures]) -> Section:
    """Alerts promised against delivered, and whether p-values keep what they say."""
    promised, delivered = view.metrics.get("alerts_promised"), view.alerts
    if promised:
        text = (
            f"{count(promised)} alerts were promised for the test period and {delivered:,} "
            f"delivered ({share(delivered / promised)}). The threshold was set without any label."
        )
    else:
        text = f"{delivered:,} alerts; this rule promises no number of them."
    if binds := what_binds(view):
        text += f" Of {view.about.budget}, {binds}."
    blocks: list[Block] = [Text(text), *pictures, _by_day(view), reliability(view)]
    return Section("workload", "Alerts promised and delivered", blocks)


def incidents(view: View) -> Section:
    """Each incident: whether, when and after how much it was found."""
    if not view.has_incidents:
        return Section("incidents", "Incidents and time to detect", ())
    table = view.detections.sort("found", "start", "incident_id")
    found = table.filter("found")
    text = (
        f"{len(found)} of {some(len(table), 'incident')} had at least one alert. Time to detect "
        "runs from the first event of the incident to the last event of the first window that "
        f"raised an alert, {wait_of(view)}. Only then is it scored."
    )
    lines = []
    for row in table.head(SHOWN_INCIDENTS).iter_rows(named=True):
        lines.append(
            Line(
                (
                    Cell(row["incident_id"]),
                    Cell(
                        "found" if row["found"] else "missed", tone=OK if row["found"] else REFUSED
                    ),
                    Cell(row["scenario"] or "unknown"),
                    Cell(row["user_id"]),
                    Cell(moment(row["start"])),
                    Cell(count(row["windows"]), row["windows"]),
                    Cell(count(row["alerts"]), row["alerts"]),
                    Cell(in_days(row["days_to_detect"]), row["days_to_detect"]),
                    Cell(count(row["events_to_detect"]), row["events_to_detect"]),
                )
            )
        )
    columns = [
        Column("incident", number=False),
        Column("verdict", number=False),
        Column("scenario", number=False),
        Column("user", number=False),
        Column("first event (UTC)", number=False),
        Column("windows"),
        Column("alerts"),
        Column("time to detect"),
        Column("events until then"),
    ]
    notes = ["Events until then: all events in the incident's windows, normal ones among them."]
    if len(table) > SHOWN_INCIDENTS:
        notes.append(f"{len(table) - SHOWN_INCIDENTS:,} more incidents are not shown.")
    listing = Table("Incidents, those missed first", columns, lines, notes, folded=len(table) > 25)
    return Section("incidents", "Incidents and time to detect", (Text(text), listing))


def _by_day(view: View) -> Table:
    known = view.has_labels
    lines = []
    for row in view.by_day.iter_rows(named=True):
        cells = [
            Cell(f"{row['day']:%Y-%m-%d}"),
            Cell(count(row["windows"]), row["windows"]),
            Cell(number(row["promised"], 1), row["promised"]),
            Cell(count(row["alerts"]), row["alerts"]),
        ]
        if known:
            cells.append(Cell(count(row["true_alerts"]), row["true_alerts"]))
        lines.append(Line(cells))
    columns = [
        Column("day (UTC)", number=False),
        Column("windows"),
        Column("promised"),
        Column("delivered"),
        *([Column("truly risky")] if known else []),
    ]
    notes = [
        f"{some(len(lines), 'UTC day')} on which windows end. From the first start to the last end "
        f"of windows the test periods last {some(round(view.test_days), 'day')}, of which figures "
        "a day are."
    ]
    return Table("Alerts of each day", columns, lines, notes, folded=True)


def reliability(view: View) -> Table:
    """How many windows have so low a p-value, against how many should."""
    normal = "normal windows" if view.has_labels else "windows"
    lines = []
    for row in reliability_table(view.whole).iter_rows(named=True):
        lines.append(
            Line(
                (
                    Cell(share(row["promised"]), row["promised"]),
                    Cell(share(row["observed"]), row["observed"]),
                    Cell(count(row["windows"]), row["windows"]),
                    Cell("×" + number(row["ratio"], 1) if row["windows"] else NONE, row["ratio"]),
                )
            )
        )
    columns = [
        Column("p-value up to"),
        Column(f"share of {normal}"),
        Column("how many"),
        Column("against promise"),
    ]
    note = (
        f"A p-value of 1 % says that one normal window in a hundred scores as high. Among the "
        f"{normal} of the test period it should then be 1 % that have one so low; ×2 means twice "
        "as many, so that risk looks higher than it is."
    )
    return Table("Do p-values keep what they say?", columns, lines, [note], sortable=False)
