"""Batches of events for the tests of checks and pseudonyms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from log_files import utc

START = utc(2024, 1, 1)  # a Monday


def batch(
    days: int = 28, per_day: int = 40, users: int = 4, first_day: int = 0, **columns: Any
) -> pl.DataFrame:
    """Good events in the order of time, evenly over working hours."""
    n = days * per_day
    step = timedelta(hours=10) / per_day
    times = [
        START + timedelta(days=first_day + i // per_day, hours=8) + step * (i % per_day)
        for i in range(n)
    ]
    frame = pl.DataFrame(
        {
            "event_id": [f"e{first_day}-{i}" for i in range(n)],
            "user_id": [f"user{i % users}" for i in range(n)],
            "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "action": ["login"] * n,
            "resource": [f"/srv/{i % 7}" for i in range(n)],
            "source": [f"host{i % 3}" for i in range(n)],
            "success": [True] * n,
        }
    )
    return frame.with_columns(**columns)


def at(frame: pl.DataFrame, column: str, position: int, value: Any) -> pl.DataFrame:
    """The frame with one value changed."""
    return frame.with_columns(frame[column].scatter(position, value))
