"""The configuration for Alertmanager, checked and asked by Alertmanager's own tool."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from riskml.alerting.messages import AlertMessage
from riskml.alerting.settings_files import read_channels
from riskml.cli import main

FILE = """
channels:
  desk: {kind: slack}
  duty: {kind: pagerduty}
  mail: {kind: email, host: mail.example, sender: r@a.example, to: [k@a.example], user: risk}
  siem: {kind: webhook, url: "http://siem.example/in"}
  manager: {kind: alertmanager, url: "http://localhost:9093"}
accounts: {robot: {users: ["svc-*"]}}
teams: {crew: {users: [cleo], peers: ["crew*"]}}
times:
  holidays: {dates: [12-25, 2024-12-30..2025-01-02], time_zone: Europe/Berlin}
  summer: [{months: [jul, aug], hours: "12:00-13:00"}, {days: [sun]}]
routes:
  - {accounts: [robot], severities: [low, medium], to: []}
  - {to: [siem], proceed: true}
  - {peers: ["board (upper?)"], to: [mail, desk]}
  - {signatures: ["count:*"], severities: [high, critical], to: [duty], mute: [holidays, summer]}
  - {teams: [crew], to: [mail]}
  - {hours: "18:00-06:00", days: [fri], time_zone: Europe/Berlin, to: [duty]}
"""
EXAMPLE = Path(__file__).parents[2] / "conf" / "alerting" / "channels.yaml"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def amtool() -> str:
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is not installed (apt-get install prometheus-alertmanager)")
    return program


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """As the command writes it."""
    (tmp_path / "channels.yaml").write_text(FILE)
    done = CliRunner().invoke(
        main, ["alerts", "alertmanager", "--channels", str(tmp_path / "channels.yaml")]
    )
    assert done.exit_code == 0, done.output
    file = tmp_path / "alertmanager.yml"
    file.write_text(done.stdout)
    return file


def test_the_tool_finds_nothing_wrong(amtool: str, config: Path) -> None:
    done = subprocess.run([amtool, "check-config", str(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_hours_over_midnight_are_an_evening_and_a_morning(config: Path) -> None:
    evening, morning = intervals(config)["route-6"]
    assert evening["times"] == [{"start_time": "18:00", "end_time": "24:00"}]
    assert (evening["weekdays"], morning["weekdays"]) == (["friday"], ["saturday"])
    assert morning["times"] == [{"start_time": "00:00", "end_time": "06:00"}]
    assert evening["location"] == morning["location"] == "Europe/Berlin"


def intervals(config: Path) -> dict[str, list[dict[str, Any]]]:
    found = yaml.safe_load(config.read_text())["time_intervals"]
    return {each["name"]: each["time_intervals"] for each in found}


def test_calendars_become_mute_times(config: Path) -> None:
    found = intervals(config)
    berlin = {"location": "Europe/Berlin"}
    assert found["holidays"] == [
        {**berlin, "days_of_month": ["25:25"], "months": ["12"]},
        {**berlin, "days_of_month": ["30:31"], "months": ["12"], "years": ["2024"]},
        {**berlin, "days_of_month": ["1:2"], "months": ["1"], "years": ["2025"]},
    ]
    noon = [{"start_time": "12:00", "end_time": "13:00"}]
    assert found["summer"] == [
        {"times": noon, "location": "UTC", "months": ["7", "8"]},
        {"location": "UTC", "weekdays": ["sunday"]},
    ]
    duty = yaml.safe_load(config.read_text())["route"]["routes"][3]
    assert duty["mute_time_intervals"] == ["holidays", "summer"]


@pytest.mark.parametrize("what", ["days: [fri], months: [dec]", "dates: [12-24]"])
def test_a_morning_after_a_date_is_refused(what: str, tmp_path: Path) -> None:
    file = tmp_path / "channels.yaml"
    file.write_text(
        f"channels: {{a: {{kind: slack}}}}\ntimes: {{n: {{hours: '22:00-06:00', {what}}}}}"
    )
    done = CliRunner().invoke(main, ["alerts", "alertmanager", "--channels", str(file)])
    assert done.exit_code == 2 and "Alertmanager has no words for the morning after" in done.stderr


def test_the_file_of_the_repository_becomes_a_whole_configuration(
    amtool: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(main, ["alerts", "alertmanager", "--channels", str(EXAMPLE)])
    assert done.exit_code == 0, done.output
    file = tmp_path / "alertmanager.yml"
    file.write_text(done.stdout)
    told = subprocess.run([amtool, "check-config", str(file)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    content = yaml.safe_load(done.stdout)
    kinds = {kind for each in content["receivers"] for kind in each if kind != "name"}
    assert kinds == {"slack_configs", "pagerduty_configs", "email_configs", "webhook_configs"}
    assert content["inhibit_rules"] and content["time_intervals"]


LABELS = [
    {"user": "svc-7", "severity": "low", "signature": "hour"},
    {"user": "svc-7", "severity": "high", "signature": "hour"},
    {"user": "ann", "severity": "low", "peer": "board (upper1)", "signature": "hour"},
    {"user": "ann", "severity": "low", "peer": "board", "signature": "hour"},
    {"user": "ann", "severity": "critical", "signature": "count:logon"},
    {"user": "ann", "severity": "medium", "signature": "count:logon"},
    {"user": "cleo", "severity": "low", "signature": "hour"},
    {"user": "ann", "severity": "low", "signature": "hour", "peer": "crew 2"},
]


@pytest.mark.parametrize("labels", LABELS)
def test_both_send_an_alert_the_same_way(
    amtool: str, config: Path, labels: dict[str, str], tmp_path: Path
) -> None:
    """At noon on a Wednesday; the tool does not look at hours, so their route is left out."""
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["route"]["routes"] = content["route"]["routes"][:5]
    config.write_text(yaml.safe_dump(content))
    routing = read_channels(tmp_path / "channels.yaml").routing
    names = (labels["user"], labels["signature"], labels["severity"], "open")
    message = routing.placed(
        AlertMessage("", "", "", *names, 0, 1, NOON, NOON, "", (), labels.get("peer"))
    )
    known = {"account": message.account, "team": message.team}
    labels = labels | {name: value for name, value in known.items() if value is not None}
    words = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={config}", *words],
        capture_output=True,
        text=True,
    )
    found = set(done.stdout.strip().replace(",", "+").split("+"))
    ours = set(routing.way(message, NOON).channels) - {"manager"}
    assert found == (ours or {"nobody"})
