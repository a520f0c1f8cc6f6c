"""The riskiest alerts: why, and the raw events behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from riskml.core.schema import EVENT_SCHEMA
from riskml.core.types import PEER
from riskml.evaluation.explained import FOLD, SHOWN_ALERTS
from riskml.evaluation.reporting.blocks import OK, REFUSED, Block, Case, Facts, Section, Text
from riskml.evaluation.reporting.numbers import moment, number, some
from riskml.evaluation.reporting.view import View
from riskml.features.windows import WINDOW_ID

TIME_ZONE = "time_zone"
SHOWN_EVENTS = 30
SHOWN_COLUMNS = 10
LONGEST = 120
"""Signs of a value; the log has the rest."""

KEYS = (FOLD, WINDOW_ID)

NOT_SHOWN = ("event_id", "user_id", "time_zone", "ingested_at", *KEYS)
"""Columns that say nothing about what was done."""

WORDS = {True: "yes", False: "no"}


def cases(view: View) -> Section:
    """The first alerts, each with its reasons and its first events."""
    comparison = view.comparison
    by_window = comparison.events.partition_by(*KEYS, as_dict=True)
    shown = comparison.alerts.head(SHOWN_ALERTS)
    if shown.is_empty():
        return Section("alerts", "The riskiest alerts", (Text("No alert was raised."),))
    blocks: list[Block] = [
        Text(
            f"The {len(shown)} riskiest of {some(view.alerts, 'alert')}, with the reasons that the "
            f"detector gives and the first {SHOWN_EVENTS} events of the window as they stand in "
            "the log. All alerts with their reasons are in alerts.csv. "
            + _clock(view, comparison.events)
        )
    ]
    folds = len(comparison.folds)
    for place, alert in enumerate(shown.iter_rows(named=True), 1):
        events = by_window.get((alert[FOLD], alert[WINDOW_ID]), comparison.events.clear())
        fold = f"{alert[FOLD] + 1} of {folds}" if folds > 1 else ""
        blocks.append(_case(place, alert, events, fold))
    return Section("alerts", "The riskiest alerts", blocks)


def _case(place: int, alert: Mapping[str, Any], events: pl.DataFrame, fold: str) -> Case:
    verdict, tone = {
        1: ("truly risky", OK),
        0: ("false alarm: normal in truth", REFUSED),
    }.get(alert.get("label", -1), ("", ""))
    zone = zone_of(events)
    start, end = (_on(zone, alert[name]) for name in ("start", "end"))
    until = f"{end:%H:%M}" if start.date() == end.date() else moment(end)
    facts = [
        ("risk (0 to 100)", number(alert["risk"], 0)),
        ("p-value", f"{alert['p_value']:.2g}"),
        ("score", f"{alert['score']:.4g}"),
        ("peer group", str(alert[PEER])),
        ("windows of this user in training", f"{alert['known_windows']:,}"),
        ("window", str(alert[WINDOW_ID])),
    ]
    if zone is not None:
        facts.append(("time zone of the user", zone))
    if fold:
        facts.append(("fold", fold))
    if alert.get("incidents"):
        facts.append(("incident", ", ".join(alert["incidents"])))
    return Case(
        f"{place}. {cut(alert['user_id'])}, risk {alert['risk']:.0f}: {moment(start)} to {until}"
        f"{f' ({zone})' if zone else ''}, "
        f"{some(alert['n_events'], 'event')}",
        Facts(facts),
        alert["reasons"] or ["no reason was given"],
        as_texts(events.head(SHOWN_EVENTS)),
        max(0, len(events) - SHOWN_EVENTS),
        verdict,
        tone,
        open=place == 1,
    )


def _clock(view: View, events: pl.DataFrame) -> str:
    """Which clock times are of."""
    if TIME_ZONE in events.columns and events[TIME_ZONE].count():
        return (
            "Times of windows and hours in reasons are on the user's own clock where the log tells "
            f"it, else {view.about.time_zone}; those of events are UTC."
        )
    return f"Times are UTC; hours in reasons are on the clock of {view.about.time_zone}."


def zone_of(events: pl.DataFrame) -> str | None:
    """The user's time zone at the first of these events, where the log tells one that exists."""
    if TIME_ZONE not in events.columns:
        return None
    told = events[TIME_ZONE].drop_nulls().head(1).to_list()
    return str(told[0]) if told and told[0] in available_timezones() else None


def _on(zone: str | None, value: datetime) -> datetime:
    return value if zone is None else value.astimezone(ZoneInfo(zone))


def as_texts(events: pl.DataFrame) -> pl.DataFrame:
    """The columns that tell what was done, those of every log first, as texts."""
    names = [name for name in events.columns if name not in NOT_SHOWN]
    told = [name for name in names if events[name].null_count() < len(events)]
    told.sort(key=lambda name: (name not in EVENT_SCHEMA, names.index(name)))
    shown = pl.DataFrame(
        {name: [_text(value) for value in events[name]] for name in told[:SHOWN_COLUMNS]},
        schema=dict.fromkeys(told[:SHOWN_COLUMNS], pl.String),
    )
    return shown.rename({"timestamp": "time (UTC)"}, strict=False)


def cut(text: str) -> str:
    """Long values end in an ellipsis."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return WORDS[value]
    if hasattr(value, "strftime"):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return cut(str(value))
