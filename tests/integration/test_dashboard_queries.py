"""Every query of the dashboards, asked of a real Prometheus that scrapes all that riskml runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import requests
from click.testing import CliRunner

from riskml.cli import main
from riskml.export.bundle import load_bundle, reseal
from riskml.export.manifest import read_manifest
from riskml.monitoring.drift_reference import FILE, DriftReference
from riskml.monitoring.pages import PAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
RULES = ROOT / "deploy" / "prometheus" / "riskml.rules.yml"
PATIENCE_S = 90.0

Run = Callable[..., None]


def messages() -> list[dict[str, Any]]:
    events = pl.read_parquet(OLD / "events.parquet").sort("timestamp", "event_id")
    return events.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")).to_dicts()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(*words: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of our own, ended in the end."""
    process = subprocess.Popen(list(map(str, words)), text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def told_address(*words: object) -> Iterator[str]:
    """A riskml that runs on; gives the address that it tells, such as 127.0.0.1:8080."""
    command = (sys.executable, "-m", "riskml.cli", *words)
    with running(*command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if " at http://" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield line.rpartition("http://")[2].strip().removesuffix("/metrics")


def riskml(*words: object, code: int = 0) -> None:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@contextlib.contextmanager
def asking(address: str, stop: threading.Event) -> Iterator[None]:
    """Somebody who asks the service again and again."""
    body = orjson.dumps(messages()[:200])
    url, headers = f"http://{address}/v1/events", {"Content-Type": "application/json"}

    def ask() -> None:
        while not stop.wait(0.3):
            assert requests.post(url, body, headers=headers, timeout=30).status_code == 200

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], list[Any]]]:
    """Asks a Prometheus that has seen a stream, a service, a job and an alert log at work."""
    for program in ("prometheus", "prometheus-pushgateway"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {program})")
    log = tmp_path / "log.jsonl"
    log.touch()
    gateway, place = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    stream = ("stream", "--bundle", OLD / "bundle", "--source", f"file://{log}", "--follow")
    stream = (*stream, "--state", tmp_path / "state", "--sink", f"file://{tmp_path}/told.jsonl")
    serve = ("serve", "--bundle", OLD / "bundle", "--port", 0, "--insecure-local")
    shutil.copy(RULES, tmp_path)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        running("prometheus-pushgateway", f"--web.listen-address={gateway}", **quiet),
        told_address(*stream, "--checkpoint", "1s", "--metrics-port", 0) as streaming,
        told_address(*serve, "--open-metrics") as serving,
    ):
        jobs = [("riskml-stream", streaming), ("riskml-serve", serving), ("pushed", gateway)]
        targets = "".join(
            f"  - job_name: {name}\n    honor_labels: true\n"
            f"    static_configs: [{{targets: ['{at}']}}]\n"
            for name, at in jobs
        )
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [riskml.rules.yml]\nscrape_configs:\n{targets}"
        )
        options = (f"--web.listen-address={place}", f"--storage.tsdb.path={tmp_path}/data")
        with running("prometheus", f"--config.file={config}", *options, **quiet):

            def query(expr: str) -> list[Any]:
                try:
                    url = f"http://{place}/api/v1/query"
                    answer = requests.post(url, {"query": expr}, timeout=30)
                except requests.ConnectionError:
                    return []  # it begins
                if answer.status_code == 503:
                    return []  # it listens, and still reads what it has stored
                found = answer.json()
                assert found["status"] == "success", f"{expr}: {found}"
                return list(found["data"]["result"])

            until(lambda: len(query("up == 1")) == 3, "not all is scraped")
            until(lambda: bool(query("riskml_events_total > -1")), "no counter yet")
            # what was counted before the first look makes no rate
            log.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in messages()))
            work(tmp_path, f"http://{gateway}")
            with asking(serving, threading.Event()):
                yield query


def work(folder: Path, gateway: str) -> None:
    """A run of the job, and what it raised into an alert log that cannot tell anybody."""
    metrics, alerts = ("--metrics", gateway), ("--log", f"sqlite:///{folder}/alerts.db")
    source = ("--source", OLD / "events.parquet", "--out", folder / "scores")
    riskml("score", "--bundle", OLD / "bundle", *source, "--until", "2024-02-02", *metrics)
    riskml("alerts", "init", *alerts)
    riskml("alerts", "take", "--from", folder / "scores", *alerts, *metrics)
    drift = ("drift", "--bundle", with_reference(folder / "bundle"), *source[:2], "--least", 20)
    riskml(*drift, "--psi", 9, *metrics)
    channels = folder / "channels.yaml"
    channels.write_text("channels: {siem: {kind: webhook, url: 'http://127.0.0.1:9/in'}}")
    riskml("alerts", "deliver", "--channels", channels, *alerts, *metrics, code=4)


def with_reference(folder: Path) -> Path:
    """The bundle as newer ones are, with what drift is held to."""
    shutil.copytree(OLD / "bundle", folder)
    bundle = load_bundle(folder)
    windows = bundle.extractor.windows(pl.read_parquet(OLD / "events.parquet"))
    many = windows.take(np.repeat(np.arange(len(windows)), 30))  # as of thirty times the users
    reference = DriftReference.of([many], many, bundle.score_windows(many))
    manifest = read_manifest(folder)
    (folder / FILE).write_text(reference.text())
    reseal(folder, manifest)
    return folder


def test_every_query_has_an_answer(prometheus: Callable[[str], list[Any]]) -> None:
    left = {
        query.expr.replace("$__rate_interval", "5s")
        for page in PAGES
        for row in page.rows
        for panel in row.panels
        for query in panel.queries
    }
    assert len(left) > 40
    end = time.monotonic() + PATIENCE_S
    while left:
        left = {expr for expr in left if not prometheus(expr)}
        assert not left or time.monotonic() < end, f"no answer to {sorted(left)}"
        time.sleep(0.5)
    # nobody's name has found its way into any of them
    labels = {
        value for each in prometheus('{__name__=~"riskml.*"}') for value in each["metric"].values()
    }
    users = set(pl.read_parquet(OLD / "events.parquet")["user_id"])
    assert labels and not labels & users
    assert os.fspath(OLD) not in str(labels)
