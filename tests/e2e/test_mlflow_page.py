"""Two evaluations on MLflow's own page, in a real browser.

Skipped where there is no Chromium: `apt-get install chromium`, or name one in RISKML_CHROMIUM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import environment, read_json, run_all, tracked

pytestmark = pytest.mark.slow

# its job queues are seven more processes, for what the page does not show
SERVER = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
FIRST, SECOND = "evaluate vae on csv", "evaluate window_length on csv"
PATIENCE = 120_000
"""Milliseconds; the page asks its server many things."""


@pytest.fixture(scope="module")
def outputs(browser: object, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two evaluations of the trained run's data, in folders `a` and `b`."""
    folder = tmp_path_factory.mktemp("page")
    store = (
        f"paths.outputs={trained}",
        f"logger.tracking_uri=sqlite:///{folder}/mlflow.db",
        f"logger.artifact_location={folder}/files",
    )
    evaluations = {
        "a": ["baselines=[random,window_length]"],
        "b": ["model=window_length", "baselines=[random]"],
    }
    results = run_all(
        {
            name: ["evaluate.py", *store, f"hydra.run.dir={folder}/{name}/run", *words]
            for name, words in evaluations.items()
        },
        folder,
    )
    for result in results.values():
        assert result["code"] == 0, result["err"][-2000:]
        assert "/runs?workflowType=machine_learning" in result["out"]
    return folder


@pytest.fixture(scope="module")
def page(outputs: Path, browser: object) -> Iterator[Any]:
    """A page of the browser, and the server that it looks at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{outputs}/mlflow.db"]
    with (outputs / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "ui", *store, "--port", str(port), "--workers", "1"],
            cwd=outputs,
            env=environment() | SERVER,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, server, outputs / "server.log")
        opened = browser.new_page(viewport={"width": 1600, "height": 1000})  # type: ignore[attr-defined]
        opened.set_default_timeout(PATIENCE)
        opened.goto(address, wait_until="commit")
        yield opened
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"the server does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def runs(outputs: Path) -> dict[str, Any]:
    """The evaluations by their names."""
    found = tracked(outputs)
    return {run.info.run_name: run for run in found if run.info.run_name in (FIRST, SECOND)}


def test_runs_are_nested_and_name_their_data(
    page: Any, outputs: Path, runs: dict[str, Any]
) -> None:
    experiment = runs[FIRST].info.experiment_id
    server = page.url.split("#")[0].rstrip("/")
    page.goto(f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning")
    page.get_by_role("link", name=FIRST).wait_for()
    page.get_by_role("link", name=SECOND).wait_for()
    names = page.locator("a[href*='/runs/']")
    assert page.get_by_role("link", name="random", exact=True).count() == 0, "inside, not shown"
    digest = read_json(outputs / "a" / "run" / "metrics.json")["about"]["data_fingerprint"][:12]
    page.get_by_text(f"csv ({digest})").first.wait_for()
    closed = page.locator("button[data-component-id*='runnamecellrenderer']")
    assert closed.count() == 2
    closed.last.click()
    page.get_by_role("link", name="random", exact=True).wait_for()
    inside = [
        name for name in names.all_inner_texts() if name in ("vae", "random", "window_length")
    ]
    assert inside[0] == "vae", "the focus is on top"
    assert sorted(inside) == ["random", "vae", "window_length"]


def test_two_evaluations_side_by_side(page: Any, outputs: Path, runs: dict[str, Any]) -> None:
    ids = [runs[name].info.run_id for name in (FIRST, SECOND)]
    experiment = runs[FIRST].info.experiment_id
    server = page.url.split("#")[0].rstrip("/")
    page.goto(
        f"{server}/#/compare-runs?runs={json.dumps(ids)}&experiments={json.dumps([experiment])}"
    )
    page.get_by_text("Comparing 2 Runs").wait_for()
    page.get_by_text("data_fingerprint", exact=True).wait_for()
    page.get_by_text("test/average_precision", exact=True).first.wait_for()
    text = page.inner_text("body")
    fingerprint = read_json(outputs / "a" / "run" / "metrics.json")["about"]["data_fingerprint"]
    assert text.count(fingerprint) == 2
    assert FIRST in text and SECOND in text
    for folder in ("a", "b"):
        measured = read_json(outputs / folder / "run" / "metrics.json")["metrics"]
        assert f"{measured['average_precision']:.3f}".rstrip("0") in text
