"""The user's own clock: hours and days are local, time stamps stay UTC."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import polars as pl
from polars.exceptions import ComputeError, PolarsError

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import TIME_ZONE
from riskml.features.rows import index

LOCAL_TIME = "local_time"
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
    if not _is_zone(default_zone):
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
    return by_zone(
        timestamp, zone, lambda at, name: at.dt.convert_time_zone(name).dt.replace_time_zone(None)
    )


def by_zone(
    values: pl.Series, zone: pl.Series, work: Callable[[pl.Expr, str], pl.Expr]
) -> pl.Series:
    """What is worked out of values in their zones, each zone's at once.

    Args:
        values: datetimes.
        zone: of each.
        work: of an expression and a zone.

    Raises:
        DataError: a zone is not known.
    """
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
    if not _is_zone(zone):
        raise DataError(f"column '{TIME_ZONE}' holds the unknown zone {zone!r}; {_REMEDY}")
    return zone


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except (ComputeError, PolarsError):
        return False
    return True
