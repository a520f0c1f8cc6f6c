"""Tables and queries of SQLite and DuckDB become events; passwords stay where they are."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from log_files import utc
from record_files import check_batches, rules
from sqlalchemy import create_engine, text

from riskml.core.errors import ConfigError, DataError
from riskml.data.event_store import EventStore
from riskml.data.sources import DatabaseSource, DuckDbSource, LogSource
from riskml.data.sources.time_range import TimeRange

HOUR = timedelta(hours=1)
START = datetime(2024, 3, 1, tzinfo=UTC)
Open = Callable[..., LogSource]


def events(n: int = 50) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_id": [f"e{i:03d}" for i in range(n)],
            "user_id": [f"u{i % 3}" for i in range(n)],
            "timestamp": [START + i * HOUR for i in range(n)],
            "action": ["login"] * n,
            "success": [i % 2 == 0 for i in range(n)],
            "bytes": [None if i < 30 else i for i in range(n)],
        }
    )


@pytest.fixture(params=["sqlite", "duckdb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'log.db'}"
        EventStore(url).append(events())
        return lambda **settings: DatabaseSource(url, time_zone="UTC", **settings)
    path = tmp_path / "log.duckdb"
    with duckdb.connect(path) as connection:
        connection.register("frame", events().rename({"timestamp": "login_time"}).to_arrow())
        connection.execute("CREATE TABLE events AS SELECT * FROM frame")
    return lambda **settings: DuckDbSource(path, time_zone="UTC", **settings)


def test_a_table(opened: Open) -> None:
    log = check_batches(opened(table="events"), 7)
    expected = events().select(pl.exclude("bytes"))
    assert log.events.select(expected.columns).rows() == expected.rows()
    assert log.events["bytes"].cast(pl.Int64).to_list() == events()["bytes"].to_list()


def test_a_query(opened: Open) -> None:
    query = "SELECT user_id AS who, login_time, action FROM events ORDER BY event_id LIMIT 9"
    log = check_batches(opened(query=query, columns={"user_id": "who"}), 4)
    assert log.events["user_id"].to_list() == ["u0", "u1", "u2"] * 3
    assert log.events["event_id"].str.ends_with(":1")[0]


def test_the_usual_table_need_not_be_named(opened: Open) -> None:
    assert opened().load().events.equals(opened(table="events").load().events)


def test_a_range_of_time(opened: Open) -> None:
    log = opened(table="events", since="2024-03-01T10:00:00+01:00", until="2024-03-02").load()
    assert (log.events["timestamp"].min(), log.events["timestamp"].max()) == (
        utc(2024, 3, 1, 9),
        utc(2024, 3, 1, 23),
    )
    with pytest.raises(DataError, match="no"):
        opened(table="events", since="2030-01-01").load()


def test_what_cannot_be_read(opened: Open) -> None:
    with pytest.raises(ConfigError, match="table=events and query are both given: leave one out"):
        opened(table="events", query="SELECT 1")
    with pytest.raises(DataError, match="no_such"):
        opened(table="no_such").load()
    with pytest.raises(DataError, match=r"no column 'who' \(columns\.user_id=who\)"):
        opened(table="events", columns={"user_id": "who"}).load()
    with pytest.raises(ConfigError, match=r"since=2024-03-02 must be before until=2024-03-01"):
        opened(table="events", since="2024-03-02", until="2024-03-01").load()


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM events",
        "DROP TABLE events",
        "SELECT 1; DROP TABLE events",
        "SELECT 1) AS log; DELETE FROM events; SELECT * FROM (SELECT 1",
    ],
)
def test_a_query_can_only_read(opened: Open, query: str) -> None:
    with pytest.raises((ConfigError, DataError)):
        opened(query=query).load()
    assert len(opened(table="events").load().events) == 50


def test_rows_without_user_or_time_are_set_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE t (login_time TEXT, user_id TEXT, action TEXT)"))
        for row in range(8):
            values = f"'2024-03-0{row + 1} 12:00', {'NULL' if row == 3 else repr('ann')}, 'x'"
            connection.execute(text(f"INSERT INTO t VALUES ({values})"))
        connection.execute(text("INSERT INTO t VALUES (NULL, 'bob', 'x')"))
    source = DatabaseSource(url, table="t", time_zone="Europe/Berlin", max_rejected_share=0.5)
    log = check_batches(source, 2)
    assert log.events["timestamp"][0] == utc(2024, 3, 1, 11)
    assert {rule for _, _, rule in rules(log)} == {"missing_user", "missing_timestamp"}
    limited = DatabaseSource(url, table="t", time_zone="UTC", since="2024-03-02")
    with pytest.raises(ConfigError, match="'login_time' holds str: cast it in query="):
        limited.load()


def test_one_batch_of_a_database_is_in_memory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    EventStore(url).append(events(3_000))
    batches = DatabaseSource(url, table="events", time_zone="UTC").batches(100)
    assert len(next(batches).events) == 100
    gc.collect()
    frames = [thing for thing in gc.get_objects() if isinstance(thing, pl.DataFrame)]
    assert 0 < sum(len(one) for one in frames if "login_time" in one.columns) <= 200
    batches.close()  # type: ignore[attr-defined]


SECRET = "s3cr3t-word"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/log",
        f"postgresql+psycopg://ann@127.0.0.1:1/log?password={SECRET}",
        f"nonsense+driver://ann:{SECRET}@host/log",
        f"ann:{SECRET}@host",
        f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:notaport/log",
    ],
)
def test_a_password_is_never_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError) as refused:
        DatabaseSource(url, table="events")
    monkeypatch.setenv("LOG_URL", url)
    source = DatabaseSource(url_variable="LOG_URL", table="events")
    with pytest.raises((ConfigError, DataError)) as failed:
        source.load()
    for error in (refused.value, failed.value):
        assert SECRET not in str(error)
        assert error.__cause__ is None or SECRET not in str(error.__cause__)
    assert SECRET not in repr(source) + caplog.text


def test_the_url_must_come_from_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKML_DATABASE_URL", raising=False)
    with pytest.raises(ConfigError, match="environment variable RISKML_DATABASE_URL"):
        DatabaseSource(table="events").load()
    with pytest.raises(DataError, match="does not exist"):
        DatabaseSource("sqlite:////nowhere/log.db", table="events").load()


def test_a_duckdb_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "log.duckdb").write_text("no database" * 1_000)
    with pytest.raises(DataError, match=r"log\.duckdb: "):
        DuckDbSource(tmp_path / "log.duckdb", table="events").load()
    with pytest.raises(DataError, match="does not exist"):
        DuckDbSource(tmp_path / "none.duckdb", table="events").load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"since": "yesterday"}, "since=yesterday: is no ISO 8601 date"),
        ({"until": "2024-03-01"}, "until=2024-03-01: has no time zone"),
        ({"time_zone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'"),
    ],
)
def test_impossible_ranges(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TimeRange(**settings)
    assert message in str(caught.value)


def test_bounds_are_local_where_the_column_is() -> None:
    span = TimeRange("2024-07-01", None, "Europe/Berlin")
    assert span.bounds_for(datetime(2024, 1, 1), "t") == {">=": datetime(2024, 7, 1)}
    assert span.bounds_for(START, "t") == {">=": utc(2024, 6, 30, 22)}
    assert span.bounds_for(START.date(), "t") == {">=": datetime(2024, 7, 1).date()}
