"""The columns of an event, the one row format that every source is mapped onto."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from riskml.core.errors import DataError

TIMESTAMP = pl.Datetime("us", "UTC")

EVENT_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "user_id": pl.String(),
    "timestamp": TIMESTAMP,
    "action": pl.String(),
    "resource": pl.String(),
    "source": pl.String(),
    "success": pl.Boolean(),
}
"""Name and type of each column. `source` is an IP address, host or device."""

REQUIRED_COLUMNS = ("user_id", "timestamp", "action")
"""What a log must have; `event_id` is made from file and row where it is missing."""

TIME_ZONE = "time_zone"
"""Optional pass-through column: the user's IANA time zone, for local hours and days."""

TRUTH_PREFIXES = ("label", "gt_")
"""Columns that begin so are truth: kept apart for evaluation, never an input."""


def time_span(start: pl.Series, end: pl.Series) -> tuple[datetime, datetime]:
    """First start and last end.

    Raises:
        DataError: there is none.
    """
    first, last = start.min(), end.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise DataError("there are no events: nothing has a first and a last time stamp")
    return first, last


def is_truth(column: str) -> bool:
    """Whether a column of a log holds labels and so must not reach features.

    >>> is_truth("label"), is_truth("gt_scenario"), is_truth("action")
    (True, True, False)
    """
    return column.startswith(TRUTH_PREFIXES)
