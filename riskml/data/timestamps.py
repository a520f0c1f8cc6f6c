"""Times as logs write them, turned into microseconds in UTC."""

from __future__ import annotations

import difflib
import logging
import re
import zoneinfo
from datetime import datetime
from functools import lru_cache
from typing import Literal

import polars as pl

from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.schema import TIMESTAMP

MISSING, UNPARSABLE = "missing", "unparsable"
WITHOUT_ZONE, NON_EXISTENT = "without_zone", "non_existent"
"""Why a value gave no timestamp; the column `problem` of `parse_timestamps`."""

NUMBER = r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$"
ISO_8601 = (
    r"^(?P<date>\d{4}[-/]\d{2}[-/]\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$"
)
ISO_8601_UTC = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}%s$"
FRACTIONS = {0: "%S", 3: "%S.%3f", 6: "%S.%6f", 9: "%S.%9f"}
"""Seconds with so many digits behind the point, each read five times faster than `%S%.f`."""

ISO_8601_BASIC = r"^(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(\d{2})"
LARGEST_OFFSET_MINUTES = 14 * 60

_logger = logging.getLogger(__name__)


def check_time_zone(name: str | None) -> None:
    """Refuse a zone name that is not in the IANA list; None is fine.

    Raises:
        ConfigError: with the nearest names.
    """
    if name is not None and not is_time_zone(name):
        near = _nearest_zones(name)
        raise ConfigError(f"time_zone={name}: no such time zone; {did_you_mean(near[0], near)}, …")


@lru_cache(maxsize=1024)
def is_time_zone(name: str) -> bool:
    """Whether it is in the IANA list."""
    try:
        pl.Series([datetime(2000, 1, 1)]).dt.replace_time_zone(name)
    except pl.exceptions.ComputeError:
        return False
    return True


def _nearest_zones(name: str) -> list[str]:
    """A few zone names, the nearest first; a city alone ("berlin") finds its zone."""
    zones = sorted(zoneinfo.available_timezones())
    by_key = {zone.rsplit("/")[-1].lower(): zone for zone in zones}
    by_key |= {zone.lower(): zone for zone in zones}
    near = difflib.get_close_matches(name.lower(), by_key, n=5)
    return list(dict.fromkeys([*(by_key[key] for key in near), "UTC", "Europe/Berlin"]))


def parse_timestamps(
    values: pl.Series, time_zone: str | None = None, timestamp_format: str | None = None
) -> pl.DataFrame:
    """Read a column of times, whatever its type.

    Understood are native datetimes and dates; ISO 8601 text, extended or basic, with `T` or a
    space, with or without fraction and zone (`Z`, `UTC`, `+02:00`, `+0200`, `+02`), each row with
    its own; and numbers, as text too, as time since 1970 in UTC. The unit of a number follows
    from its size, row by row: below 1e11 seconds, below 1e14 milliseconds, below 1e17
    microseconds, else nanoseconds (the ranges do not meet between 1990 and the year 5138).

    A time without a zone is local time in `time_zone`. When clocks go back, an hour happens
    twice: the earlier of the two is taken, and a warning counts such rows. When clocks go
    forward, an hour is missing: a time in it has the problem `non_existent`.

    Args:
        values: the column.
        time_zone: IANA name for times that carry no zone; the others ignore it.
        timestamp_format: strftime format for text and whole numbers, instead of guessing. An
            offset (`%z`) makes it an instant; a zone's name (`%Z`) is skipped, not understood.

    Returns:
        `timestamp` (datetime[us, UTC]) and `problem` (null, or why there is no timestamp), one
        row a value.

    Raises:
        ConfigError: no such time zone, or the format cannot be used.
    """
    check_time_zone(time_zone)
    if timestamp_format is None and (times := _all_in_utc(values)) is not None:
        return times
    frame = _read(values, timestamp_format).with_columns(
        present=pl.Series(_is_present(values), dtype=pl.Boolean)
    )
    if time_zone is not None and frame["local"].count():
        frame = frame.with_columns(instant=pl.coalesce("instant", _localised(time_zone)))
        _warn_of_ambiguous(frame["local"], time_zone)
    no_instant = WITHOUT_ZONE if time_zone is None else NON_EXISTENT
    return frame.select(
        timestamp="instant",
        problem=pl.when(pl.col("instant").is_not_null())
        .then(None)
        .when(pl.col("local").is_not_null())
        .then(pl.lit(no_instant))
        .when("present")
        .then(pl.lit(UNPARSABLE))
        .otherwise(pl.lit(MISSING)),
    )


def _all_in_utc(values: pl.Series) -> pl.DataFrame | None:
    """What `parse_timestamps` gives where all texts look as the first, and it as ISO 8601 in UTC.

    Most logs are like that, and are read so in a tenth of the time; of others it is None.
    """
    first = values[0] if len(values) and values.dtype == pl.String else None
    parts = re.fullmatch(ISO_8601_UTC % r"(\.[0-9]+)?(Z|\+00:00)", first or "")
    if parts is None or len(parts[1] or ".") - 1 not in FRACTIONS:
        return None
    digits, zone = len(parts[1] or ".") - 1, parts[2]
    shape = ISO_8601_UTC % ((rf"\.[0-9]{{{digits}}}" if digits else "") + re.escape(zone))
    form = f"%Y-%m-%dT%H:%M:{FRACTIONS[digits]}{zone}"
    value = pl.col("value")
    read = values.to_frame("value").select(
        timestamp=value.str.to_datetime(form, time_unit="us", strict=False).cast(TIMESTAMP),
        fits=value.str.contains(shape),
    )
    if not read["fits"].all():
        return None
    problem = pl.when(pl.col("timestamp").is_null()).then(
        pl.when(pl.col("fits").is_null()).then(pl.lit(MISSING)).otherwise(pl.lit(UNPARSABLE))
    )
    return read.select("timestamp", problem=problem)


