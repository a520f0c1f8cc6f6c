"""The scoring job in a real PostgreSQL, killed at any point: the tables are those of no kill."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from killable import forking
from scoring import job, logins, score
from sqlalchemy import Engine, text

from riskml.data.database import open_engine
from riskml.serving.stores import JobBusyError

pytestmark = pytest.mark.slow

COUNT, PHASES, KILLS = 8_000, 2, int(os.environ.get("RISKML_KILLS", 20))
TABLES = {
    "riskml_scores": "scored_at",
    "riskml_alerts": "raised_at",
    "riskml_score_quarantine": "noticed",
}
BATCH = "SELECT coalesce(max(batch), 0) FROM riskml_score_state"


def feed(engine: Engine, rows: pl.DataFrame) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS logins (event_id text, user_id text, login_time "
                "timestamptz, action text, resource text, source text, success bool)"
            )
        )
        connection.execute(text("CREATE INDEX IF NOT EXISTS logins_t ON logins (login_time)"))
        cursor: Any = connection.connection.cursor()
        with cursor.copy("COPY logins FROM STDIN (FORMAT csv)") as to:
            to.write(rows.write_csv(include_header=False, quote_style="non_numeric"))


def batches(engine: Engine) -> int:
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('riskml_score_state')")).scalar() is None:
            return 0
        return int(connection.execute(text(BATCH)).scalar_one())


def tables(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but for when it was written and how many batches it took."""
    found = {}
    with engine.connect() as connection:
        for name, when in TABLES.items():
            rows = [
                dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()
            ]
            for row in rows:
                del row[when]
            found[name] = sorted(rows, key=str)
        files = connection.execute(text("SELECT name, content FROM riskml_score_state_files"))
        state = {name: bytes(content) for name, content in files}
    standing = json.loads(state.pop("standing.json"))
    del standing["batches"]
    found["state"] = [standing, dict(sorted(state.items()))]
    return found


def test_killed_at_many_points_the_tables_are_those_of_one_run(
    new_database: Callable[[], str],
) -> None:
    url, calm = new_database(), new_database()
    engine, chance = open_engine(url), random.Random(0)
    processes = forking()
    killed = amid = 0
    log = logins(COUNT)
    for rows in log.iter_slices(COUNT // PHASES):
        feed(engine, rows)
        began = time.monotonic()
        before = score(url, calm).batches
        a_batch = (time.monotonic() - began) / max(before, 1)
        for _ in range(KILLS // PHASES):
            # after so many batches of its own, and then at any point of the next
            until = batches(engine) + chance.choice([0, 1, 1, 1])
            process = processes.Process(target=score, args=(url, url))
            process.start()
            given_up = time.monotonic() + 60
            while process.is_alive() and batches(engine) < until and time.monotonic() < given_up:
                time.sleep(0.02)
            process.join(chance.uniform(0, 1.5 * a_batch))
            process.kill()
            process.join()
            killed += process.exitcode == -9
            amid += process.exitcode == -9 and batches(engine) >= max(until, 1)
        score(url, url)
        assert tables(engine) == tables(open_engine(calm))
    assert killed == KILLS and amid >= KILLS / 2, (killed, amid)
    found = tables(engine)
    kinds = {row["rule"] for row in found["riskml_score_quarantine"]}
    assert kinds == {"late_event", "missing_user"}
    assert len(found["riskml_scores"]) > 500 and found["riskml_alerts"]
    assert score(url, url).windows_closed == 0 and tables(engine) == found


def test_of_jobs_at_once_one_works(new_database: Callable[[], str]) -> None:
    url = new_database()
    engine = open_engine(url)
    feed(engine, logins(1_000))
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: score(url, url), range(3)))
    assert sorted(summary.events_new > 0 for summary in done) == [False, False, True]
    waiting = job(url, url)
    with job(url, url).store.alone(waiting.version, timedelta(0)), pytest.raises(JobBusyError):
        waiting.store.alone(waiting.version, timedelta(seconds=0.2)).__enter__()
