"""Traces of real commands, taken by a real receiver of OTLP: from a job to what people are told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "data" / "bundles" / "format_3"
CALLER = "0af7651916cd43dd8448eb211c80319c"
TOKEN = "a-token-of-more-than-32-characters"
PATIENCE_S = 90.0


@dataclass
class Receiver:
    """Where spans go."""

    endpoint: str
    printed: Path
    words: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "RISKML_SERVE_TOKEN": TOKEN,
            "RISKML_LOG_FORMAT": "json",
            "HOOK_KEY": "secret",
        }

    def riskml(self, *words: object) -> str:
        """Runs it; gives its standard error."""
        command = [sys.executable, "-m", "riskml.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment())
        assert done.returncode == 0, done.stderr
        return done.stderr

    def spans(self, *awaited: str) -> list[dict[str, Any]]:
        """All that came, once those with these names are among them."""
        until = time.monotonic() + PATIENCE_S
        while True:
            lines = [line for line in self.printed.read_text().splitlines() if line[:1] == "{"]
            found = [json.loads(line) for line in lines]
            if set(awaited) <= {each["name"] for each in found}:
                return found
            assert time.monotonic() < until, f"only {sorted({each['name'] for each in found})}"
            time.sleep(0.1)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    printed = tmp_path / "spans"
    with printed.open("wb") as out:
        command = [sys.executable, "-u", "-m", "oteltap", "--port", str(port)]
        process = subprocess.Popen(command, stdout=out)
    try:
        until = time.monotonic() + PATIENCE_S
        while "Listening" not in printed.read_text():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        yield Receiver(f"http://127.0.0.1:{port}", printed)
    finally:
        process.kill()
        process.wait()


@contextmanager
def hook() -> Iterator[tuple[str, list[Any]]]:
    """An end that is told of alerts: its address, and headers and content of what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), json.loads(content)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/in", got
    server.shutdown()
    server.server_close()


def test_an_alert_is_followed_from_the_log_to_people(receiver: Receiver, tmp_path: Path) -> None:
    scores, log = f"sqlite:///{tmp_path}/scores.db", f"sqlite:///{tmp_path}/alerts.db"
    channels = tmp_path / "channels.yaml"
    with hook() as (url, got):
        channels.write_text(
            f"channels: {{hook: {{kind: webhook, url: '{url}', secret: HOOK_KEY}}}}"
        )
        source = OLD / "events.parquet"
        receiver.riskml("score", "--bundle", OLD / "bundle", "--source", source, "--out", scores)
        receiver.riskml("alerts", "init", "--log", log)
        receiver.riskml("alerts", "take", "--from", scores, "--log", log)
        receiver.riskml("alerts", "deliver", "--channels", channels, "--log", log)
        spans = receiver.spans("riskml score", "riskml alerts take", "deliver", "POST")
    by_id = {each["spanId"]: each for each in spans}
    roots = {each["name"]: each for each in spans if each["name"].startswith("riskml ")}
    steps = [each for each in spans if each["parentSpanId"] == roots["riskml score"]["spanId"]]
    assert {"load", "features", "score", "alert", "keep"} <= {each["name"] for each in steps}
    first = next(each for each in spans if each["name"] == "deliver")
    [link] = first["links"]
    assert link["traceId"] == roots["riskml alerts take"]["traceId"]
    posts = [each for each in spans if each["name"] == "POST"]
    assert {by_id[each["parentSpanId"]]["name"] for each in posts} == {"deliver"}
    headers, content = got[0]
    assert content["alerts"][0]["traceparent"].split("-")[1] == link["traceId"]
    assert headers["traceparent"].split("-")[1] == first["traceId"]


def test_a_request_is_a_span_of_its_caller_and_an_exemplar(receiver: Receiver) -> None:
    words = ["serve", "--bundle", str(OLD / "bundle"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "riskml.cli", "--log-level", "info", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=receiver.environment(),
    )
    try:
        assert process.stderr is not None
        first = next(line for line in process.stderr if " at http://" in line)
        url = json.loads(first)["message"].rpartition(" ")[2]
        headers = {"Authorization": f"Bearer {TOKEN}", "traceparent": f"00-{CALLER}-{'b' * 16}-01"}
        assert requests.get(f"{url}/v1/model", headers=headers).ok
        wanted = {**headers, "Accept": "application/openmetrics-text"}
        told = requests.get(f"{url}/metrics", headers=wanted)
        assert told.headers["content-type"].startswith("application/openmetrics-text")
        assert '# {span_id="' in told.text and f'trace_id="{CALLER}"' in told.text
        assert "# {" not in requests.get(f"{url}/metrics", headers=headers).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    spans = [each for each in receiver.spans("GET /v1/model") if each["kind"] == 2]
    assert {each["traceId"] for each in spans} == {CALLER}


def test_a_receiver_that_is_away_changes_nothing(tmp_path: Path) -> None:
    away = Receiver("http://127.0.0.1:9", tmp_path / "none")
    words = ["--bundle", OLD / "bundle", "--source", OLD / "events.parquet", "--json"]
    told = away.riskml("score", *words, "--out", tmp_path / "scores")
    assert "WARNING" in told.upper()
