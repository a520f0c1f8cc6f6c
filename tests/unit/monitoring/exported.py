"""All metrics that there are, with values, as the tests of this folder look at them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from riskml.monitoring.command_metrics import (
    AlertLogCounts,
    OutboxCounts,
    alert_log_registry,
    drift_registry,
    failure_registry,
    outbox_registry,
)
from riskml.monitoring.metrics_exporter import SCORED, RunMetrics
from riskml.serving.http.metrics import Metrics
from riskml.streaming.metering import Metering

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SEVERITIES = ("low", "medium", "high", "critical")
STATES = ("open", "acknowledged", "resolved", "false_alarm", "accepted_risk")


def registries() -> dict[str, CollectorRegistry]:
    """By command, as each exports them."""
    scores, p_values = np.arange(5.0), np.full(5, 0.005)
    service, stream, run = Metrics(), Metering().metrics, RunMetrics("score")
    for live in (service, stream):
        live.count({SCORED: 5}, 4, 1)
        live.scored(scores, p_values, 2)
        live.logs.labels("warning", "streaming").inc()
        live.waited([NOON])
        live.succeeded()
    service.requests.labels("POST", "/v1/events", "200").inc()
    service.seconds.labels("/v1/events").observe(0.01)
    run.scored(scores, p_values, [date(2024, 5, 1), date(2024, 5, 2)])
    run.ran({SCORED: 5}, 4, 1, 5, 2, 1.5)
    run.succeeded()
    alerts = {(severity, state): 1 for severity in SEVERITIES for state in STATES}
    outbox = OutboxCounts({"desk": 1}, NOON, {"desk": 2}, {"desk": 0})
    return {
        "serve": service.registry,
        "stream": stream.registry,
        "score": run.registry,
        "score failed": failure_registry("score", OSError("no room")),
        "drift": drift_registry({"volume.events": 0.3}, 1, 1),
        "alerts take": alert_log_registry(AlertLogCounts(alerts, {("quiet", "no"): 3})),
        "alerts deliver": outbox_registry(outbox),
    }


def texts() -> dict[str, str]:
    """The same in Prometheus' text format."""
    return {name: generate_latest(each).decode() for name, each in registries().items()}


def names() -> set[str]:
    """Of all metrics of ours."""
    found = "".join(texts().values())
    return set(re.findall(r"^# TYPE (riskml_\w+)", found, re.MULTILINE))


def series(text: str) -> list[str]:
    """Of ours; the process's own stand beside them."""
    return [line for line in text.splitlines() if line.startswith("riskml_")]
