"""Metrics: few series whatever comes, names by Prometheus' rules, values as they were given."""

from __future__ import annotations

import logging
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from exported import names, series, texts
from prometheus_client import CollectorRegistry

from riskml.export.bundle import load_bundle
from riskml.monitoring.metrics_exporter import (
    LiveMetrics,
    LogCounter,
    ScoreQuantiles,
)
from riskml.serving.metering import RunMetering
from riskml.serving.standing import Standing
from riskml.streaming.metering import Metering
from riskml.streaming.scorer import ROWS

MOST_SERIES = 300
ROOT = Path(__file__).parents[3]
BUNDLE = ROOT / "tests" / "data" / "bundles" / "format_3" / "bundle"
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


def told(users: int, raised: bool = False) -> pl.DataFrame:
    """Rows of a stream, one a user."""
    now = datetime.now(UTC)
    columns: dict[str, object] = {
        "window_id": [f"w{i}" for i in range(users)],
        "user_id": [f"canary{i}" for i in range(users)],
        "peer": [f"peer{i}" for i in range(users)],
        "window_end": now - timedelta(seconds=20),
        "score": np.arange(users, dtype=np.float64),
        "p_value": np.linspace(0, 1, users),
        "alert": raised,
        "open": False,
        "raised": "final" if raised else None,
        "raised_at": now + timedelta(seconds=1) if raised else None,
        "revision": 1,
    }
    frame = pl.DataFrame(columns)
    missing = [pl.lit(None, kind).alias(n) for n, kind in ROWS.items() if n not in frame.columns]
    return frame.with_columns(missing).cast({n: ROWS[n] for n in ROWS})


def test_100000_users_give_at_most_300_series() -> None:
    bundle = load_bundle(BUNDLE)
    stream, run = Metering(), RunMetering(bundle)
    rows = told(100_000, raised=True)
    stream.write(rows)
    run.told(rows, Standing.of(bundle))
    for metrics in (stream.metrics, run.metrics):
        assert value(metrics.registry, "riskml_score_count") == 100_000
        text = "\n".join(series(metrics.text().decode()))
        assert len(text.splitlines()) <= MOST_SERIES
        assert "canary" not in text and "peer" not in text
    assert sum(len(series(text)) for text in texts().values()) <= MOST_SERIES


def test_names_follow_the_rules_of_prometheus() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    for name, text in texts().items():
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True
        )
        said = [line for line in done.stderr.splitlines() if line.startswith("riskml_")]
        assert (done.returncode, said) == (0, []), f"{name}: {done.stderr}"


def test_the_document_names_the_metrics() -> None:
    cells = re.findall(r"^\| (`riskml_[^|]+)\|", DOCUMENT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", "".join(cells))) == names()


def test_quantiles_are_of_the_last_scores() -> None:
    quantiles = ScoreQuantiles(room=100)
    quantiles.add(np.full(1_000, 5.0))
    for start in range(0, 100, 30):
        quantiles.add(np.arange(start, min(start + 30, 100), dtype=np.float32))
    [family] = quantiles.collect()
    found = {s.labels.get("quantile", s.name): s.value for s in family.samples}
    assert found["0.5"] == pytest.approx(49.5)
    assert found["riskml_score_count"] == 1_100
    assert found["riskml_score_sum"] == pytest.approx(5_000 + 4_950)


def test_without_a_score_there_is_no_quantile() -> None:
    [family] = ScoreQuantiles().collect()
    assert [s.name for s in family.samples] == ["riskml_score_count", "riskml_score_sum"]


def test_what_is_not_known_is_no_number() -> None:
    assert math.isnan(value(LiveMetrics("stream").registry, "riskml_watermark_timestamp_seconds"))


def test_an_alert_that_is_told_again_waited_once() -> None:
    metering = Metering()
    rows = told(3, raised=True)
    for _ in range(2):
        metering.write(rows)
    registry = metering.metrics.registry
    assert value(registry, "riskml_detection_latency_seconds_count") == 3
    assert value(registry, "riskml_detection_latency_seconds_bucket", le="10.0") == 0
    assert value(registry, "riskml_detection_latency_seconds_bucket", le="60.0") == 3


@pytest.fixture
def counted() -> Iterator[LiveMetrics]:
    metrics = LiveMetrics("stream")
    handler = LogCounter(metrics)
    logging.getLogger().addHandler(handler)
    yield metrics
    logging.getLogger().removeHandler(handler)


def test_warnings_and_errors_are_counted_by_their_place(counted: LiveMetrics) -> None:
    for name in ("riskml.streaming.kafka", "riskml.streaming.job", "sqlalchemy.pool"):
        logging.getLogger(name).warning("away")
        logging.getLogger(name).debug("not counted")
    logging.getLogger("riskml.serving.http.batching").error("failed")
    labels = {"level": "warning", "module": "streaming"}
    assert value(counted.registry, "riskml_log_messages_total", **labels) == 2
    labels = {"level": "warning", "module": "other"}
    assert value(counted.registry, "riskml_log_messages_total", **labels) == 1
    labels = {"level": "error", "module": "serving"}
    assert value(counted.registry, "riskml_log_messages_total", **labels) == 1
