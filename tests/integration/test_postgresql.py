"""The event table in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine, text

from riskml.data.event_store import EventStore
from riskml.data.simulator import SimulationSettings, simulate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder: Path = tmp_path_factory.mktemp("world")
    simulate(SimulationSettings(users=30, days=45, test_days=15), folder)
    return pl.read_parquet(folder / "events", hive_partitioning=False)


def test_a_world_is_stored_once_by_month_and_found_by_index(
    new_database: Callable[[], str], events: pl.DataFrame
) -> None:
    database = new_database()
    store = EventStore(database)
    half = len(events) // 2
    assert store.append(events.head(half)) == half
    assert store.append(events) == len(events) - half
    assert store.append(events) == 0
    with create_engine(database).connect() as connection:
        partitions = connection.execute(
            text(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                "JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = 'events' ORDER BY 1"
            )
        ).scalars()
        months = events["timestamp"].dt.strftime("events_%Y_%m").unique().sort().to_list()
        assert list(partitions) == months
        stored = connection.execute(
            text("SELECT event_id, resource, success, bytes, login_time FROM events")
        ).all()
        query = (
            "EXPLAIN SELECT * FROM events WHERE user_id = 'u00003' "
            "AND login_time > '2024-01-03' AND login_time < '2024-01-31'"
        )
        connection.execute(text("ANALYZE events"))
        plan = "\n".join(connection.execute(text(query)).scalars())
    assert "events_2024_01_user_id_login_time_idx" in plan and "events_2024_02" not in plan
    expected = events.select("event_id", "resource", "success", "bytes", "timestamp").rows()
    assert sorted(map(tuple, stored)) == sorted(expected)
