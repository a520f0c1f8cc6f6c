"""The DAGs in a real Airflow: imported, run on PostgreSQL, tried again, and run twice.

Needs an environment of its own, which `make test-airflow` makes; RISKML_AIRFLOW names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from airflows import PASSWORD, Airflow, Run
from alertmanagers import PROGRAM, active_alerts, running_alertmanager
from click.testing import CliRunner
from sqlalchemy import inspect, text

from riskml.cli import main
from riskml.data.database import open_engine
from riskml.data.event_store import EventStore
from riskml.data.simulator import SimulationSettings, simulate

ENVIRONMENT = os.environ.get("RISKML_AIRFLOW")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ENVIRONMENT is None, reason="make test-airflow prepares an environment"),
]

TRAINED, TESTED = "2024-01-28T03:00:00", "2024-02-01T04:00:00"
DAY, AFTER = "2024-02-01T01:15:00", "2024-02-02T01:15:00"
TRAINING = "model=counts logger=none callbacks=quiet resamples=50"
FOLD = "train_days=14 calibration_days=5 test_days=5 folds=1"
VARIABLES = {
    "table": "events",
    "train_options": TRAINING,
    "backtest_options": "backtest=rolling baselines=[] "
    + " ".join([TRAINING, *(f"backtest.{word}" for word in FOLD.split())]),
}
SCORES = "window_id, model_version, user_id, window_start, window_end, score, risk, alert, reasons"
TABLES = {
    "events": "event_id, user_id, login_time, action",
    "riskml_watermarks": "pipeline, last_run, loaded, rejected, too_late",
    "riskml_scores": f"{SCORES}, scored_at",
    "riskml_alerts": "window_id, model_version, risk, raised_at",
    "riskml_score_state": "model_version, batch",
    "riskml_alert_log": "alert_id, state, risk, count, first_seen, last_seen",
    "riskml_alert_trail": "*",
    "riskml_alert_outbox": "*",
}


@dataclass
class World:
    """An organisation's log in a database, and an Airflow that a champion was trained in."""

    airflow: Airflow
    risk: str
    training: Run
    backtest: Run
    backtest_again: Run
    metrics: bytes
    alertmanager: str | None

    def stored(self) -> dict[str, list[Any]]:
        """All that scoring a night has written."""
        engine = open_engine(self.risk)
        with engine.connect() as connection:
            return {
                name: connection.execute(text(f"SELECT {columns} FROM {name} ORDER BY 1, 2")).all()
                for name, columns in TABLES.items()
            }

    def has(self, table: str) -> bool:
        return bool(inspect(open_engine(self.risk)).has_table(table))

    def count(self, query: str) -> int:
        with open_engine(self.risk).connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {query}")).scalar_one())

    def active(self) -> list[tuple[str, str]]:
        """Alerts that stand in Alertmanager; none where there is no Alertmanager."""
        found = [] if self.alertmanager is None else active_alerts(self.alertmanager)
        return [(each["labels"]["alertname"], each["labels"]["dag_id"]) for each in found]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    if PROGRAM is None:
        yield None
        return
    with running_alertmanager(tmp_path_factory.mktemp("alertmanager")) as url:
        yield url


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[], str],
    alertmanager: str | None,
) -> World:
    """Training and backtest run side by side: the machine has two cores."""
    folder: Path = tmp_path_factory.mktemp("airflow")
    source, risk = new_database(), new_database()
    databases = {"riskml_source": source, "riskml_db": risk}
    airflow = Airflow(Path(str(ENVIRONMENT)), folder, databases, VARIABLES)
    simulate(SimulationSettings(users=20, days=35, test_days=10), folder / "log")
    EventStore(source).append(pl.read_parquet(folder / "log" / "events", hive_partitioning=False))
    load = ["load", "--pipeline", "logins", "--until", "2024-01-31", "--from", source, "--to", risk]
    assert CliRunner().invoke(main, load).exit_code == 0
    training = airflow.test(airflow.home("training"), "risk_training_weekly", TRAINED)
    backtest = airflow.test(airflow.home("backtest"), "risk_backtest_monthly", TESTED)
    assert training.done(), training.said
    assert backtest.done(), backtest.said
    metrics = (airflow.work / "backtest" / "2024-02-01" / "metrics.json").read_bytes()
    again = airflow.test(backtest.home, "risk_backtest_monthly", TESTED)
    return World(airflow, risk, training, backtest, again, metrics, alertmanager)


def test_all_are_imported_with_retries_deadlines_and_callbacks(world: World) -> None:
    found = world.airflow.imported()
    assert found["errors"] == {}
    dags = found["dags"]
    assert {
        name: [deadline[0] / 3600 for deadline in dag["deadlines"]] for name, dag in dags.items()
    } == {
        "risk_scoring_daily": [5],
        "risk_training_weekly": [12],
        "risk_backtest_monthly": [48],
        "risk_on_demand": [5],
    }
    for dag in dags.values():
        [[_, reference, callback]] = dag["deadlines"]
        assert reference == "DagRunQueuedAtDeadline", "a back-fill would be late at once"
        assert callback == "riskml_airflow.telling.tell_late"
        assert dag["max_active_runs"] == 1 and not dag["catchup"]
        for task in dag["tasks"].values():
            assert task["retries"] == 1 and task["backoff"] == 2, "as set here, and doubled"
            assert task["told"] == ["tell_failure"]
            in_airflow = task["operator"] in ("@task", "@task.short_circuit")
            assert in_airflow or task["python"] == str(world.airflow.python)
    nightly = dags["risk_scoring_daily"]["tasks"]
    assert nightly["score"]["after"] == ["alert_log", "champion", "gate"]
    assert nightly["score"]["outlets"] == ["riskml_scores"]
    assert dags["risk_training_weekly"]["tasks"]["publish"]["outlets"] == ["riskml_champion"]


