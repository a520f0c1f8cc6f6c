"""The user's own clock: hours and days are local, time stamps stay UTC."""

from __future__ import annotations

import polars as pl
from polars.exceptions import ComputeError, PolarsError

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import TIME_ZONE

LOCAL_TIME = "local_time"


def with_local_time(events: pl.DataFrame, default_zone: str = "UTC") -> pl.DataFrame:
    """Add `local_time` (datetime[us] without zone), each user's wall clock.

    Args:
        events: with `timestamp` (UTC) and, where known, `time_zone` (IANA name) a row.
        default_zone: for rows without a zone of their own.

    Raises:
        ConfigError: the default is no zone that is known.
        DataError: a row names a zone that is not known.
    """
    zones = [default_zone]
    if TIME_ZONE in events.columns:
        zone = pl.col(TIME_ZONE).fill_null(default_zone)
        zones = events.select(zone.unique().sort()).to_series().to_list()
    else:
        zone = pl.lit(default_zone)
    local = pl.lit(None, pl.Datetime("us"))
    for name in zones:
        _check_zone(name, is_default=name == default_zone)
        clock = pl.col("timestamp").dt.convert_time_zone(name).dt.replace_time_zone(None)
        local = pl.when(zone == name).then(clock).otherwise(local)
    return events.with_columns(local.alias(LOCAL_TIME))


def _check_zone(name: str, is_default: bool) -> None:
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
