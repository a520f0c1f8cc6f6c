"""`riskml alerts`, from what a job has raised to a verified log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from riskml.alerting.feedback import FeedbackStore
from riskml.cli import main
from riskml.data.database import open_engine
from riskml.serving.score_tables import ALERTS, METADATA
from riskml.streaming import database_sink

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/alerts.db"


def riskml(*words: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *words])


def raised(day: int, **more: object) -> dict[str, object]:
    reasons = [{"topic": "hour", "share": 1.0, "text": "at 03:00, usually 09:00"}]
    return {
        "window_id": f"ann/{day}",
        "model_version": "v1",
        "user_id": "ann",
        "window_start": NOON + timedelta(days=day),
        "window_end": NOON + timedelta(days=day, hours=1),
        "score": 3.0,
        "p_value": 0.001,
        "risk": 80.0,
        "reasons": json.dumps(reasons),
        "event_ids": json.dumps({"count": 120, "ids": [f"e{n}" for n in range(100)]}),
        "raised_at": NOON + timedelta(days=day, hours=2),
        **more,
    }


@pytest.fixture
def scored(tmp_path: Path) -> str:
    """A database with alerts of a job and of a stream."""
    place = f"sqlite:///{tmp_path}/risk.db"
    engine = open_engine(place)
    METADATA.create_all(engine)
    database_sink.METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(ALERTS), [raised(0), raised(1)])
        streamed = [raised(2, raised="early"), raised(3, raised="withdrawn")]
        connection.execute(insert(database_sink.ALERTS), streamed)
    return place


def test_from_a_job_and_a_stream_to_a_verified_log(url: str, scored: str) -> None:
    assert riskml("init", "--log", url).exit_code == 0
    done = riskml("take", "--from", scored, "--log", url, "--json")
    assert json.loads(done.stdout)["rules"] == {"first": 1, "repeat": 2}
    again = riskml("take", "--from", scored, "--log", url)
    assert "0 new windows (none), 3 known" in again.stderr
    [row] = map(json.loads, riskml("list", "--log", url, "--json").stdout.splitlines())
    assert (row["count"], row["severity"], row["signature"]) == (3, "high", "hour")
    done = riskml("set", row["alert_id"], "resolved", "--who", "kim", "--log", url)
    assert done.exit_code == 0
    shown = riskml("show", row["alert_id"], "--log", url).stdout
    assert "120 events: e0, e1, e2, …, e97, e98, e99" in shown
    assert "2024-05-01 12:00 to 2024-05-01 13:00 UTC" in shown
    whole = json.loads(riskml("show", row["alert_id"], "--json", "--log", url).stdout)
    assert whole["sightings"][0]["event_ids"]["ids"][50] == "e50"
    assert "resolved, high" in shown and "at 03:00, usually 09:00" in shown and "by kim" in shown
    found = riskml("verify", "--log", url)
    assert found.exit_code == 0 and "4 entries, 1 alerts" in found.stdout


def test_a_verdict_teaches_the_triage(url: str, scored: str, tmp_path: Path) -> None:
    riskml("init", "--log", url)
    riskml("take", "--from", scored, "--log", url)
    [row] = map(json.loads, riskml("list", "--log", url, "--json").stdout.splitlines())
    store = f"sqlite:///{tmp_path}/feedback.db"
    words = ["--who", "kim", "--feedback", store, "--log", url]
    refused = riskml("set", row["alert_id"], "acknowledged", *words)
    assert refused.exit_code == 2 and "acknowledged is no verdict" in refused.stderr
    done = riskml("set", row["alert_id"], "false_alarm", *words)
    assert "3 new verdicts of false_alarm" in done.stderr
    held = FeedbackStore(store).latest()
    assert held["window_id"].sort().to_list() == ["ann/0", "ann/1", "ann/2"]
    assert set(held["verdict"]) == {"false_alarm"} and set(held["model_version"]) == {"v1"}


def test_files_of_a_job_are_read_as_well(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    for room in ("alerts", "scores"):
        rooms = folder / room / "version=v1"
        rooms.mkdir(parents=True)
        table = pl.DataFrame([raised(0, **({"peer": "engineer"} if room == "scores" else {}))])
        table.write_parquet(rooms / "batch=000001.parquet")
    entry = {"batch": 1, "open": 0, "role": "champion"}
    (folder / "state.json").write_text(json.dumps({"format": 1, "versions": {"v1": entry}}))
    riskml("init", "--log", url)
    done = riskml("take", "--from", str(folder), "--log", url)
    assert done.exit_code == 0, done.output
    assert "1 new alerts, 1 to be told" in done.stderr
    [row] = map(json.loads, riskml("list", "--log", url, "--json").stdout.splitlines())
    assert row["peer"] == "engineer"


def test_looking_into_a_file_that_is_not_there_makes_none(url: str, tmp_path: Path) -> None:
    for words in (["list"], ["set", "abc", "resolved", "--who", "kim"], ["verify"]):
        done = riskml(*words, "--log", url)
        assert done.exit_code == 2 and f"there is no file {tmp_path}/alerts.db" in done.stderr
    riskml("init", "--log", url)
    done = riskml("take", "--from", f"sqlite:///{tmp_path}/none.db", "--log", url)
    assert done.exit_code == 2 and f"there is no file {tmp_path}/none.db: give what" in done.stderr
    assert [path.name for path in tmp_path.glob("*.db")] == ["alerts.db"]


def test_a_database_in_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = riskml("init", "--log", f"sqlite:///{tmp_path}/no/alerts.db")
    told = f"cannot open the database file {tmp_path}/no/alerts.db: is its folder there"
    assert done.exit_code == 2 and told in done.stderr


WRONG = {
    "no tables": (["list"], "riskml alerts init makes it"),
    "no alerts there": (["take", "--from", "nowhere"], "nowhere: no alerts there"),
    "no such alert": (["show", "abc"], "has no alert 'abc'"),
    "a folder": (["take", "--from", "x", "--rules", "."], "it is a folder; give a YAML file"),
    "no rules": (["take", "--from", "x", "--rules", "none.yaml"], "none.yaml: No such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, url: str) -> None:
    words, told = WRONG[case]
    if case != "no tables":
        riskml("init", "--log", url)
    done = riskml(*words, "--log", url)
    assert done.exit_code == 2 and told in done.stderr
    assert "Traceback" not in done.output


def test_an_argument_that_is_no_utf8_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert riskml("init", "--log", url).exit_code == 0
    monkeypatch.setattr("sys.argv", ["riskml", "alerts", "show", "\udcff"])
    done = riskml("show", "\udcff", "--log", url)
    assert (done.exit_code, "is no UTF-8" in done.stderr) == (2, True)


def test_a_label_that_silences_nothing_of_ours_is_told() -> None:
    words = ["alerts", "silence", "add", "--lasts", "1h", "--who", "kim", "--why", "away"]
    nobody = ["--alertmanager", "http://127.0.0.1:9"]
    told = CliRunner().invoke(main, [*words, "usr=u17", *nobody]).stderr
    assert told.startswith("warning: only alerts of a channel with labels.usr have this label; did")
    told = CliRunner().invoke(main, [*words, "user=u17", "team=red", *nobody]).stderr
    assert "warning" not in told


def test_where_an_alert_goes(url: str, scored: str, tmp_path: Path) -> None:
    file = tmp_path / "channels.yaml"
    file.write_text(
        "channels:\n"
        "  desk: {kind: webhook, url: https://desk.example/}\n"
        "  night: {kind: webhook, url: https://night.example/}\n"
        "routes:\n"
        "  - {users: [ann], to: [night]}\n"
    )
    told = json.loads(riskml("route", "--channels", str(file), "--json").stdout)
    assert told == {"channels": 2, "routes": 1, "unnamed": ["desk"]}
    riskml("init", "--log", url)
    riskml("take", "--from", scored, "--log", url)
    [row] = map(json.loads, riskml("list", "--log", url, "--json").stdout.splitlines())
    words = ("route", row["alert_id"], "--channels", str(file), "--log", url)
    answer = json.loads(riskml(*words, "--json").stdout)
    assert (answer["to"], answer["later"]) == (["night"], []) and answer["why"]
    assert riskml(*words).stdout.splitlines()[-1] == "to night"
