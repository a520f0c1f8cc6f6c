"""What `riskml load` and `riskml simulate` store is trained on by train.py, nothing else said."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from command_line import ATTACKED_DAYS, run_all, write_log

from riskml.cli import main

pytestmark = pytest.mark.slow

COLUMNS = ("user_id=who", "action=what", "time_zone=zone")
ZONES = ["Asia/Tokyo", "America/New_York"]


def load(folder: Path) -> str:
    """A log in one SQLite file, loaded into another."""
    log = pl.read_csv(write_log(folder / "log.csv")).with_row_index("event_id")
    log = log.with_columns(
        zone=pl.when(pl.col("who").str.contains("[02468]$"))
        .then(pl.lit(ZONES[0]))
        .otherwise(pl.lit(ZONES[1])),
        login_time=pl.col("login_time").str.strip_suffix("Z") + ".000000",
    )
    kinds = {"login_time": "TIMESTAMP", "label": "INTEGER"}
    with sqlite3.connect(folder / "source.db") as source:
        columns = ", ".join(f"{name} {kinds.get(name, 'TEXT')}" for name in log.columns)
        source.execute(f"CREATE TABLE logins ({columns})")
        source.executemany(f"INSERT INTO logins VALUES ({', '.join('?' * log.width)})", log.rows())
    words = ["load", "--pipeline", "p", "--table", "logins", "--time-zone", "UTC", "--batch", "500"]
    words += [word for column in COLUMNS for word in ("--column", column)]
    urls = {
        "RISKML_FROM_URL": f"sqlite:///{folder / 'source.db'}",
        "RISKML_TO_URL": f"sqlite:///{folder / 'store.db'}",
    }
    done = CliRunner().invoke(main, words, env=urls)
    assert done.exit_code == 0 and f"{len(log):,} loaded" in done.stdout, done.output
    return urls["RISKML_TO_URL"]


def simulate(folder: Path) -> str:
    url = f"sqlite:///{folder / 'world.db'}"
    words = ["simulate", "--users", "20", "--days", "40", "--database", url]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return url


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("stores")
    words = ["train.py", "data=database", "table=events", "model=window_length", "logger=none"]
    urls = {"loaded": load(folder), "simulated": simulate(folder)}
    cases = {name: [*words, f"url={url}"] for name, url in urls.items()}
    found = run_all(cases, folder)
    return {name: {**result, "folder": folder / name} for name, result in found.items()}


@pytest.mark.parametrize("name", ["loaded", "simulated"])
def test_a_store_is_trained_on(results: dict[str, Any], name: str) -> None:
    assert results[name]["code"] == 0, results[name]["err"][-3000:]
    assert "database: " in results[name]["out"]


def test_days_are_those_of_each_user(results: dict[str, Any]) -> None:
    (run,) = (results["loaded"]["folder"] / "outputs" / "train").iterdir()
    scores = pl.read_parquet(run / "scores.parquet")
    # of a day's attack at two in the morning UTC, eleven in Tokyo is the same day, nine in the
    # evening in New York is the day before
    for day, user in ATTACKED_DAYS.items():
        odd = int(user[-1]) % 2
        mine = scores.filter(pl.col("user_id") == user).sort("score", descending=True)
        at = mine["start"].dt.convert_time_zone(ZONES[odd])[0]
        assert at.timetuple().tm_yday == day + 1 - odd, (user, at)
