"""What the tests of the scoring job have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from riskml.serving.job import JobSettings
from riskml.serving.summary import Summary

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"
END = datetime(2024, 2, 2, tzinfo=UTC)
AFTER_ALL = JobSettings(until=END)

Run = Callable[..., Summary]


def read(out: Path, room: str = "scores") -> pl.DataFrame:
    """What a folder holds, but for the times of writing."""
    found = sorted((out / room).glob("version=*/batch=*.parquet"))
    if not found:
        return pl.DataFrame()
    rows = pl.read_parquet(found, hive_partitioning=False)
    times = [name for name in ("scored_at", "raised_at", "noticed") if name in rows.columns]
    key = "digest" if room == "quarantine" else "window_id"
    return rows.drop(times).sort("model_version", key)


def later(days: float) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)
