"""What commands that end tell Prometheus: of alert log, outbox and drift, success and failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

MOST_QUANTITIES = 20


@dataclass(frozen=True)
class AlertLogCounts:
    """What an alert log holds.

    Args:
        alerts: by severity and state.
        windows: raised ones, by the rule that decided and whether people are told.
    """

    alerts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    windows: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class OutboxCounts:
    """What delivery has before it.

    Args:
        waiting: messages that a channel has not come to, by channel.
        oldest: when the oldest of these was put into the outbox.
        failures: in a row, by channel.
        refused: messages that a channel will never take.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


def alert_log_registry(counts: AlertLogCounts) -> CollectorRegistry:
    """What `riskml alerts take` exports; gauges, since alerts change their state."""
    registry = CollectorRegistry()
    alerts = Gauge(
        "riskml_logged_alerts",
        "Alerts in the log.",
        ["severity", "state"],
        registry=registry,
    )
    for (severity, state), n in counts.alerts.items():
        alerts.labels(severity, state).set(n)
    windows = Gauge(
        "riskml_logged_windows",
        "Raised windows in the log, by the rule that decided and whether people are told.",
        ["rule", "told"],
        registry=registry,
    )
    for (rule, told), n in counts.windows.items():
        windows.labels(rule, told).set(n)
    success_gauge(registry).labels("alerts_take").set_to_current_time()
    return registry


def outbox_registry(counts: OutboxCounts) -> CollectorRegistry:
    """What `riskml alerts deliver` exports."""
    registry = CollectorRegistry()
    for name, text, by_channel in (
        ("waiting", "Messages that a channel has not come to.", counts.waiting),
        ("failures", "Times in a row that a channel did not answer.", counts.failures),
        ("refused", "Messages that a channel will never take.", counts.refused),
    ):
        gauge = Gauge(f"riskml_outbox_{name}", text, ["channel"], registry=registry)
        for channel, n in by_channel.items():
            gauge.labels(channel).set(n)
    oldest = Gauge(
        "riskml_outbox_oldest_timestamp_seconds",
        "When the oldest message that waits was put by, in Unix time; 0: none waits.",
        registry=registry,
    )
    oldest.set(0 if counts.oldest is None else counts.oldest.timestamp())
    success_gauge(registry).labels("alerts_deliver").set_to_current_time()
    return registry


def drift_registry(shifts: Mapping[str, float], drifting: int, waking: int) -> CollectorRegistry:
    """What `riskml drift` exports.

    Args:
        shifts: population stability index of the last period, by quantity.
        drifting: how many quantities drift in it.
        waking: how many somebody should look at.
    """
    registry = CollectorRegistry()
    index = Gauge(
        "riskml_drift_psi",
        "Population stability index of the last period, of the quantities that moved furthest.",
        ["quantity"],
        registry=registry,
    )
    for quantity in sorted(shifts, key=lambda name: -shifts[name])[:MOST_QUANTITIES]:
        index.labels(quantity).set(shifts[quantity])
    for name, text, value in (
        ("drifting", "Quantities that drift in the last period.", drifting),
        ("waking", "Quantities that somebody should look at.", waking),
    ):
        Gauge(f"riskml_drift_{name}_quantities", text, registry=registry).set(value)
    success_gauge(registry).labels("drift").set_to_current_time()
    return registry


def done_registry(command: str) -> CollectorRegistry:
    """What a job exports that has nothing to tell but that it is done."""
    registry = CollectorRegistry()
    success_gauge(registry).labels(command).set_to_current_time()
    return registry


def failure_registry(command: str, error: BaseException) -> CollectorRegistry:
    """What a job that failed exports; its last success stays as it was."""
    registry = CollectorRegistry()
    gauge = Gauge(
        "riskml_run_failed_timestamp_seconds",
        "When a run failed last, in Unix time, by the kind of error.",
        ["command", "kind"],
        registry=registry,
    )
    gauge.labels(command, type(error).__name__).set_to_current_time()
    return registry


def success_gauge(registry: CollectorRegistry) -> Gauge:
    """When each command was last done."""
    return Gauge(
        "riskml_last_success_timestamp_seconds",
        "When work was last done and kept, in Unix time.",
        ["command"],
        registry=registry,
    )
