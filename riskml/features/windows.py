"""Which events are scored together: a session, a user's day, or a block."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import ConfigError
from riskml.core.schema import TIME_ZONE, TIMESTAMP
from riskml.features.local_time import LOCAL_TIME, ByDay, local_times
from riskml.features.profile import USER
from riskml.features.rows import NEVER, Flags, begins, find, index, instants, micros

WINDOW_ID = "window_id"
NAME = "name"
"""Of a window among its user's windows, in the frames that the rules return."""

DAY, _PLACE, _SESSION = "_day", "_place", "_session"


class Windowing(Protocol):
    """A rule that cuts a user's events into windows.

    Events come in order of user and time, in the columns of `FeatureExtractor` and those that
    `arrive` has added. Windows are described by a frame of one row each, with the columns of
    their first event, `start`, `end`, `n_events` and `last_zone`.
    """

    kind: str
    overlap: bool
    """Whether an event may be earlier than one of a window that is closed."""
    ends: bool
    """Whether a time comes from which on no event can join a window."""

    def columns(self) -> tuple[str, ...]:
        """Columns of the log that the rule reads beside the event schema."""
        ...

    def arrive(self, events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
        """Add to new events what only the user's past tells (see `profile.USERS_SCHEMA`)."""
        ...

    def order(self, events: pl.DataFrame) -> pl.DataFrame:
        """Bring the events of one window together."""
        ...

    def begins(self, events: pl.DataFrame) -> Flags:
        """Which events are not of the same window as the one before, whoever the user is."""
        ...

    def names(self, windows: pl.DataFrame) -> pl.Series:
        """Name of each window among those of its user."""
        ...

    def closed_from(self, windows: pl.DataFrame) -> pl.Series:
        """From which time on no event can join the window; null if one always can."""
        ...

    def settings(self) -> dict[str, Any]:
        """Constructor arguments, to be stored as JSON."""
        ...


class SessionWindows:
    """A user's events with no gap longer than `gap_minutes`, or as the log itself names them.

    Args:
        gap_minutes: a longer silence begins a new session; 30 unless given. With `column` a named
            session goes on after any silence unless it is given.
        column: a column of the log that names the session.
        max_events: a longer session is cut, so that an account that never rests cannot grow one
            without end. Sessions that are never closed are not cut either.

    Raises:
        ConfigError: gap or length is not positive.
    """

    kind = "session"

    def __init__(
        self,
        gap_minutes: float | None = None,
        column: str | None = None,
        max_events: int = 10_000,
    ) -> None:
        if gap_minutes is None and column is None:
            gap_minutes = 30.0
        if gap_minutes is not None and gap_minutes <= 0:
            raise ConfigError(f"features.window.gap_minutes={gap_minutes} must be positive")
        if max_events < 1:
            raise ConfigError(f"features.window.max_events={max_events} must be at least 1")
        self.gap_minutes, self.column, self.max_events = gap_minutes, column, max_events
        self.overlap = column is not None
        self.ends = gap_minutes is not None

    def columns(self) -> tuple[str, ...]:
        """The column that names the session, if one does."""
        return () if self.column is None else (self.column,)

    def arrive(self, events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
        """Give the session's name a column of its own."""
        if self.column is None:
            return events
        name = pl.col(self.column).cast(pl.String).fill_null("none")
        return events.with_columns(name.str.replace_all("/", "%2F", literal=True).alias(_SESSION))

    def order(self, events: pl.DataFrame) -> pl.DataFrame:
        """Named sessions may overlap; others follow each other already."""
        if self.column is None:
            return events
        return events.sort(USER, _SESSION, maintain_order=True)

    def begins(self, events: pl.DataFrame) -> Flags:
        """After a gap, with another name, or where the session before is full."""
        time = micros(events["timestamp"])
        # the user before may have ended in the middle of ours
        found = first_of_user(events)
        if self.gap_minutes is not None:
            found[1:] |= np.diff(time) > round(self.gap_minutes * 60e6)
        if self.column is not None:
            found |= begins(events[_SESSION].rle_id().to_numpy())
        if self.gap_minutes is not None:
            self._cut_long(found, time)
        return found

    def _cut_long(self, begins: Flags, time: npt.NDArray[np.int64]) -> None:
        """Begin anew where a session is full, but not amid events of one moment.

        So no two of a user's windows have one start, by which they are named.
        """
        ends = np.append(np.flatnonzero(begins), len(time))
        moves = np.append(np.flatnonzero(np.diff(time)) + 1, len(time))
        for session in np.flatnonzero(np.diff(ends) > self.max_events):
            at, end = int(ends[session]), int(ends[session + 1])
            while (at := int(moves[np.searchsorted(moves, at + self.max_events)])) < end:
                begins[at] = True
                if end - at <= self.max_events:
                    break

    def names(self, windows: pl.DataFrame) -> pl.Series:
        """Its start, its name in the log, or both where a name may come back after a gap."""
        name = pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
        if self.column is not None:
            named = pl.col(_SESSION)
            name = named if self.gap_minutes is None else pl.format("{}@{}", named, name)
        return windows.select(name.alias(NAME)).to_series()

    def closed_from(self, windows: pl.DataFrame) -> pl.Series:
        """When the gap has passed, or with the next moment when full.

        Sessions that overlap wait for the gap even so: they are closed in order of their ends.
        """
        if self.gap_minutes is None:
            return pl.Series([None] * len(windows), dtype=TIMESTAMP)
        silence = round(self.gap_minutes * 60e6) + 1
        full = (windows["n_events"].to_numpy() >= self.max_events) & (not self.overlap)
        return instants(micros(windows["end"]) + np.where(full, 1, silence))

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "gap_minutes": self.gap_minutes,
            "column": self.column,
            "max_events": self.max_events,
        }


class UserDayWindows:
    """All events of a user on one calendar day of the user's own clock.

    Days never go back: who flies west stays in the day that has begun.
    """

    kind = "user_day"
    overlap = False
    ends = True

    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def arrive(self, events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
        """Add the day by the clocks of this event and of the one before, in days since 1970."""
        first = np.flatnonzero(first_of_user(events))
        known = find(users[USER].to_numpy(), events[USER].to_numpy()[first])
        zone, row = events[TIME_ZONE], np.arange(len(events))
        before = row - 1
        # the first of a user we do not know has had no other clock
        before[first] = np.where(known >= 0, len(row) + known, row[first])
        before_zone = pl.concat([zone, users[TIME_ZONE]])[index(before)]
        day = _days(events[LOCAL_TIME])
        moved = np.flatnonzero((before_zone != zone).to_numpy())
        if len(moved):
            # a day may have ended by the clock that the user had before
            at = index(moved)
            there = local_times(events["timestamp"][at], before_zone[at])
            day[moved] = np.maximum(day[moved], _days(there))
        return events.hstack([pl.Series(DAY, day.astype(np.int32))])

    def order(self, events: pl.DataFrame) -> pl.DataFrame:
        """As they are, and no day before one that has begun.

        Not on arrival: an event that comes late still joins the day before if that is open. A day
        that is closed has ended by the clock of its last event, so nothing goes back to it.
        """
        if _goes_back(events, DAY):
            return events.with_columns(pl.col(DAY).cum_max().over(USER))
        return events

    def begins(self, events: pl.DataFrame) -> Flags:
        """On another day."""
        return _changes(events, DAY)

    def names(self, windows: pl.DataFrame) -> pl.Series:
        """The local date."""
        return windows.select(pl.col(DAY).cast(pl.Date).dt.strftime("%Y-%m-%d").alias(NAME))[NAME]

    def closed_from(self, windows: pl.DataFrame) -> pl.Series:
        """The next local midnight by the clock of the last event."""
        return instants(_MIDNIGHT.of(windows["last_zone"], windows[DAY].to_numpy()))

    def settings(self) -> dict[str, Any]:
        """Constructor arguments: none."""
        return {}


class BlockWindows:
    """Every `size` consecutive events of a user; the last block may be shorter.

    Raises:
        ConfigError: the size is under 1.
    """

    kind = "block"
    overlap = False
    ends = True

    def __init__(self, size: int = 100) -> None:
        if size < 1:
            raise ConfigError(f"features.window.size={size} must be at least 1")
        self.size = size

    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def arrive(self, events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
        """Add the number of the block."""
        begin = np.flatnonzero(first_of_user(events))
        known = find(users[USER].to_numpy(), events[USER].to_numpy()[begin])
        past = np.append(users["n_events"].to_numpy(), 0)[known]
        place = np.arange(len(events))
        place += np.repeat(past - begin, np.diff(np.append(begin, len(events))))
        return events.hstack([pl.Series(_PLACE, place // self.size)])

    def order(self, events: pl.DataFrame) -> pl.DataFrame:
        """As they are; late events move those after them on to the next places."""
        if _goes_back(events, _PLACE):
            return events.with_columns(pl.col(_PLACE).sort().over(USER))
        return events

    def begins(self, events: pl.DataFrame) -> Flags:
        """In another block."""
        return _changes(events, _PLACE)

    def names(self, windows: pl.DataFrame) -> pl.Series:
        """Its number."""
        number = pl.col(_PLACE).cast(pl.String).str.zfill(5)
        return windows.select(pl.format("b{}", number).alias(NAME)).to_series()

    def closed_from(self, windows: pl.DataFrame) -> pl.Series:
        """At once when full."""
        full = windows["n_events"].to_numpy() >= self.size
        return instants(np.where(full, micros(windows["end"]), NEVER))

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"size": self.size}


WINDOWINGS: dict[str, type[SessionWindows] | type[UserDayWindows] | type[BlockWindows]] = {
    rule.kind: rule for rule in (SessionWindows, UserDayWindows, BlockWindows)
}


def is_closed(closed_from: pl.Series, watermark: datetime | None) -> pl.Series:
    """Which windows no event can join any more once all events up to `watermark` are there."""
    if watermark is None:
        return pl.Series([False] * len(closed_from), dtype=pl.Boolean)
    at = micros(closed_from)
    return pl.Series((at != NEVER) & (at <= micros(pl.Series([watermark], dtype=TIMESTAMP))))


def first_of_user(events: pl.DataFrame) -> Flags:
    """Which events are the first of their user; events are in order of user."""
    return begins(events[USER].to_numpy())


def _changes(events: pl.DataFrame, column: str) -> Flags:
    return begins(events[column].to_numpy()) | first_of_user(events)


def _goes_back(events: pl.DataFrame, column: str) -> bool:
    """Whether a number falls from one event of a user to the next."""
    falls = np.diff(events[column].to_numpy()) < 0
    return bool((falls & ~first_of_user(events)[1:]).any())


def _midnight(day: pl.Expr, zone: str) -> pl.Expr:
    """When a day ends, in microseconds."""
    clock = (day + 1).cast(pl.Date).cast(pl.Datetime("us"))
    # clocks may jump at midnight: then the day ends with the jump
    ends = (
        end.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        for end in (clock, clock + pl.duration(hours=1))
    )
    return pl.coalesce(*ends).dt.convert_time_zone("UTC").cast(pl.Int64)


_MIDNIGHT = ByDay(_midnight)


def _days(local_time: pl.Series) -> npt.NDArray[np.int64]:
    days: npt.NDArray[np.int64] = micros(local_time) // 86_400_000_000
    return days
