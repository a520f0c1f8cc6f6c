"""Reading from a real PostgreSQL: a cursor on the server, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from sqlalchemy import create_engine, event, text

from riskml.core.errors import DataError
from riskml.data.event_store import EventStore
from riskml.data.sources import DatabaseSource, database

pytestmark = pytest.mark.slow

N, START = 5_000, datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def url(new_database: Callable[[], str]) -> str:
    found = new_database()
    EventStore(found).append(
        pl.DataFrame(
            {
                "event_id": [f"e{i:05d}" for i in range(N)],
                "user_id": [f"u{i % 7}" for i in range(N)],
                "timestamp": [START + i * timedelta(minutes=15) for i in range(N)],
                "action": ["login"] * N,
            }
        )
    )
    with create_engine(found).begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE odd AS SELECT login_time AT TIME ZONE 'Europe/Berlin' AS at, "
                "user_id, action, gen_random_uuid() AS id, 1.5::numeric AS price, "
                "'{\"a\": [1]}'::jsonb AS detail, '10.0.0.1'::inet AS ip FROM events LIMIT 9"
            )
        )
    return found


@pytest.fixture(autouse=True)
def variable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_DATABASE_URL", url)


def test_batches_are_the_table_in_the_order_of_time() -> None:
    source = DatabaseSource(table="events")
    batches = [batch.events for batch in source.batches(512)]
    assert [len(batch) for batch in batches] == [512] * 9 + [N - 9 * 512]
    found = pl.concat(batches)
    assert found.equals(source.load().events)
    assert found["event_id"].to_list() == [f"e{i:05d}" for i in range(N)]


def test_rows_stay_on_the_server_until_they_are_asked_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(url)
    cursors: list[str] = []
    event.listen(
        engine,
        "after_cursor_execute",
        lambda _, cursor, *__: cursors.append(type(cursor).__name__),
    )
    monkeypatch.setattr(database, "_engine", lambda _: engine)
    batches = DatabaseSource(table="events").batches(100)
    assert len(next(batches).events) == 100
    batches.close()  # type: ignore[attr-defined]
    assert cursors[-1] == "ServerCursor"


def test_a_range_of_time() -> None:
    source = DatabaseSource(table="events", since="2024-01-02T01:00+01:00", until="2024-01-03Z")
    with pytest.raises(Exception, match="ISO 8601"):
        source.load()
    source = DatabaseSource(
        table="events", since="2024-01-02T01:00+01:00", until="2024-01-03", time_zone="UTC"
    )
    found = source.load().events["timestamp"]
    assert (len(found), found[0]) == (96, datetime(2024, 1, 2, tzinfo=UTC))


def test_types_of_its_own() -> None:
    source = DatabaseSource(
        query="SELECT * FROM odd ORDER BY at",
        columns={"timestamp": "at", "event_id": "id", "source": "ip"},
        time_zone="Europe/Berlin",
        since="2024-01-01T02:00",
    )
    events = source.load().events
    assert len(events) == 5
    assert events["timestamp"][0] == datetime(2024, 1, 1, 1, tzinfo=UTC)
    assert events["source"].to_list() == ["10.0.0.1"] * 5
    assert events["detail"][0] == '{"a": [1]}'


def test_nothing_can_be_written(url: str) -> None:
    for query in ("DELETE FROM events RETURNING *", "SELECT setval('x', 1)"):
        with pytest.raises(DataError):
            DatabaseSource(query=query).load()
    sneaky = "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone"
    with pytest.raises(DataError):
        DatabaseSource(query=sneaky).load()
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == N
