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
routes:
  - {users: ["svc-*"], severities: [low, medium], to: []}
  - {to: [siem], proceed: true}
  - {peers: ["board (upper?)"], to: [mail, desk]}
  - {signatures: ["count:*"], severities: [high, critical], to: [duty]}
  - {hours: "18:00-06:00", days: [fri], time_zone: Europe/Berlin, to: [duty]}
"""
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
    [interval] = yaml.safe_load(config.read_text())["time_intervals"]
    evening, morning = interval["time_intervals"]
    assert evening["times"] == [{"start_time": "18:00", "end_time": "24:00"}]
    assert (evening["weekdays"], morning["weekdays"]) == (["friday"], ["saturday"])
    assert morning["times"] == [{"start_time": "00:00", "end_time": "06:00"}]
    assert evening["location"] == morning["location"] == "Europe/Berlin"


LABELS = [
    {"user": "svc-7", "severity": "low", "signature": "hour"},
    {"user": "svc-7", "severity": "high", "signature": "hour"},
    {"user": "ann", "severity": "low", "peer": "board (upper1)", "signature": "hour"},
    {"user": "ann", "severity": "low", "peer": "board", "signature": "hour"},
    {"user": "ann", "severity": "critical", "signature": "count:logon"},
    {"user": "ann", "severity": "medium", "signature": "count:logon"},
]


@pytest.mark.parametrize("labels", LABELS)
def test_both_send_an_alert_the_same_way(
    amtool: str, config: Path, labels: dict[str, str], tmp_path: Path
) -> None:
    """At noon on a Wednesday; the tool does not look at hours, so their route is left out."""
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["route"]["routes"] = content["route"]["routes"][:4]
    config.write_text(yaml.safe_dump(content))
    words = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={config}", *words],
        capture_output=True,
        text=True,
    )
    found = set(done.stdout.strip().replace(",", "+").split("+"))
    routing = read_channels(tmp_path / "channels.yaml").routing
    names = (labels["user"], labels["signature"], labels["severity"], "open")
    message = AlertMessage("", "", "", *names, 0, 1, NOON, NOON, "", (), labels.get("peer"))
    ours = set(routing.way(message, NOON).channels) - {"manager"}
    assert found == (ours or {"nobody"})