def _is_present(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        return (values.str.strip_chars() != "").fill_null(False)
    return values.is_not_null()


def _localised(time_zone: str, ambiguous: Literal["earliest", "latest"] = "earliest") -> pl.Expr:
    return (
        pl.col("local")
        .dt.replace_time_zone(time_zone, ambiguous=ambiguous, non_existent="null")
        .dt.convert_time_zone("UTC")
    )


def _warn_of_ambiguous(local: pl.Series, time_zone: str) -> None:
    both = local.to_frame("local").select(
        early=_localised(time_zone), late=_localised(time_zone, "latest")
    )
    count = both.filter(pl.col("early") != pl.col("late")).height
    if count:
        _logger.warning(
            "%d local times happened twice in %s when clocks went back; "
            "the earlier of the two was taken",
            count,
            time_zone,
        )


def _read(values: pl.Series, timestamp_format: str | None) -> pl.DataFrame:
    """`instant` (UTC) where the value says which instant it is, else `local` (no zone)."""
    kind = values.dtype
    frame = values.to_frame("value")
    value = pl.col("value")
    no_instant, no_local = pl.lit(None, TIMESTAMP), pl.lit(None, pl.Datetime("us"))
    if timestamp_format is not None and (kind == pl.String or kind.is_integer()):
        return _from_format(values.cast(pl.String), timestamp_format)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return frame.select(
            instant=value.dt.convert_time_zone("UTC").cast(TIMESTAMP, strict=False), local=no_local
        )
    if kind in (pl.Datetime, pl.Date):
        return frame.select(instant=no_instant, local=value.cast(pl.Datetime("us"), strict=False))
    if kind.is_numeric():
        return frame.select(instant=_from_epoch(value, whole=kind.is_integer()), local=no_local)
    return _from_text(values.cast(pl.String).str.strip_chars())


def _from_format(text: pl.Series, timestamp_format: str) -> pl.DataFrame:
    try:
        read = text.str.strip_chars().str.to_datetime(
            timestamp_format, time_unit="us", strict=False
        )
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"timestamp_format={timestamp_format} cannot be used: {error}. "
            "Write it like '%d/%m/%Y %H:%M:%S'"
        ) from error
    # A format with an offset (%z) gives instants; so does %s, which counts from 1970 in UTC.
    instants = read.dtype != pl.Datetime("us") or "%s" in timestamp_format
    empty = pl.Series([None] * len(read), dtype=pl.Datetime("us"))
    local = empty if instants else read
    instant = read if instants else empty
    if instant.dtype == pl.Datetime("us"):
        instant = instant.dt.replace_time_zone("UTC")
    return pl.DataFrame({"instant": instant, "local": local})


def _from_epoch(number: pl.Expr, whole: bool) -> pl.Expr:
    number = number.cast(pl.Int64 if whole else pl.Float64, strict=False)
    size = number.cast(pl.Float64).abs()
    micros = (
        pl.when(size < 1e11)
        .then(number * 1_000_000)
        .when(size < 1e14)
        .then(number * 1_000)
        .when(size < 1e17)
        .then(number)
        .otherwise(number // 1_000)
    )
    if not whole:
        micros = micros.round()
    return micros.cast(pl.Int64, strict=False).cast(TIMESTAMP, strict=False)


def _from_text(text: pl.Series) -> pl.DataFrame:
    if text.str.contains(ISO_8601_BASIC).any():
        text = text.str.replace(ISO_8601_BASIC, "$1-$2-${3}T$4:$5:$6")
    value = pl.col("value")
    number = pl.when(value.str.contains(NUMBER)).then(value)
    parts = text.to_frame("value").with_columns(
        number=number, parts=value.str.extract_groups(ISO_8601)
    )
    parts = parts.unnest("parts").with_columns(local=_local_time(), offset=_offset_minutes())
    with_zone = pl.when(pl.col("offset").abs() <= LARGEST_OFFSET_MINUTES).then(
        (pl.col("local") - pl.duration(minutes="offset")).dt.replace_time_zone("UTC")
    )
    return parts.select(
        instant=pl.coalesce(
            with_zone,
            _from_epoch(pl.col("number").cast(pl.Int64, strict=False), whole=True),
            _from_epoch(pl.col("number").cast(pl.Float64, strict=False), whole=False),
        ),
        local=pl.when(pl.col("zone").is_null()).then("local"),
    )


def _local_time() -> pl.Expr:
    """What the clock showed: columns `date` and `time` of the ISO text, no zone."""
    time = pl.col("time").fill_null("00:00").str.replace(",", ".", literal=True)
    seconds = pl.when(time.str.len_bytes() == 5).then(pl.lit(":00")).otherwise(pl.lit(""))
    date = pl.col("date").str.replace_all("/", "-", literal=True)
    return pl.concat_str(date, pl.lit(" "), time, seconds).str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False
    )


def _offset_minutes() -> pl.Expr:
    """Minutes ahead of UTC, from the column `zone`; null where there is none."""
    digits = pl.col("zone").str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int32, strict=False)
    minutes = digits.str.slice(3, 2).cast(pl.Int32, strict=False).fill_null(0)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    is_number = digits.str.contains(r"^[+-]")
    return pl.when(is_number).then(sign * (hours * 60 + minutes)).when(digits != "").then(0)
