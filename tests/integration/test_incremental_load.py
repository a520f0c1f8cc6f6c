"""The incremental load in a real PostgreSQL: killed at any point, and by its index."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from arrivals import OVERLAP, START, Oracle, arrivals
from killable import forking
from loading import BATCH, MAPPING, load_until_killed, loader
from sqlalchemy import Engine, text

from riskml.data.batch_reference import BatchReference
from riskml.data.database import open_engine
from riskml.data.event_mapping import EventMapping
from riskml.data.event_store import EventStore
from riskml.data.event_tables import ddl
from riskml.data.incremental import IncrementalLoader, PipelineBusyError
from riskml.data.table_source import Span, TableSource

pytestmark = pytest.mark.slow

COUNT, PHASES, KILLS = 40_000, 10, int(os.environ.get("RISKML_KILLS", 20))
SEEDS = [int(seed) for seed in os.environ.get("RISKML_KILL_SEEDS", "0").split(",")]


@pytest.fixture
def url(new_database: Callable[[], str]) -> Iterator[str]:
    """A database of the test's own, with an empty table of logins."""
    url = new_database()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE logins (event_id text, employee text, login_time timestamptz, "
                "action text, document text, ingested_at timestamptz DEFAULT clock_timestamp())"
            )
        )
        connection.execute(text("CREATE INDEX logins_time ON logins (login_time)"))
    yield url
    engine.dispose()


def feed(engine: Engine, rows: pl.DataFrame) -> None:
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY logins ({', '.join(rows.columns)}) FROM STDIN (FORMAT csv)") as to:
            to.write(rows.write_csv(include_header=False, quote_style="non_numeric"))


def riskml_load(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    columns = ["--column", "user_id=employee", "--column", "resource=document"]
    command = [sys.executable, "-m", "riskml.cli", "load", "--pipeline", "logins", *columns]
    return subprocess.run(
        [*command, "--table", "logins", "--json", *words],
        env={**os.environ, "RISKML_FROM_URL": url, "RISKML_TO_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def stored(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT event_id, login_time, user_id, action, resource FROM events")
        ).all()
    found = {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}
    assert len(found) == len(rows), "an event is stored twice"
    return found


def ids(engine: Engine, table: str) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text(f"SELECT event_id FROM {table}")).scalars())


def progress(engine: Engine) -> int:
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('riskml_watermarks')")).scalar() is None:
            return 0
        return connection.execute(text("SELECT sum(read) FROM riskml_watermarks")).scalar() or 0


class Killer:
    """Kills loads by how far they have come: by the clock it would depend on the machine."""

    def __init__(self, url: str, ingested_column: str | None, chance: random.Random) -> None:
        self._engine, self._chance = open_engine(url), chance
        self._arguments = (url, ingested_column)
        self._processes = forking()
        self._batch_seconds = 0.05
        self.killed = self.cut_off = 0

    def kill(self, batches: int) -> None:
        """Kill a load some random moment after it has stored so many batches."""
        before, started = progress(self._engine), self._processes.Event()
        arguments = (started, *self._arguments)
        process = self._processes.Process(target=load_until_killed, args=arguments)
        process.start()
        assert started.wait(60)
        seen, end = before, time.monotonic() + 60
        for batch in range(batches):
            begun = time.monotonic()
            while (now := progress(self._engine)) == seen and process.is_alive():
                assert time.monotonic() < end, "it stores nothing"
                time.sleep(0.002)
            seen = now
            if batch:  # the first one connects, too
                self._batch_seconds = time.monotonic() - begun
        process.join(self._chance.uniform(0, self._batch_seconds * (1 if batches else 4)))
        process.kill()
        process.join()
        self.killed += process.exitcode == -9
        self.cut_off += process.exitcode == -9 and progress(self._engine) > before


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_many_points_the_store_is_what_it_must_be(url: str, seed: int) -> None:
    engine, chance, oracle = open_engine(url), random.Random(seed), Oracle()
    # odd seeds notice late rows by the ingestion column, even ones by comparing ids
    ingested = "ingested_at" if seed % 2 else None
    killer = Killer(url, ingested, chance)
    for rows in arrivals(COUNT, seed, PHASES):
        feed(engine, rows)
        for _ in range(KILLS // PHASES):
            killer.kill(batches=chance.choice([0, 1, 1, 2, 2]))
        oracle.arrive(rows)
        assert loader(url, ingested).run().missing == len(oracle.late)
    killed, cut_off = killer.killed, killer.cut_off
    assert killed >= KILLS * 0.6 and cut_off >= KILLS * 0.2, (killed, cut_off)
    assert stored(engine) == oracle.store
    assert ids(engine, "events_ids") == set(oracle.store)
    assert ids(engine, "events_quarantine") == oracle.quarantine
    assert ids(engine, "events_late") == oracle.late
    assert len(oracle.late) > COUNT * 0.005
    with engine.connect() as connection:
        counted = connection.execute(text("SELECT * FROM riskml_watermarks")).mappings().one()
        kept = connection.execute(text("SELECT reference FROM riskml_pipelines")).scalar_one()
    assert sum(BatchReference.from_json(kept, "").volumes.values()) == len(oracle.store)
    assert counted["loaded"] == len(oracle.store) and counted["too_late"] >= len(oracle.late)
    every = oracle.store.keys() | oracle.quarantine | oracle.late
    assert len(every) == COUNT
    words = ["--ingested-column", ingested] if ingested else []
    options = ["--overlap", "2h", "--look-back", "60d", "--batch", str(BATCH), *words]
    again = json.loads(riskml_load(url, *options).stdout)
    assert (again["loaded"], again["rejected"], again["too_late"]) == (0, 0, 0)
    assert again["missing"] == len(oracle.late)
    assert stored(engine) == oracle.store
    print(f"seed {seed}: {killed} killed, {cut_off} of them amid a load, {len(oracle.late)} late")


def test_two_loaders_of_one_pipeline_wait_or_are_refused(url: str) -> None:
    engine = open_engine(url)
    feed(engine, pl.concat(arrivals(5_000, 7, 1)))
    first = loader(url)
    with EventStore(url).engine.begin() as connection:
        first._ledger.prepare(connection)
    with first._ledger.exclusively(timedelta(0)):
        with pytest.raises(PipelineBusyError, match="another process"):
            loader(url, wait=timedelta(seconds=0.2)).run()
        refused = riskml_load(url, "--wait", "0s")
        assert refused.returncode == 3 and len(refused.stderr.splitlines()) == 1
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: loader(url, batch_rows=200).run(), range(4)))
    expected = len(stored(engine))
    assert sorted(report.loaded for report in reports) == [0, 0, 0, expected]


