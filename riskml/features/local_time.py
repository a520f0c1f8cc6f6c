"""The user's own clock: hours and days are local, time stamps stay UTC."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import TIME_ZONE, TIMESTAMP
from riskml.data.timestamps import is_time_zone
from riskml.features.rows import NEVER, Array, begins, index, micros

LOCAL_TIME = "local_time"
Work = Callable[[pl.Expr, str], pl.Expr]
"""What is worked out of values in a zone."""

_DAY = 86_400_000_000
_MOST_DAYS = 100_000
"""Of all zones that are remembered; a few megabytes."""

_REMEDY = "use an IANA name such as Europe/Berlin or UTC"


def with_local_time(events: pl.DataFrame, default_zone: str = "UTC") -> pl.DataFrame:
    """Add `local_time` (datetime[us] without zone), each user's wall clock, and fill `time_zone`.

    Args:
        events: with `timestamp` (UTC) and, where known, `time_zone` (IANA name) a row.
        default_zone: for rows without a zone of their own.

    Raises:
        ConfigError: the default is no zone that is known.
        DataError: a row names a zone that is not known.
    """
    if not is_time_zone(default_zone):
        raise ConfigError(f"features.time_zone={default_zone!r} is no known time zone; {_REMEDY}")
    zone = pl.lit(default_zone)
    if TIME_ZONE in events.columns:
        zone = pl.col(TIME_ZONE).cast(pl.String).fill_null(default_zone)
    events = events.with_columns(zone.alias(TIME_ZONE))
    local = local_times(events["timestamp"], events[TIME_ZONE])
    return events.hstack([local.alias(LOCAL_TIME)])


def local_times(timestamp: pl.Series, zone: pl.Series) -> pl.Series:
    """Wall clocks (datetime[us] without zone) of instants, each in its own zone.

    Raises:
        DataError: a zone is not known.
    """
    time = micros(timestamp)
    day = time // _DAY
    # events of a user come one after the other, and most users stay where they are
    first = begins(day)
    first[1:] |= (zone[1:] != zone[:-1]).to_numpy()
    run = np.flatnonzero(first)
    ahead = _AHEAD.of(zone[index(run)], day[run])
    of_event = np.repeat(ahead, np.diff(np.append(run, len(time))))
    clock = time + of_event
    if (ahead == NEVER).any():
        rows = np.flatnonzero(of_event == NEVER)
        at = index(rows)
        clock[rows] = micros(_by_zone(timestamp[at], zone[at], _clock))
    return pl.Series(clock).cast(pl.Datetime("us"))


class ByDay:
    """A number that a zone and a day tell, worked out once for each.

    Args:
        work: int64 from the days since 1970 and the zone.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._known: dict[tuple[str, int], int] = {}

    def of(self, zone: pl.Series, day: Array) -> Array:
        """Of each zone and day, `NEVER` where `work` gives none.

        Raises:
            DataError: a zone is not known.
        """
        known, asked = self._known, list(zip(zone.to_list(), day.tolist(), strict=True))
        if missing := list({pair for pair in asked if pair not in known}):
            zones, days = zip(*missing, strict=True)
            made = _by_zone(pl.Series(days, dtype=pl.Int64), pl.Series(zones), self._work)
            known.update(zip(missing, made.fill_null(NEVER).to_list(), strict=True))
        if len(known) > _MOST_DAYS:
            self._known = {}
        return np.array([known[pair] for pair in asked], np.int64)


def _clock(instant: pl.Expr, zone: str) -> pl.Expr:
    return instant.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def _ahead(day: pl.Expr, zone: str) -> pl.Expr:
    """By how much clocks are ahead of UTC; null on days on which that changes.

    No zone has ever changed its clocks twice within a day.
    """
    ends = ((day * _DAY + at).cast(TIMESTAMP) for at in (0, _DAY - 1))
    first, last = (_clock(end, zone).cast(pl.Int64) - end.cast(pl.Int64) for end in ends)
    return pl.when(first == last).then(first)


_AHEAD = ByDay(_ahead)


def _by_zone(values: pl.Series, zone: pl.Series, work: Work) -> pl.Series:
    """What is worked out of values and their zones, each zone's at once."""
    if values.is_empty() or (zone == zone[0]).all():
        name = "UTC" if zone.is_empty() else zone[0]
        return pl.select(work(pl.lit(values), _known(name))).to_series()
    frame = pl.DataFrame({"value": values, "zone": zone}).with_row_index("row")
    parts = frame.group_by("zone").agg("row", "value")
    of_zones = zip(map(_known, parts["zone"]), parts["value"], strict=True)
    done = pl.select(work(pl.lit(part), name).implode().alias(name) for name, part in of_zones)
    row = np.concatenate([part.to_numpy() for part in parts["row"]])
    place = np.empty_like(row)
    place[row] = np.arange(len(row))
    together: pl.Series = pl.concat(part.item() for part in done)
    return together[index(place)]


def _known(zone: str) -> str:
    if not is_time_zone(zone):
        raise DataError(f"column '{TIME_ZONE}' holds the unknown zone {zone!r}; {_REMEDY}")
    return zone
