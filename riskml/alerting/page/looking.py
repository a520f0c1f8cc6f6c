"""All that is shown of one alert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import polars as pl
from sqlalchemy import or_, select

from riskml.alerting.alert_log import AlertHistory, AlertLog
from riskml.alerting.log_tables import ALERTS, SIGHTINGS, AlertRow
from riskml.alerting.page.queue import Queue, blended
from riskml.alerting.page.timeline import AFTER, BEFORE, Timeline, timeline
from riskml.alerting.states import AlertState, may_become
from riskml.core.schema import TIMESTAMP

Risks = Callable[[str, str | None, str, datetime, datetime], pl.DataFrame]
"""User, peer group, model, after, until → user_id, window_end, risk of the user and the peers."""

Events = Callable[[str, datetime, datetime], pl.DataFrame]
"""User, since, until → the user's events."""

WIDE, NARROW = 760, 340
"""Pixels of the picture, on a desk and on a phone."""

AROUND = timedelta(hours=1)
"""Before and after a window; so much of the log is shown with it."""

MOST_EVENTS, MOST_EARLIER = 200, 20


@dataclass(frozen=True)
class Looked:
    """An alert as a page shows it.

    Args:
        history: of the log.
        riskiest: its window with the highest risk.
        blended: its place in the queue.
        chance: of the triage, None where it does not know the alert.
        pictures: of the risk over time, wide and narrow; empty where nothing is known.
        only_raised: whether the picture has only windows that were raised.
        earlier: alerts of the same user, the last first.
        may: states that it can be given.
    """

    history: AlertHistory
    riskiest: AlertRow
    blended: float
    chance: float | None
    pictures: list[Timeline]
    only_raised: bool
    earlier: list[AlertRow]
    may: tuple[AlertState, ...]


@dataclass(frozen=True)
class Happened:
    """What a user did around a window.

    Args:
        window: the row of the log.
        number: of it, from 0.
        events: timestamp, action, resource, source, success and `inside`: whether it is of the
            window.
        left_out: further events.
    """

    window: AlertRow
    number: int
    events: pl.DataFrame
    left_out: int


def look(log: AlertLog, queue: Queue, risks: Risks | None, alert_id: str) -> Looked:
    """Gather it.

    Raises:
        DataError: no such alert, or something cannot be read.
    """
    history = log.history(alert_id)
    row, windows = history.alert, history.sightings
    riskiest = max(windows, key=lambda window: (window["risk"], window["window_end"]))
    asked = row["user_id"], row["peer"], riskiest["model_version"]
    last = row["last_seen"]
    known = (risks or partial(_raised, log))(*asked, last - BEFORE, last + AFTER)
    ends = {window["window_end"] for window in windows}
    drawn = [timeline(known, row["user_id"], ends, width) for width in (WIDE, NARROW)]
    chance = queue.chance(window["window_id"] for window in windows)
    return Looked(
        history,
        riskiest,
        blended(row["risk"], chance),
        chance,
        [picture for picture in drawn if picture is not None],
        risks is None,
        _earlier(log, row),
        may_become(AlertState(row["state"])),
    )


def happened(events: Events, history: AlertHistory, number: int | None) -> Happened:
    """Events of a window, and of the time around it.

    Args:
        events: of the log.
        history: of the alert.
        number: of the window, from 0; the riskiest unless given.

    Raises:
        DataError: the log cannot be read.
    """
    windows = history.sightings
    if number is None or not 0 <= number < len(windows):
        number = max(range(len(windows)), key=lambda n: (windows[n]["risk"], n))
    window = windows[number]
    start, end = window["window_start"], window["window_end"]
    found = events(window["user_id"], start - AROUND, end + AROUND)
    found = found.with_columns(inside=pl.col("timestamp").is_between(start, end))
    # where there are too many, those of the window come first
    shown = found.sort(~pl.col("inside"), "timestamp").head(MOST_EVENTS).sort("timestamp")
    return Happened(window, number, shown, len(found) - len(shown))


def _raised(
    log: AlertLog,
    user_id: str,
    peer: str | None,
    model_version: str,
    after: datetime,
    until: datetime,
) -> pl.DataFrame:
    """Windows in the log of the user and the peers."""
    table = SIGHTINGS.c
    columns = {"user_id": pl.String(), "window_end": TIMESTAMP, "risk": pl.Float64()}
    query = select(*(table[name] for name in columns)).where(
        table.model_version == model_version,
        table.window_end > after,
        table.window_end <= until,
    )
    if peer is not None:
        query = query.where(or_(table.user_id == user_id, table.peer == peer))
    with log.reading() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _earlier(log: AlertLog, row: AlertRow) -> list[AlertRow]:
    query = (
        select(*ALERTS.c)
        .where(ALERTS.c.user_id == row["user_id"], ALERTS.c.alert_id != row["alert_id"])
        .order_by(ALERTS.c.last_seen.desc())
        .limit(MOST_EARLIER)
    )
    with log.reading() as connection:
        return [dict(found) for found in connection.execute(query).mappings()]
