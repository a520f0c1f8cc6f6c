"""What commands log as JSON, read by a real log shipper; and no canary is in any of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "data" / "bundles" / "format_3"
CANARY = "canary-8f3a9c1e"
PATIENCE_S = 90.0
SECRETS = {
    "RISKML_SERVE_TOKEN": f"{CANARY}-token-of-more-than-32-characters",
    "RISKML_GRAFANA_TOKEN": f"{CANARY}-grafana",
}
RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" pollingInterval="1")
module(load="mmjsonparse")
template(name="parsed" type="string" string="%parsesuccess% %$!all-json%\\n")
ruleset(name="riskml") {{
  action(type="mmjsonparse" cookie="")
  action(type="omfile" file="{folder}/parsed" template="parsed")
}}
input(type="imfile" file="{folder}/riskml.log" tag="riskml" ruleset="riskml" addMetadata="off")
"""


def environment() -> dict[str, str]:
    return os.environ | SECRETS | {"RISKML_LOG_FORMAT": "json"}


def riskml(*words: object) -> str:
    """Runs it; gives its standard error."""
    command = [sys.executable, "-m", "riskml.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment()).stderr


def of_service() -> str:
    """The log of a service that was asked, at the level of its accesses."""
    words = ["serve", "--bundle", str(OLD / "bundle"), "--port", "0"]
    levels = "info,riskml.serving.http.access=debug"
    process = subprocess.Popen(
        [sys.executable, "-m", "riskml.cli", "--log-level", levels, *words],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        first = next(line for line in process.stderr if " at http://" in line)
        url = json.loads(first)["message"].rpartition(" ")[2]
        headers = {
            "Authorization": f"Bearer {SECRETS['RISKML_SERVE_TOKEN']}",
            "X-Request-Id": "asked-once",
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        }
        row = {"user_id": CANARY, "timestamp": "no time", "action": CANARY}
        asked = requests.post(f"{url}/v1/events?user={CANARY}", json=[row], headers=headers)
        assert (asked.status_code, asked.headers["x-request-id"]) == (422, "asked-once")
        process.send_signal(signal.SIGTERM)
        return first + process.stderr.read()
    finally:
        process.kill()
        process.wait()


def of_jobs(folder: Path) -> str:
    """What jobs say that are given what is wrong, with canaries in all of it."""
    log = folder / "log.csv"
    row = f"e1,{CANARY},2024-02-01 10:00:00,{CANARY}@example.com"
    log.write_text(f"event_id,user_id,timestamp,action\n{row}\n")
    away = f"postgresql+psycopg://risk:{CANARY}@127.0.0.1:9/db"
    score = ("score", "--bundle", OLD / "bundle")
    alerts = ("alerts", "list", "--log", away)
    broken = f'{{"user_id": "{CANARY}", "timestamp": "{CANARY}"}}\n'
    lines = folder / "lines.jsonl"
    lines.write_text(broken * 3)
    stream = ("stream", "--bundle", OLD / "bundle", "--source", f"file://{lines}")
    return "".join(
        riskml(*words)
        for words in (
            (*score, "--source", log, "--out", folder / "s", "--timestamp-format", "%d.%m.%Y"),
            (*score, "--source", away, "--out", folder / "s"),
            alerts,
            (*stream, "--state", folder / "state"),
            ("dashboards", "publish", "--grafana", f"http://kim:{CANARY}@127.0.0.1:9"),
        )
    )


def shipped(folder: Path, log: str) -> list[dict[str, Any]]:
    """The records as rsyslog has understood them."""
    (folder / "riskml.log").write_text(log)
    config = folder / "rsyslog.conf"
    config.write_text(RSYSLOG.format(folder=folder))
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    command = [program, "-n", "-f", str(config), "-i", str(folder / "pid")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    parsed, count = folder / "parsed", len(log.splitlines())
    try:
        end = time.monotonic() + PATIENCE_S
        while not parsed.exists() or len(parsed.read_text().splitlines()) < count:
            assert time.monotonic() < end and process.poll() is None, process.returncode
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    found = []
    for line in parsed.read_text().splitlines():
        success, _, record = line.partition(" ")
        assert success == "OK", line
        found.append(json.loads(record))
    return found


def test_a_shipper_reads_every_line_and_no_canary_is_in_it(tmp_path: Path) -> None:
    if not (shutil.which("rsyslogd") or Path("/usr/sbin/rsyslogd").exists()):
        pytest.skip("rsyslogd is not installed (apt-get install rsyslog)")
    log = of_service() + of_jobs(tmp_path)
    assert CANARY not in log
    found = shipped(tmp_path, log)
    assert found == [json.loads(line) for line in log.splitlines()]
    assert {record["labels"]["command"] for record in found} == {
        "serve",
        "score",
        "alerts",
        "stream",
        "dashboards",
    }
    [access] = [each for each in found if "http" in each]
    assert access["http"]["request"] == {"id": "asked-once", "method": "POST"}
    assert access["http"]["response"] == {"status_code": 422}
    assert access["url"] == {"path": "/v1/events"} and access["trace"]["id"] == "a" * 32
    errors = [each["message"] for each in found if each["log.level"] == "error"]
    assert len(errors) >= 4 and all(message.startswith("error: ") for message in errors)
