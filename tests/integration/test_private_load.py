"""riskml load with checks and pseudonyms into a real PostgreSQL, and a model of what it stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from riskml.cli import main
from riskml.data.batch_reference import BatchReference
from riskml.data.database import open_engine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CANARY, KEY = "zanycanary", "a key for tests alone, 0123456789abcdef"
START, N, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 20_000, 60
USERS = [CANARY, *(f"user_{i}" for i in range(1, 9))]
ZONES = ["Asia/Tokyo", "America/New_York", "Europe/Berlin"]


def rows(n: int, first: int = 0) -> pl.DataFrame:
    """Logins of nine users; the canary's name in every column that can hold it."""
    numbers = range(first, first + n)
    # the canary is new in the second half, but others open the canary's files before
    users = [max(i % 9, int(i < N / 2)) for i in numbers]
    return pl.DataFrame(
        {
            "id": [f"{USERS[user]}-{i}" for i, user in zip(numbers, users, strict=True)],
            "employee": [USERS[user] for user in users],
            "login_time": [START + i * timedelta(days=DAYS) / N for i in numbers],
            "action": [f"action {i % 7}" if i % 90 else None for i in numbers],
            "document": [f"/home/{CANARY.upper()}/{i % 5}" if i % 4 else None for i in numbers],
            "host": [f"{CANARY}-laptop" if i % 9 == 0 else "pc" for i in numbers],
            "result": [CANARY if i % 50 == 0 else "ok" for i in numbers],
            "mail": [f"{CANARY}@example.org"] * n,
            "zone": [ZONES[user % 3] for user in users],
        }
    )


def feed(engine: Engine, frame: pl.DataFrame) -> None:
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        into = f"COPY logins ({', '.join(frame.columns)}) FROM STDIN (FORMAT csv)"
        with cursor.copy(into) as copy:
            copy.write(frame.write_csv(include_header=False, quote_style="non_numeric"))


@pytest.fixture
def urls(new_database: Callable[[], str]) -> dict[str, str]:
    """A source with logins and an empty store."""
    found = {f"RISKML_{end}_URL": new_database() for end in ("FROM", "TO")}
    with open_engine(found["RISKML_FROM_URL"]).begin() as connection:
        texts = ", ".join(f"{c} text" for c in rows(0).columns if c != "login_time")
        connection.execute(text(f"CREATE TABLE logins ({texts}, login_time timestamptz)"))
    return found


class Said(NamedTuple):
    """How a command ended, and all it said."""

    code: int
    out: str
    err: str


COLUMNS = {
    "event_id": "id",
    "user_id": "employee",
    "resource": "document",
    "source": "host",
    "success": "result",
    "time_zone": "zone",
}


def words_of(words: tuple[str, ...]) -> list[str]:
    columns = [
        part for ours, theirs in COLUMNS.items() for part in ("--column", f"{ours}={theirs}")
    ]
    common = ["--table", "logins", "--pseudonyms", "--json", "--batch", "1000"]
    return ["load", "--pipeline", "logins", *columns, *common, *words]


def load(urls: dict[str, str], *words: str) -> Said:
    """`riskml load` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "riskml.cli", *words_of(words)],
        env={**os.environ, **urls, "RISKML_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def load_here(urls: dict[str, str], *words: str) -> Said:
    """The same in this process."""
    environment = {**urls, "RISKML_PSEUDONYM_KEY": KEY}
    done = CliRunner().invoke(main, words_of(words), env=environment)
    return Said(done.exit_code, done.stdout, done.stderr)


def tables(engine: Engine) -> dict[str, list[Any]]:
    """Everything in the database, in the order of its text."""
    with engine.connect() as connection:
        names = (
            connection.execute(
                text(
                    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = "
                    "'public'::regnamespace"
                )
            )
            .scalars()
            .all()
        )
        return {
            name: sorted(map(str, connection.execute(text(f'SELECT * FROM "{name}"')).all()))
            for name in names
        }


def volumes(engine: Engine) -> int:
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT reference FROM riskml_pipelines")).scalar_one()
    return sum(BatchReference.from_json(kept, "").volumes.values())


def test_a_name_is_nowhere_and_a_refused_batch_is_taken_up(
    urls: dict[str, str], tmp_path: Path
) -> None:
    source, store = (open_engine(urls[f"RISKML_{end}_URL"]) for end in ("FROM", "TO"))
    feed(source, rows(N))
    salts = ["--pseudonym-store", str(tmp_path / "salts.sqlite")]
    said = []

    def run(*words: str, load: Callable[..., Said] = load_here) -> Said:
        done = load(urls, *salts, *words)
        said.append(done.out + done.err)
        return done

    first = run(load=load)
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert (report["loaded"], report["rejected"]) == (N - N // 90 - 1, N // 90 + 1)
    assert volumes(store) == report["loaded"]
    before = tables(store)
    again = json.loads(run().out)
    assert (again["loaded"], again["rejected"], volumes(store)) == (0, 0, report["loaded"])
    assert {**tables(store), "riskml_watermarks": []} == {**before, "riskml_watermarks": []}

    bad = rows(1000, N).with_columns(document=pl.lit(f"{CANARY}/" * 2000))
    feed(source, pl.concat([bad.head(500), rows(1500, N + 500)]))
    before = tables(store)
    refused = run("--batch", "2000", load=load)
    assert refused.code == 2
    reason = refused.err.splitlines()[-1]
    assert "text_too_long" in reason and "--max-rejected-share" in reason
    assert {**tables(store), "riskml_watermarks": []} == {**before, "riskml_watermarks": []}
    # pseudonyms are longer than the name
    raised = json.loads(run("--batch", "2000", "--check", "max_text_length=90000").out)
    assert raised["loaded"] + raised["rejected"] == 2000 and raised["missing"] == 0
    assert volumes(store) == report["loaded"] + raised["loaded"]

    every = tables(store)
    assert len(every["events"]) == report["loaded"] + raised["loaded"]
    assert "pc" in str(every["events"]) and "mail" not in str(every)
    assert CANARY not in str(every).lower() and CANARY not in "".join(said).lower()
    assert CANARY.encode() not in (tmp_path / "salts.sqlite").read_bytes().lower()
    assert str(tables(source)).lower().count(CANARY), "the search finds what there is"


def test_a_store_can_be_trained_on(urls: dict[str, str], tmp_path: Path) -> None:
    feed(open_engine(urls["RISKML_FROM_URL"]), rows(N))
    assert load_here(urls).code == 0
    words = ["model=window_length", "data=database", "logger=none", "callbacks=quiet"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), f"paths.outputs={tmp_path / 'out'}", *words],
        env={**os.environ, "RISKML_DATABASE_URL": urls["RISKML_TO_URL"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{N - N // 90 - 1:,} events of 9 users" in done.stdout
    (run,) = (tmp_path / "out" / "train").iterdir()
    assert CANARY not in done.stdout.lower()
    scores = pl.read_parquet(next(run.glob("*scores*.parquet")))
    assert scores["user_id"].str.starts_with("p_").all()
    engine = open_engine(urls["RISKML_TO_URL"])
    with engine.connect() as connection:
        found = connection.execute(text("SELECT DISTINCT user_id, time_zone FROM events")).all()
    zones = {user: zone for user, zone in found}
    assert sorted(set(zones.values())) == sorted(ZONES)
    for user, zone in zones.items():
        starts = scores.filter(pl.col("user_id") == user)["start"]
        hours = starts.dt.convert_time_zone(zone).dt.hour()
        assert (hours <= 2).mean() > 0.9, "days begin at the user's own midnight"
