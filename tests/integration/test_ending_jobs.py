"""Jobs that wait for a lock, or for a database that is away, end by a signal and go on later."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from scoring import BUNDLE
from sqlalchemy import text
from stream_log import logins

from riskml.core.interrupts import INTERRUPTED, TOLD
from riskml.data.database import open_engine
from riskml.data.event_store import EventStore
from riskml.streaming.database_sink import DatabaseSink

pytestmark = pytest.mark.slow

COUNT = 300
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
LOCKS = {
    "load": "SELECT pg_advisory_xact_lock(hashtextextended('riskml', 0))",
    "score": "SELECT pg_advisory_xact_lock(hashtextextended('riskml_score', 0))",
    "stream": "LOCK TABLE riskml_scores IN EXCLUSIVE MODE",
}
STORED = {
    "load": "SELECT count(*) FROM events",
    "score": "SELECT sum(n_events) FROM riskml_scores",
    "stream": "SELECT sum(n_events) FROM riskml_scores",
}


def words_of(job: str, url: str, folder: Path) -> list[str]:
    """A command that has all events of a log at hand, with all windows told of."""
    events, log = logins(COUNT), folder / "log.jsonl"
    if job == "load":
        source = f"sqlite:///{folder}/log.db"
        EventStore(source).append(events)
        return ["load", "--pipeline", "p", "--time-zone", "UTC", "--from", source, "--to", url]
    if job == "score":
        events.write_parquet(folder / "log.parquet")
        source = str(folder / "log.parquet")
        return ["score", "--bundle", str(BUNDLE), "--source", source, "--out", url, "--open"]
    log.write_bytes(b"\n".join(map(orjson.dumps, events.to_dicts())) + b"\n")
    DatabaseSink(url).close()  # makes the tables
    return stream_words(log, url)


def stream_words(log: Path, url: str) -> list[str]:
    state = ["--state", str(log.with_name("state")), "--grace", "0.1"]
    return ["stream", "--bundle", str(BUNDLE), "--source", f"file://{log}", "--sink", url, *state]


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "riskml.cli", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def number(url: str, query: str) -> int:
    with open_engine(url).connect() as connection:
        return int(connection.execute(text(query)).scalar_one() or 0)


def ends(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (INTERRUPTED, TOLD)


def goes_on(words: list[str]) -> None:
    command = [sys.executable, "-m", "riskml.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("job", LOCKS)
def test_who_waits_for_a_lock_ends_and_nothing_is_lost(
    job: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    words = words_of(job, url, tmp_path)
    with open_engine(url).begin() as other:
        other.execute(text(LOCKS[job]))
        with running(words) as process:
            while not number(url, WAITING):
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            ends(process)
    goes_on(words)
    assert number(url, STORED[job]) == COUNT


def test_a_stream_whose_database_is_away_ends_and_nothing_is_lost(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    url, another = new_database(), new_database()
    words = words_of("stream", url, tmp_path)
    name = open_engine(url).url.database
    log = tmp_path / "log.jsonl"
    lines = log.read_bytes()
    log.write_bytes(lines[: lines.index(b"\n") + 1])
    with (
        running([*words, "--follow"]) as process,
        open_engine(another).connect() as other,
    ):
        while not number(url, STORED["stream"]):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        other = other.execution_options(isolation_level="AUTOCOMMIT")
        other.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        other.execute(text(others), {"name": name})
        log.write_bytes(lines)
        assert process.stderr is not None
        while "Retrying" not in (line := process.stderr.readline()):
            assert line, process.communicate()
        ends(process)
        other.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    goes_on(words)
    assert number(url, STORED["stream"]) == COUNT
