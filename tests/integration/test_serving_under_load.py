"""A real `riskml serve` under load from this process: bundles are exchanged, then it is ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from riskml.export.bundle import CALIBRATION, change_threshold, load_bundle, reseal
from riskml.export.manifest import read_manifest
from riskml.serving.http.model import Model
from riskml.serving.http.openapi import window_examples

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
TOKEN = "a-token-of-more-than-32-characters"
CLIENTS = 8


@contextmanager
def served(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process, and its port."""
    command = [sys.executable, "-m", "riskml.cli", "serve", "--bundle", str(bundle), "--port", "0"]
    environment = os.environ | {"RISKML_SERVE_TOKEN": TOKEN}
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if " at http://" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, int(line.rsplit(":", 1)[1])
    finally:
        process.kill()
        process.wait()


@dataclass
class Load:
    """Clients that ask without a pause; half of them keep their connections."""

    port: int
    body: bytes
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    closing: int = 0

    def client(self, keeps: bool) -> None:
        """Ask until told to stop, or nobody listens any more."""
        kept: socket.socket | None = None
        request = (
            f"POST /v1/windows HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body
        while not self.stop.is_set():
            try:
                connection = kept or socket.create_connection(("127.0.0.1", self.port), 30)
            except OSError:
                return  # never accepted
            was_kept, kept = kept is not None, None
            try:
                connection.sendall(request)
                status, close, content = answer(connection)
            except OSError as error:
                self.lost.append(f"{'kept' if was_kept else 'new'} connection: {error!r}")
                continue
            self.answers.append((status, content))
            self.closing += close
            if keeps and not close:
                kept = connection
            else:
                connection.close()

    def run(self) -> list[threading.Thread]:
        """Begin."""
        threads = [threading.Thread(target=self.client, args=(i % 2 == 0,)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads


def answer(connection: socket.socket) -> tuple[int, bool, dict[str, Any]]:
    """Status, whether the connection will be closed, content."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += more(connection)
    head, _, body = found.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += more(connection)
    return int(lines[0].split()[1]), b"connection: close" in lines, json.loads(body)


def more(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("closed without an answer")
    return data


def another(folder: Path, knots: float, threshold: float) -> Path:
    """The bundle with another calibration and threshold."""
    shutil.copytree(BUNDLE, folder)
    manifest = read_manifest(folder)
    state = json.loads((folder / CALIBRATION).read_text())
    state["knots"] = [knot + knots for knot in state["knots"]]
    (folder / CALIBRATION).write_text(json.dumps(state))
    reseal(folder, manifest)
    change_threshold(folder, threshold)
    return folder


def exchange(link: Path, target: Path) -> None:
    draft = link.with_name("draft")
    draft.symlink_to(target)
    draft.replace(link)


def test_bundles_are_exchanged_and_the_end_comes_without_a_lost_request(tmp_path: Path) -> None:
    folders = [another(tmp_path / "a", 0.0, 1e6), another(tmp_path / "b", -1.5, -1e6)]
    broken = Path(shutil.copytree(BUNDLE, tmp_path / "broken"))
    (broken / "model.ts").write_bytes(b"no graph")
    models = [Model.load(folder) for folder in folders]
    windows = window_examples(models[0]) * 5
    link = tmp_path / "current"
    link.symlink_to(folders[0])
    with served(link, "--watch", "0.05") as (process, port):
        load = Load(port, json.dumps(windows).encode())
        threads = load.run()
        wait_for(lambda: len(load.answers) > 0)
        for number, turn in enumerate((1, 0, 1, 0), 1):
            version = models[turn].version
            exchange(link, folders[turn])
            # asked anew: an answer to a client may be an old one that was read late
            wait_for(lambda version=version: answering(port) == version)
            answered = len(load.answers)
            wait_for(lambda answered=answered: len(load.answers) > answered + 2 * CLIENTS)
            exchange(link, broken)
            wait_for(lambda number=number: refused(port) >= number)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        load.stop.set()
        for thread in threads:
            thread.join()
    assert load.lost == []
    assert {status for status, _ in load.answers} == {200}
    assert load.closing > 0, "connections that are kept get their close with an answer"
    expected = {model.version: own_scores(model, windows) for model in models}
    seen = [content["model_version"] for _, content in load.answers]
    assert set(seen) == set(expected)
    for version, rows in {(c["model_version"], json.dumps(c["windows"])) for _, c in load.answers}:
        for row, own in zip(json.loads(rows), expected[version], strict=True):
            assert row["alert"] == own["alert"]
            assert row["p_value"] == pytest.approx(own["p_value"], rel=1e-5)
            assert row["score"] == pytest.approx(own["score"], rel=1e-5)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "too long"
        time.sleep(0.02)


def answering(port: int) -> str:
    """Version of the model that answers now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as found:
        return str(found.headers["X-Model-Version"])


def refused(port: int) -> float:
    """Bundles that the service has refused."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(asked) as found:
        lines = found.read().decode().splitlines()
    name = 'riskml_reloads_total{result="refused"}'
    return float(next(line for line in lines if line.startswith(name)).split()[1])


def own_scores(model: Model, windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the bundle itself scores them."""
    from riskml.serving.http.drafts import draft_of
    from riskml.serving.http.merging import together

    draft = draft_of(json.dumps(windows).encode(), model.spec, 100)
    made = together([draft], model.spec, 256, {})
    bundle = load_bundle(model.folder)
    scores = bundle.score_windows(made)
    p_values = bundle.calibration.p_value(scores, made.keys["peer"])
    alerts, _ = bundle.alerts(scores, made.keys)
    return [
        {"score": float(s), "p_value": float(p), "alert": bool(a)}
        for s, p, a in zip(scores, p_values, alerts, strict=True)
    ]
