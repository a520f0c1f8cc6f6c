"""The event table in SQLite; PostgreSQL has its own test among the slow ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine, text

from riskml.core.errors import ConfigError, DataError
from riskml.data.event_store import EventStore


def some_events(count: int) -> pl.DataFrame:
    start = datetime(2024, 1, 30, tzinfo=UTC)
    return pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(count)],
            "user_id": [f"u{i % 3}" for i in range(count)],
            "timestamp": [start + timedelta(hours=i) for i in range(count)],
            "action": ['it\'s "quoted", and\nbroken' if i % 2 else "logon" for i in range(count)],
            "resource": [None if i % 3 else "" for i in range(count)],
            "success": [None, True, False] * (count // 3) + [True] * (count % 3),
            "bytes": list(range(count)),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def test_appending_twice_stores_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    events = some_events(100)
    assert EventStore(url).append(events.head(60)) == 60
    assert EventStore(url).append(events) == 40
    assert EventStore(url).append(events) == 0
    with create_engine(url).connect() as connection:
        rows = connection.execute(
            text("SELECT event_id, action, resource, success, bytes FROM events ORDER BY bytes")
        ).all()
    expected = events.select("event_id", "action", "resource", "success", "bytes").rows()
    assert [tuple(row) for row in rows] == expected


def test_the_index_serves_a_users_time_range(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    EventStore(url).append(some_events(10))
    query = "SELECT * FROM events WHERE user_id = 'u1' AND login_time > '2024-01-31'"
    with create_engine(url).connect() as connection:
        plan = connection.execute(text("EXPLAIN QUERY PLAN " + query)).all()
    assert "events_user_time" in str(plan)


def test_a_refused_batch_stores_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    store = EventStore(url)
    store.append(some_events(10))
    broken = some_events(20).with_columns(
        pl.when(pl.col("bytes") == 15).then(None).otherwise("action").alias("action")
    )
    with pytest.raises(DataError, match="refused the events"):
        store.append(broken)
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar_one() == 10


@pytest.mark.parametrize("url", ["no url", "nosuchdatabase://host/name"])
def test_a_url_that_cannot_be_used_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="dialect"):
        EventStore(url)
