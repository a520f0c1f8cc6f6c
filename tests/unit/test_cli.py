"""`riskml simulate` as a person types it, and the stream it replays."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.core.errors import ConfigError
from riskml.data.simulator.replay import StreamFaults

SMALL = ["--users", "30", "--days", "15"]


def riskml(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "world"
    result = riskml("simulate", *SMALL, "--out", str(folder))
    assert result.exit_code == 0, result.output
    assert result.stderr.count("\n") == 1
    assert re.match(r"[\d,]+ events, \d+ incidents?, [1-9] attacked user-days", result.stderr)
    return folder


def stored(world: Path) -> pl.DataFrame:
    return pl.read_parquet(world / "events", hive_partitioning=False).sort("timestamp", "event_id")


def test_help_shows_every_command_and_an_example() -> None:
    assert "simulate" in riskml("--help").stdout
    assert "--speed 1000x" in riskml("simulate", "--help").stdout


def test_a_world_that_is_there_is_used_again(world: Path) -> None:
    before = (world / "world.json").stat().st_mtime_ns
    result = riskml("simulate", *SMALL, "--out", str(world))
    assert "holds this world already" in result.stderr
    assert (world / "world.json").stat().st_mtime_ns == before


def test_a_clean_replay_is_the_log(world: Path) -> None:
    result = riskml("simulate", *SMALL, "--out", str(world), "--speed", "1e9x")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    events = stored(world)
    assert [record["event_id"] for record in records] == events["event_id"].to_list()
    assert records[0]["timestamp"] == events["timestamp"][0].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert not any(key.startswith(("label", "incident", "scenario")) for key in records[0])


def test_the_test_period_alone(world: Path) -> None:
    words = ("--out", str(world), "--speed", "1000000000x", "--test-period")
    lines = riskml("simulate", *SMALL, *words).stdout.splitlines()
    last = stored(world).filter(pl.col("timestamp").dt.date() > datetime(2024, 1, 10).date())
    assert {json.loads(line)["event_id"] for line in lines} == set(last["event_id"])


def test_faults_are_injected_and_told_aside(world: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.parquet"
    shares = ["--late", "0.1", "--duplicates", "0.05", "--malformed", "0.02"]
    command = ["simulate", *SMALL, "--out", str(world), "--speed", "1e9x", *shares]
    result = riskml(*command, "--truth", str(truth))
    lines = result.stdout.splitlines()
    told = pl.read_parquet(truth)
    events = stored(world)
    duplicates = told.filter(pl.col("fault") == "duplicate")
    assert len(lines) == len(events) + len(duplicates)
    broken = set(told.filter(pl.col("fault").is_in(["cut_off", "no_json"]))["line"].to_list())
    unreadable = {number for number, line in enumerate(lines, 1) if not _is_json(line)}
    assert unreadable == broken
    shares_told = {name: n / len(events) for name, n in Counter(told["fault"]).items()}
    assert shares_told["late"] == pytest.approx(0.1, abs=0.02)
    assert shares_told["duplicate"] == pytest.approx(0.05, abs=0.015)
    spoilt = sum(shares_told.get(name, 0) for name in ("cut_off", "no_json", "broken_time"))
    assert spoilt == pytest.approx(0.02, abs=0.01)
    again = riskml(*command)
    assert again.stdout == result.stdout


def test_late_records_are_out_of_order_and_none_is_lost(world: Path) -> None:
    result = riskml("simulate", *SMALL, "--out", str(world), "--speed", "1e9x", "--late", "0.2")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    times = [record["timestamp"] for record in records]
    assert times != sorted(times)
    known = dict(stored(world).select("event_id", "ingested_at").iter_rows())
    later = [
        datetime.fromisoformat(record["ingested_at"]) > known[record["event_id"]]
        for record in records
    ]
    assert sum(later) / len(later) == pytest.approx(0.2, abs=0.03)
    assert Counter(r["event_id"] for r in records) == Counter(stored(world)["event_id"])


def test_into_a_database(world: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    command = ["simulate", *SMALL, "--out", str(world), "--database", url]
    events = len(stored(world))
    assert f"{events:,} new events" in riskml(*command).stderr
    assert "0 new events" in riskml(*command).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say where to"),
        (["--tier", "esy", "--out", "x"], "tier='esy'"),
        (["--users", "0", "--out", "x"], "users=0"),
        (["--speed", "fast"], "for example 100x"),
        (["--speed", "0x", *SMALL], "speed=0.0 must be above 0"),
        (["--speed", "1x", "--late", "1.5", *SMALL], "late=1.5"),
        (["--database", "no url", *SMALL], "dialect"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = riskml("simulate", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_shares_out_of_range() -> None:
    with pytest.raises(ConfigError, match="duplicates=-1"):
        StreamFaults(duplicates=-1)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
