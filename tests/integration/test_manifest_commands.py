"""Command lines of the Kubernetes manifest, run as a cluster would, but for the container.

Where the machine lets them they run as in a pod: nothing may be written but one folder, no
capabilities, and none to be had.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from broker import running_broker
from sqlalchemy import inspect, text
from stream_log import logins, send

from riskml.data.database import open_engine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy" / "k8s" / "k8s_anomaly_manifest.yaml"
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
OBJECTS = {
    (found["kind"], found["metadata"]["name"]): found
    for found in yaml.safe_load_all(MANIFEST.read_text())
}
CONFINE = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" &&
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
COUNT, WAIT_S = 500, 60


@cache
def confinement() -> tuple[str, ...]:
    """Begin of a command line after which its first word is the folder that may be written."""
    words = ("unshare", "--mount", "sh", "-ec", CONFINE)
    try:
        done = subprocess.run([*words, "/tmp", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return words if done.returncode == 0 else ()


def command(container: dict[str, Any], folder: Path) -> list[str]:
    """Of a container, with places of this machine for those in the pod."""
    words = [*container["command"], *container.get("args", [])]
    places = {
        "/bundles/current": OLD / "bundle",
        "/etc/riskml": folder / "config",
        "/run/secrets/riskml": folder / "secrets",
        "/reports": folder / "reports",
    }
    for there, here in places.items():
        words = [word.replace(there, str(here)) for word in words]
    return [*confinement(), str(folder), *words] if confinement() else words


def environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RISKML")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "TMPDIR": str(folder), "HOME": str(folder), **variables}


def told(url: str) -> int:
    """Events in all windows that the stream has told."""
    engine = open_engine(url)
    if not inspect(engine).has_table("riskml_scores"):
        return 0
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT coalesce(sum(n_events), 0) FROM riskml_scores")
            ).scalar_one()
        )


def asked(url: str, **headers: str) -> int:
    return requests.get(url, headers=headers, timeout=5).status_code


def wait_for(process: subprocess.Popen[bytes], probe: dict[str, Any], base: str) -> None:
    """Until a probe of the manifest is content."""
    ends = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None and time.monotonic() < ends
        try:
            assert asked(base + probe["httpGet"]["path"]) == 200
            return
        except requests.ConnectionError:
            time.sleep(0.1)


def pod_of(job: str) -> dict[str, Any]:
    spec: dict[str, Any] = OBJECTS["CronJob", job]["spec"]["jobTemplate"]["spec"]["template"][
        "spec"
    ]
    return spec


def run(pod: dict[str, Any], folder: Path, variables: dict[str, str]) -> list[str]:
    """Containers of a job, one after the other; gives what each says."""
    said = []
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        words = command(container, folder)
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    return said


def test_a_night_from_scores_to_slack(tmp_path: Path) -> None:
    settings = OBJECTS["ConfigMap", "riskml"]["data"]
    (tmp_path / "config").mkdir()
    for name in ("rules.yaml", "channels.yaml"):
        (tmp_path / "config" / name).write_text(settings[name])
    heard: list[str] = []

    class Slack(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Slack) as server:
        store, log = (f"sqlite:///{tmp_path / name}" for name in ("risk.db", "alerts.db"))
        variables = environment(
            tmp_path,
            RISKML_SCORE_SOURCE=str(OLD / "events.parquet"),
            RISKML_SCORE_OUT=store,
            RISKML_ALERTS_FROM=store,
            RISKML_ALERTS_URL=log,
            RISKML_SLACK_URL=f"http://127.0.0.1:{server.server_port}/hook",
            RISKML_METRICS=settings["RISKML_METRICS"],
        )
        score, _, take = run(pod_of("riskml-score"), tmp_path, variables)
        assert json.loads(score)["champion"]["alerts"] == json.loads(take)["new"] > 0

        pod = OBJECTS["Deployment", "riskml-deliver"]["spec"]["template"]["spec"]
        (worker,) = pod["containers"]
        process = subprocess.Popen(command(worker, tmp_path), env=variables)
        try:
            server.timeout = WAIT_S
            server.handle_request()
            assert heard and "text" in json.loads(heard[0])
        finally:
            process.send_signal(signal.SIGTERM)
        server.timeout = 0.2
        while process.poll() is None:  # it may be at its next message
            server.handle_request()
        assert process.returncode == 0


def test_a_week_ends_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    rules = OBJECTS["ConfigMap", "riskml"]["data"]["rules.yaml"]
    (tmp_path / "config" / "rules.yaml").write_text(rules)
    (tmp_path / "reports").mkdir()
    store = f"sqlite:///{tmp_path / 'risk.db'}"
    variables = environment(
        tmp_path,
        RISKML_SCORE_SOURCE=str(OLD / "events.parquet"),
        RISKML_SCORE_OUT=store,
        RISKML_ALERTS_FROM=store,
        RISKML_ALERTS_URL=store,
    )
    run(pod_of("riskml-score"), tmp_path, variables)
    run(pod_of("riskml-report"), tmp_path, variables)
    made = sorted(path.suffix for path in (tmp_path / "reports").iterdir())
    assert made == [".html", ".pdf"]


def test_the_service_starts_is_asked_and_ends(tmp_path: Path) -> None:
    token = "t" * 32
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "serve-tokens").write_text(token)
    pod = OBJECTS["Deployment", "riskml-serve"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = [word.replace("=8080", f"={port}") for word in command(container, tmp_path)]
    words = [word.replace("0.0.0.0", "127.0.0.1") for word in words]
    process = subprocess.Popen(words, env=environment(tmp_path))

    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, container["startupProbe"], base)
        assert asked(base + container["livenessProbe"]["httpGet"]["path"]) == 200
        assert asked(base + container["readinessProbe"]["httpGet"]["path"]) == 200
        assert asked(f"{base}/metrics") == 401
        assert asked(f"{base}/metrics", Authorization=f"Bearer {token}") == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(pod["terminationGracePeriodSeconds"]) == 0


def test_the_stream_takes_part_tells_and_ends(tmp_path: Path, redis_url: str) -> None:
    pod = OBJECTS["StatefulSet", "riskml-stream"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    sink = f"sqlite:///{tmp_path / 'risk.db'}"
    with running_broker(tmp_path / "broker") as broker:
        broker.topic("logins")
        broker.topic("logins.dlq")
        send(broker, logins(COUNT))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        places = {"kafka.example:9092": broker.servers, "0.0.0.0": "127.0.0.1", "9180": str(port)}
        words = command(container, tmp_path)
        for there, here in places.items():
            words = [word.replace(there, here) for word in words]
        variables = environment(
            tmp_path,
            RISKML_STREAM_INSTANCE="riskml-stream-0",
            RISKML_STREAM_SINK=sink,
            RISKML_STREAM_STATE=redis_url,
        )
        process = subprocess.Popen(words, env=variables)
        try:
            wait_for(process, container["startupProbe"], f"http://127.0.0.1:{port}")
            ends = time.monotonic() + WAIT_S
            while told(sink) < COUNT:
                assert process.poll() is None and time.monotonic() < ends
                time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(pod["terminationGracePeriodSeconds"]) == 0
