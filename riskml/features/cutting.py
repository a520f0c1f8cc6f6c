"""Events that arrive → windows, closed and open; what the next call needs goes to the profile."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError
from riskml.core.schema import TIME_ZONE, time_span
from riskml.core.types import PEER
from riskml.features.actions import ActionVocabulary
from riskml.features.family import WindowEvents
from riskml.features.profile import USER, Profile, upsert
from riskml.features.rows import (
    FOREVER,
    NEVER,
    Flags,
    begins,
    find,
    index,
    instants,
    micros,
    ranges,
)
from riskml.features.windows import WINDOW_ID, Windowing, is_closed

EVENT_ID = "_event_id"
"""Column of events whose ids are asked for."""

IDS = 50
"""Of a window the first and the last so many ids are kept."""

_logger = logging.getLogger(__name__)


def without_late(events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
    """Leave out, count and warn of events (in order of user) whose window is closed."""
    late = is_late(events, profile)
    n = int(late.sum())
    if not n:
        return events, profile
    _logger.warning(
        "%d of %d events came after their window was closed and are left out, the first at %s; "
        "features.lateness_minutes keeps windows open for longer",
        n,
        len(events),
        events.filter(late)["timestamp"].min(),
    )
    return events.filter(~late), replace(profile, late=profile.late + n)


def is_late(events: pl.DataFrame, profile: Profile) -> Flags:
    """Which events (user, timestamp) are of a time whose windows are closed for their user."""
    until, time = micros(profile.users["closed_until"]), micros(events["timestamp"])
    if until.max(initial=NEVER) <= time.min(initial=FOREVER):
        return np.zeros(len(time), bool)
    known = find(profile.users[USER].to_numpy(), events[USER].to_numpy())
    late: Flags = time < np.append(until, NEVER)[known]
    return late


def join(
    arrived: pl.DataFrame, profile: Profile, lateness: timedelta
) -> tuple[pl.DataFrame, Profile]:
    """New events among those of open windows; the watermark follows the latest.

    Args:
        arrived: new events in order of user and time, with all columns that windows need.
        profile: before them.
        lateness: how far the watermark stays behind.

    Raises:
        DataError: the events of the profile have other columns.
    """
    if EVENT_ID in arrived.columns:
        # last, as where open events had none
        arrived = arrived.select(pl.exclude(EVENT_ID), EVENT_ID)
    if arrived.is_empty():
        return (arrived if profile.open is None else profile.open), profile
    mark = watermark_after(arrived["timestamp"], profile, lateness)
    profile = replace(profile, watermark=mark, users=_users_after(arrived, profile.users))
    if profile.open is not None and not profile.open.is_empty():
        if (set(profile.open.columns) ^ set(arrived.columns)) - {EVENT_ID}:
            raise DataError("the profile was made with other features: begin with a new one")
        # events of before ids were asked for have none
        arrived = _in_order(pl.concat([profile.open, arrived], how="diagonal"))
    return arrived, profile


def _in_order(events: pl.DataFrame) -> pl.DataFrame:
    """By user and time, in their order where both are the same."""
    user, time = events[USER].to_numpy(), micros(events["timestamp"])
    order = np.argsort(user, kind="stable")
    # as a rule, what arrives is later than what is open
    if ((np.diff(time[order]) >= 0) | begins(user[order])[1:]).all():
        return events[index(order)]
    return events.sort(USER, "timestamp", maintain_order=True)


def watermark_after(times: pl.Series, profile: Profile, lateness: timedelta) -> datetime | None:
    """Up to when all events are taken to have arrived, once those of `times` have."""
    if times.is_empty():
        return profile.watermark
    mark = time_span(times, times)[1] - lateness
    return mark if profile.watermark is None else max(mark, profile.watermark)


def _users_after(arrived: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    user = arrived[USER].to_numpy()
    first = np.flatnonzero(begins(user))
    n_events = np.diff(np.append(first, len(user)))
    known = find(past[USER].to_numpy(), user[first])
    rows = {
        USER: user[first],
        "n_events": n_events + np.append(past["n_events"].to_numpy(), 0)[known],
        TIME_ZONE: arrived[TIME_ZONE][index(first + n_events - 1)],
        "closed_until": instants(np.append(micros(past["closed_until"]), NEVER)[known]),
    }
    return upsert(past, pl.DataFrame(rows))


def cut(
    events: pl.DataFrame,
    rule: Windowing,
    vocabulary: ActionVocabulary,
    names: pl.DataFrame,
    watermark: datetime | None = None,
) -> WindowEvents:
    """Cut events into windows, those of a user in order of their end.

    Args:
        events: in order of user and time, with what the rule has added on arrival.
        rule: that cuts.
        vocabulary: the action ids.
        names: the user id of each hash.
        watermark: up to when all events are there; None: all that there will be.
    """
    events = rule.order(events)
    first = np.flatnonzero(rule.begins(events)) if len(events) else np.zeros(0, np.int64)
    last = index(np.append(first[1:], len(events))[: len(first)] - 1)
    begun = events[index(first)]
    name = names["user_id"][index(find(names[USER].to_numpy(), begun[USER].to_numpy()))]
    windows = begun.hstack(
        [
            name,
            begun["timestamp"].alias("start"),
            events["timestamp"][last].alias("end"),
            events[TIME_ZONE][last].alias("last_zone"),
            pl.Series("n_events", np.diff(np.append(first, len(events)))),
        ]
    )
    ids = pl.DataFrame([name, rule.names(windows)]).select(pl.concat_str(pl.all(), separator="/"))
    closed_from = rule.closed_from(windows).alias("closed_from")
    keys = windows[["user_id", "start", "end", "n_events", USER]].hstack(
        [
            events[PEER][last],
            closed_from,
            is_closed(closed_from, watermark).alias("closed"),
            ids.to_series().alias(WINDOW_ID),
        ]
    )
    found = WindowEvents(keys, events, first.astype(np.int64), vocabulary)
    user, end = keys[USER].to_numpy(), micros(keys["end"])
    if ((np.diff(end) > 0) | begins(user)[1:]).all():
        return found
    order = keys.select(pl.arg_sort_by(USER, "end", WINDOW_ID)).to_series().to_numpy()
    return take(found, order.astype(np.int64))


def take(windows: WindowEvents, rows: npt.NDArray[np.int64]) -> WindowEvents:
    """The windows at `rows`, in that order, with their events."""
    counts = windows.counts[rows]
    first = np.append(0, np.cumsum(counts))[: len(counts)].astype(np.int64)
    events = windows.events[index(ranges(windows.first[rows], counts))]
    return WindowEvents(windows.keys[index(rows)], events, first, windows.vocabulary)


def close(windows: WindowEvents, rule: Windowing, profile: Profile) -> Profile:
    """Keep the events of open windows, and until when a user's windows are closed."""
    closed = windows.closed
    if not closed.any():
        return replace(profile, open=windows.events)
    still_open = windows.events[index(np.flatnonzero(~closed[windows.row]))]
    profile = replace(profile, open=still_open)
    if rule.overlap:
        return profile
    at = np.where(closed, micros(windows.keys["closed_from"]), NEVER)
    latest = np.maximum.reduceat(at, windows.user_begins)
    user = windows.keys[USER].to_numpy()[windows.user_begins]
    until = micros(profile.users["closed_until"]).copy()
    known = find(profile.users[USER].to_numpy(), user)
    until[known] = np.maximum(until[known], latest)
    users = profile.users.with_columns(instants(until).alias("closed_until"))
    return replace(profile, users=users)


def event_ids(windows: WindowEvents) -> pl.Series | None:
    """Lists of the ids of each window's events (see `IDS`); None: they were not asked for."""
    if EVENT_ID not in windows.events.columns:
        return None
    place = np.arange(len(windows.events)) - windows.first[windows.row]
    kept = np.flatnonzero((place < IDS) | (place >= windows.counts[windows.row] - IDS))
    ids = pl.DataFrame({"row": windows.row[kept], EVENT_ID: windows.events[EVENT_ID][index(kept)]})
    by_window = ids.group_by("row", maintain_order=True)
    return by_window.agg(pl.col(EVENT_ID).drop_nulls())[EVENT_ID]
