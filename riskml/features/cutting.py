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
from riskml.features.windows import WINDOW_ID, Windowing, first_of_user, is_closed

_logger = logging.getLogger(__name__)


def without_late(events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
    """Leave out, count and warn of events whose window is closed."""
    if profile.users.is_empty() or events.is_empty():
        return events, profile
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


def is_late(events: pl.DataFrame, profile: Profile) -> pl.Series:
    """Which events (user, timestamp) are of a time whose windows are closed for their user."""
    until = events.select(USER, "timestamp").join(
        profile.users.select(USER, "closed_until"), on=USER, how="left", maintain_order="left"
    )
    return (until["timestamp"] < until["closed_until"]).fill_null(False)


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
    if arrived.is_empty():
        return (arrived if profile.open is None else profile.open), profile
    mark = time_span(arrived["timestamp"], arrived["timestamp"])[1] - lateness
    if profile.watermark is not None:
        mark = max(mark, profile.watermark)
    profile = replace(profile, watermark=mark, users=_users_after(arrived, profile.users))
    if profile.open is not None and not profile.open.is_empty():
        if set(profile.open.columns) != set(arrived.columns):
            raise DataError("the profile was made with other features: begin with a new one")
        both = pl.concat([profile.open, arrived.select(profile.open.columns)])
        arrived = both.sort(USER, "timestamp", maintain_order=True)
    return arrived, profile


def _users_after(arrived: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    first = np.flatnonzero(first_of_user(arrived))
    n_events = np.diff(np.append(first, len(arrived)))
    now = pl.DataFrame(
        {
            USER: arrived[USER].gather(first),
            "n_events": n_events,
            TIME_ZONE: arrived[TIME_ZONE].gather(first + n_events - 1),
        }
    )
    joined = now.join(past, on=USER, how="left", maintain_order="left", suffix="_past")
    total = pl.col("n_events") + pl.col("n_events_past").fill_null(0)
    rows = joined.select(USER, total, TIME_ZONE, "closed_until")
    return upsert(past, rows, [USER])


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
    last = np.append(first[1:], len(events))[: len(first)] - 1
    end = events[last]
    windows = events[first].join(names, on=USER, how="left", maintain_order="left")
    windows = windows.with_columns(
        end[PEER],
        start=pl.col("timestamp"),
        end=end["timestamp"],
        last_zone=end[TIME_ZONE],
        n_events=pl.Series(last - first + 1),
    )
    closed_from = rule.closed_from(windows)
    keys = windows.select(
        pl.concat_str([pl.col("user_id"), rule.names(windows)], separator="/").alias(WINDOW_ID),
        "user_id",
        "start",
        "end",
        "n_events",
        USER,
        PEER,
        closed_from=closed_from,
        closed=is_closed(closed_from, watermark),
    )
    found = WindowEvents(keys, events, first.astype(np.int64), vocabulary)
    order = keys.select(pl.arg_sort_by(USER, "end", WINDOW_ID)).to_series().to_numpy()
    order = order.astype(np.int64)
    return take(found, order) if (np.diff(order) < 0).any() else found


def take(windows: WindowEvents, rows: npt.NDArray[np.int64]) -> WindowEvents:
    """The windows at `rows`, in that order, with their events."""
    counts = windows.counts[rows]
    first = np.append(0, np.cumsum(counts))[: len(counts)].astype(np.int64)
    events = np.arange(counts.sum()) + np.repeat(windows.first[rows] - first, counts)
    return WindowEvents(windows.keys[rows], windows.events[events], first, windows.vocabulary)


def close(windows: WindowEvents, rule: Windowing, profile: Profile) -> Profile:
    """Keep the events of open windows, and until when a user's windows are closed."""
    still_open = windows.events.filter(pl.Series(~windows.closed[windows.row]))
    profile = replace(profile, open=still_open)
    if rule.overlap:
        return profile
    closed = windows.keys.filter("closed").group_by(USER).agg(until=pl.col("closed_from").max())
    users = profile.users.join(closed, on=USER, how="left", maintain_order="left")
    latest = pl.max_horizontal("closed_until", "until")
    return replace(profile, users=users.with_columns(closed_until=latest).drop("until"))
