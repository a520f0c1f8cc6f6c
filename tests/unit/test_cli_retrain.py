"""`riskml retrain` where it cannot begin, and what it tells of what was decided."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.alerting.alert_log import AlertLog
from riskml.cli import main
from riskml.export.registry import Registry
from riskml.retraining.decisions import Decisions, What

AT = datetime(2024, 5, 2, 4, 15, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AlertLog:
    made = AlertLog(f"sqlite:///{tmp_path / 'alerts.db'}")
    made.migrate()
    monkeypatch.setenv("RISKML_ALERTS_URL", str(made.engine.url))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return made


@pytest.fixture
def registry(log: AlertLog) -> Registry:
    """Has no model."""
    return Registry(makes=True)


def retrain(*words: str) -> Result:
    return CliRunner().invoke(main, ["retrain", *words])


def test_who_asks_says_why(log: AlertLog) -> None:
    for words in (("--asked", "a merger"), ("--who", "kim"), ("--asked", " ", "--who", "kim")):
        result = retrain("step", "logins", *words)
        assert result.exit_code == 2 and "--asked and --who go together" in result.stderr


def test_days_that_are_yet_to_come_are_refused(log: AlertLog) -> None:
    result = retrain("step", "logins", "--until", "2999-01-01")
    assert result.exit_code == 2
    assert "--until 2999-01-01T00:00:00+00:00 lies in the future" in result.stderr


def test_a_model_without_a_champion_is_told(registry: Registry) -> None:
    result = retrain("step", "logins")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: models:/logins@champion: ")
    assert "riskml registry alias logins VERSION champion" in result.stderr
    result = retrain("rollback", "logins", "--who", "kim", "--why", "too many alerts")
    assert result.exit_code == 2 and "there is no promotion to roll back" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "retrain step logins",
        "registry list",
        "registry alias logins 1 champion",
        "registry fetch models:/logins@champion --out {place}/out",
    ],
)
def test_who_looks_into_a_registry_makes_none(log: AlertLog, tmp_path: Path, command: str) -> None:
    file = tmp_path / "elsewhere" / "mlflow.db"
    words = command.format(place=tmp_path).split()
    result = CliRunner().invoke(main, [*words, "--store", f"sqlite:///{file}"])
    assert result.exit_code == 2
    assert f"there is no file {file} (the MLflow store)" in result.stderr
    assert not file.parent.exists()


@pytest.mark.usefixtures("registry")
def test_what_is_no_name_and_what_is_no_store(tmp_path: Path) -> None:
    result = retrain("step", "a/b")
    assert result.exit_code == 2 and "'a/b' is no name of a model" in result.stderr
    (tmp_path / "notes.txt").write_text("no database " * 100)
    result = retrain("step", "logins", "--store", f"sqlite:///{tmp_path / 'notes.txt'}")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: the MLflow store cannot be used: file is not a data")


def test_an_alert_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = retrain("history", "logins", "--log", f"sqlite:///{tmp_path / 'gone.db'}")
    assert result.exit_code == 2 and "riskml alerts init makes it" in result.stderr


@pytest.mark.usefixtures("registry")
def test_another_step_is_at_work(log: AlertLog) -> None:
    with Decisions(log, "logins").alone():
        result = retrain("step", "logins")
    assert result.exit_code == 3 and "another retraining of logins is at work" in result.stderr


def test_history(log: AlertLog) -> None:
    assert retrain("history", "logins").stdout == "nothing was decided about logins yet\n"
    decisions = Decisions(log, "logins")
    decisions.add(What.TRAINED, AT, "watched\x1b[31m", until=AT.isoformat(), version="2")
    # what the reason begins with is not said twice
    decisions.add(What.TRAINED, AT, "version 3, watched", until=AT.isoformat(), version="3")
    Decisions(log, "payments").add(What.FAILED, AT, "no log", until=AT.isoformat())
    line, twice = retrain("history", "logins").stdout.splitlines()
    assert twice == "2024-05-02 04:15 challenger trained by riskml: version 3, watched"
    assert line.startswith("2024-05-02 04:15 challenger trained (version 2) by riskml: watched")
    assert "\x1b" not in line
    told, _ = json.loads(retrain("history", "logins", "--json").stdout)
    assert told["what"] == "challenger trained" and told["version"] == "2"
