"""The command lines of the Kubernetes manifest, run one after the other as a cluster would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy" / "k8s" / "k8s_anomaly_manifest.yaml"
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"

OBJECTS = {
    (found["kind"], found["metadata"]["name"]): found
    for found in yaml.safe_load_all(MANIFEST.read_text())
}


def command(container: dict[str, Any], config: Path) -> list[str]:
    words = [*container["command"], *container.get("args", [])]
    places = {"/bundles/current": str(OLD / "bundle"), "/etc/riskml": str(config)}
    for there, here in places.items():
        words = [word.replace(there, here) for word in words]
    return words


def test_a_night_from_scores_to_slack(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    for name, text in OBJECTS["ConfigMap", "riskml"]["data"].items():
        (config / name).write_text(text)
    heard: list[str] = []

    class Slack(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Slack)
    store, log = (f"sqlite:///{tmp_path / name}" for name in ("risk.db", "alerts.db"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RISKML_SCORE_SOURCE": str(OLD / "events.parquet"),
        "RISKML_SCORE_OUT": store,
        "RISKML_ALERTS_FROM": store,
        "RISKML_ALERTS_URL": log,
        "RISKML_SLACK_URL": f"http://127.0.0.1:{server.server_port}/hook",
        "RISKML_METRICS": OBJECTS["ConfigMap", "riskml"]["data"]["RISKML_METRICS"],
    }
    job = OBJECTS["CronJob", "riskml-score"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    told = []
    for container in [*job["initContainers"], *job["containers"]]:
        done = subprocess.run(
            command(container, config),
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    score, _, take = told
    assert json.loads(score)["champion"]["alerts"] == json.loads(take)["new"] > 0

    pod = OBJECTS["Deployment", "riskml-deliver"]["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    with server:
        process = subprocess.Popen(command(worker, config), env=environment, cwd=tmp_path)
        try:
            server.timeout = 60
            server.handle_request()
            assert heard and "text" in json.loads(heard[0])
        finally:
            process.send_signal(signal.SIGTERM)
        while process.poll() is None:  # it may be at its next message
            server.timeout = 0.2
            server.handle_request()
        assert process.returncode == 0
