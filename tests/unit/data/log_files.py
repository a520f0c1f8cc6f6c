"""Small logs on disk for the tests of sources."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from riskml.data.sources import CsvSource, EventLog

HEADER = "user_id,timestamp,action\n"
GOOD = "ann,2024-03-01T12:00:00Z,login\n"


def load_csv(
    folder: Path, content: str | bytes, name: str = "log.csv", **settings: Any
) -> EventLog:
    """Write the content to a file and load it."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(path, **{"columns": {}, **settings}).load()


def utc(*parts: int) -> datetime:
    """A moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def quarantine(log: EventLog) -> list[tuple[int, str]]:
    """Row and rule of each rejected row."""
    return log.rejected.select("row", "rule").rows()


def small_frame(**columns: list[Any]) -> pl.DataFrame:
    """Three events of two users, with further or other columns."""
    return pl.DataFrame(
        {
            "user_id": ["ann", "bob", "ann"],
            "timestamp": [utc(2024, 3, 1, hour) for hour in (9, 8, 10)],
            "action": ["login", "read", "logout"],
            **columns,
        }
    )
