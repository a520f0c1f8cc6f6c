"""The user's own clock: hours and days are local, time stamps stay UTC."""

from __future__ import annotations

import polars as pl
from polars.exceptions import ComputeError, PolarsError

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import TIME_ZONE

LOCAL_TIME = "local_time"


def with_local_time(events: pl.DataFrame, default_zone: str = "UTC") -> pl.DataFrame:
    """Add `local_time` (datetime[us] without zone), each user's wall clock, and fill `time_zone`.

    Args:
        events: with `timestamp` (UTC) and, where known, `time_zone` (IANA name) a row.
        default_zone: for rows without a zone of their own.

    Raises:
        ConfigError: the default is no zone that is known.
        DataError: a row names a zone that is not known.
    """
    _check_zone(default_zone, is_default=True)
    zone = pl.lit(default_zone)
    if TIME_ZONE in events.columns:
        zone = pl.col(TIME_ZONE).cast(pl.String).fill_null(default_zone)
    events = events.with_columns(zone.alias(TIME_ZONE))
    return events.with_columns(
        local_times(events["timestamp"], events[TIME_ZONE]).alias(LOCAL_TIME)
    )


def local_times(timestamp: pl.Series, zone: pl.Series) -> pl.Series:
    """Wall clocks (datetime[us] without zone) of instants, each in its own zone.

    Raises:
        DataError: a zone is not known.
    """
    names = zone.unique().to_list()
    for name in names:
        _check_zone(name)
    if len(names) <= 1:
        return _clock(timestamp, names[0] if names else "UTC")
    local = timestamp.dt.replace_time_zone(None)
    for name in names:
        rows = (zone == name).arg_true()
        local = local.scatter(rows, _clock(timestamp.gather(rows), name))
    return local


def _clock(timestamp: pl.Series, zone: str) -> pl.Series:
    return timestamp.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def _check_zone(name: str, is_default: bool = False) -> None:
    try:
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except (ComputeError, PolarsError) as error:
        remedy = "use an IANA name such as Europe/Berlin or UTC"
        if is_default:
            raise ConfigError(
                f"features.time_zone={name!r} is no known time zone; {remedy}"
            ) from error
        raise DataError(
            f"column '{TIME_ZONE}' holds the unknown zone {name!r}; {remedy}"
        ) from error