def test_two_pipelines_into_one_table_store_every_event_once(url: str) -> None:
    engine = open_engine(url)
    feed(engine, pl.concat(arrivals(5_000, 7, 1)))

    def run(pipeline: str) -> int:
        source = TableSource.of(url, "logins", MAPPING)
        into = EventStore(url)
        return IncrementalLoader(source, into, pipeline, MAPPING, batch_rows=500).run().loaded

    with ThreadPoolExecutor(3) as pool:
        loaded = sum(pool.map(run, "abc"))
    assert loaded == len(stored(engine))


def test_the_printed_tables_serve_both_queries_by_index(url: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        months = [date(2024, month, 1) for month in (1, 2)]
        connection.execute(text(ddl("events", "postgresql", months)))
        connection.execute(text("ALTER TABLE events ADD COLUMN ingested_at timestamptz"))
    feed(engine, pl.concat(arrivals(20_000, 1, 1)))
    loader(url).run()
    source = TableSource(url, "events")
    watermark = START + timedelta(days=49)
    query = source.query(Span(watermark - OVERLAP)).compile(engine)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE events"))
        plan = "\n".join(
            connection.exec_driver_sql(f"EXPLAIN {query}", query.params).scalars()  # type: ignore[arg-type]
        )
        by_user = "\n".join(
            connection.execute(
                text(
                    "EXPLAIN SELECT * FROM events WHERE user_id = 'u7' "
                    "AND login_time > '2024-02-01' AND login_time < '2024-02-28'"
                )
            ).scalars()
        )
    assert "Index Scan using events_2024_03_login_time_idx" in plan, plan
    assert "Seq Scan" not in plan and "Sort" not in plan and "2024_01" not in plan, plan
    assert "events_2024_02_user_id_login_time_idx" in by_user, by_user
    assert "2024_01" not in by_user and "2024_03" not in by_user


def test_every_type_of_a_schema_s_table_is_read(url: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA audit"))
        connection.execute(
            text(
                "CREATE TABLE audit.logins (event_id uuid, employee numeric(20), login_time "
                "timestamp, action text, document jsonb, price numeric(9,2), day date, raw bytea, "
                "tags text[], label int)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO audit.logins SELECT gen_random_uuid(), 90071992547409930 + i, "
                "'2024-07-01'::timestamp + i * interval '1 hour', 'read', '{\"a\": [1]}', 12.34, "
                "'2024-07-01', '\\x00ff', '{x,y}', 1 FROM generate_series(1, 3) i"
            )
        )
    mapping = EventMapping(columns=MAPPING.columns, time_zone="Europe/Berlin")
    source = TableSource.of(url, "audit.logins", mapping)
    report = IncrementalLoader(source, EventStore(url), "types", mapping).run()
    assert (report.loaded, report.rejected) == (3, 0)
    with engine.connect() as connection:
        row = (
            connection.execute(text("SELECT * FROM events ORDER BY login_time")).mappings().first()
        )
    assert row is not None and "label" not in row
    assert row["user_id"] == "90071992547409931" and row["resource"] == '{"a": [1]}'
    assert row["login_time"].astimezone(UTC) == datetime(2024, 6, 30, 23, tzinfo=UTC)
    assert (row["price"], row["day"], row["raw"]) == (12.34, date(2024, 7, 1), "00ff")
    assert row["tags"] == '["x", "y"]' and len(row["event_id"]) == 36