def test_training_makes_a_champion_and_tells_of_it(world: World) -> None:
    bundles = world.airflow.work / "bundles"
    assert (bundles / "current").readlink() == Path("1")
    manifest = json.loads((bundles / "current" / "manifest.json").read_text())
    told = world.airflow.rows(
        world.training.home,
        "SELECT asset_event.extra FROM asset_event JOIN asset ON asset.id = asset_id "
        "WHERE name = 'riskml_champion'",
    )
    [event] = [json.loads(extra) for (extra,) in told]
    assert (event["version"], event["until"]) == ("1", "2024-01-28")
    assert event["seal"] == manifest["seal"]


def test_a_night(world: World) -> None:
    """Refused by the gate, then tried again, then done twice: one step needs the other."""
    airflow = world.airflow
    home = airflow.home("nights")
    told = {} if world.alertmanager is None else {"RISKML_ALERTMANAGER_URL": world.alertmanager}
    strict = {"AIRFLOW_VAR_RISKML_QUALITY_OPTIONS": "--least-events 100000"}
    said = json.dumps({"until": "2024-01-31"})
    asked = airflow.test(airflow.home("asked"), "risk_on_demand", AFTER, "--conf", said)
    other = "--mark-success-pattern", "champion|alert_log"  # the next run does them
    refused = airflow.test(home, "risk_scoring_daily", DAY, *other, **told, **strict)
    assert not refused.done()
    assert states(airflow, home) == {
        **dict.fromkeys(("load", "quality", "champion", "alert_log"), ("success", 1)),
        "gate": ("failed", 1),  # nothing is tried again
        **dict.fromkeys(("score", "alert", "report"), ("upstream_failed", 0)),
    }
    assert "fewer than least_events=100000" in refused.said
    failed = ("RiskmlDagFailed", "risk_scoring_daily")
    assert world.active() == ([failed] if told else [])

    assert asked.done(), asked.said
    [folder] = (airflow.work / "on_demand").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "scores",
        "alerts.db",
        "risk-month-2024-01-30.en.html",
    }
    assert states(airflow, asked.home)["raise_alerts"][0] == "skipped"
    assert not world.has("riskml_scores"), "neither of the two has scored for the others to see"

    airflow.fail_once()
    night = airflow.test(home, "risk_scoring_daily", DAY, **told)
    assert night.done(), night.said
    tries = [number for state, number in states(airflow, home).values() if state == "success"]
    assert sorted(tries) == [1, 1, 1, 1, 1, 1, 1, 2], "one task was tried again"
    assert world.active() == [], "a success ends what was told"
    written = world.stored()
    assert written["riskml_scores"] and written["riskml_alert_log"]
    last = "riskml_scores WHERE window_end >= '2024-01-31' AND window_end < '2024-02-01'"
    assert world.count(last) > 0
    assert world.count("riskml_scores WHERE window_end >= '2024-02-01'") == 0
    assert world.count("events WHERE login_time >= '2024-02-01'") == 0, "left to the next night"
    [report] = (airflow.work / "reports").iterdir()
    assert report.name == "risk-week-2024-01-31.en.html"

    other = "--mark-success-pattern", "champion|report"  # they write nothing there
    again = airflow.test(home, "risk_scoring_daily", DAY, *other, **told)
    assert again.done(), again.said
    assert world.stored() == written, "the same data interval, the same result"
    events = airflow.rows(
        home,
        "SELECT asset_event.extra FROM asset_event JOIN asset ON asset.id = asset_id "
        "WHERE name = 'riskml_scores' ORDER BY timestamp",
    )
    first, second = (json.loads(extra) for (extra,) in events)
    assert first["until"] == second["until"] == "2024-02-01"
    assert first["champion"]["windows_closed"] == len(written["riskml_scores"])
    assert second["champion"]["windows_closed"] == second["champion"]["events_new"] == 0


def test_a_backtest_is_made_once(world: World) -> None:
    assert world.backtest_again.done(), world.backtest_again.said
    assert "done before" not in world.backtest.said
    assert "done before" in world.backtest_again.said
    folder = world.airflow.work / "backtest" / "2024-02-01"
    assert (folder / "metrics.json").read_bytes() == world.metrics


def test_no_log_page_or_file_has_the_password(world: World) -> None:
    """After all the runs above: Airflow's databases and logs, and what the DAGs have made."""
    quoted = PASSWORD.replace("/", "%2F").replace(" ", "%20")
    secrets = [word.encode() for word in (PASSWORD, quoted)]
    files = [path for path in world.airflow.folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert not [path for path in files if any(each in path.read_bytes() for each in secrets)]


def states(airflow: Airflow, home: Path) -> dict[str, tuple[str, int]]:
    """Task → its state in the last run and how often it was tried."""
    last = "SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1"
    query = f"SELECT task_id, state, try_number FROM task_instance WHERE run_id = ({last})"
    return {task: (state, tries) for task, state, tries in airflow.rows(home, query)}
