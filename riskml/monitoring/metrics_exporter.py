"""What Prometheus reads of whatever scores; no label ever names a user.

A process that lives (service, stream) has counters, from which Prometheus makes rates. A job that
ends leaves gauges of its last run: counters that begin anew with each run would add up to nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import SummaryMetricFamily
from prometheus_client.registry import Collector

from riskml.export.bundle import Bundle
from riskml.features.profile import Profile
from riskml.monitoring.command_metrics import success_gauge
from riskml.scoring.rolling_budget import RollingBudget

disable_created_metrics()  # type: ignore[no-untyped-call]

SCORED, REPEATED, LATE, FUTURE, REJECTED = "scored", "repeated", "late", "future", "rejected"
OUTCOMES = (SCORED, REPEATED, LATE, FUTURE, REJECTED)
"""What becomes of an event that was read; their sum is all that were read."""

LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400, 172_800)
"""Seconds: a stream's alerts come within some, a nightly job's within a day or two."""

QUANTILES = (0.5, 0.9, 0.99, 0.999)
UNLIKELY = 0.01
"""p-value below which 1 window in 100 lies, as long as the world is that of the calibration."""

MOST_DAYS = 400
"""Days of which a run remembers that windows ended on them."""

DAY_S = 86_400

Floats = npt.NDArray[np.floating[Any]]


class ScoreQuantiles(Collector):
    """Quantiles of the last scores; the client's own summary has none.

    Args:
        room: how many scores are looked back on.
    """

    def __init__(self, room: int = 10_000) -> None:
        self._last = np.full(room, np.nan)
        self._count, self._sum = 0, 0.0

    def add(self, scores: Floats) -> None:
        """Take scores [n], the newest last."""
        room, n = len(self._last), len(scores)
        kept = scores[-room:]
        self._last[(self._count + n - len(kept) + np.arange(len(kept))) % room] = kept
        self._count, self._sum = self._count + n, self._sum + float(scores.sum(dtype=np.float64))

    def collect(self) -> Iterable[SummaryMetricFamily]:
        """The summary as it is now; without scores it has no quantiles."""
        found = SummaryMetricFamily("riskml_score", "Raw scores of windows; quantiles of the last.")
        seen = self._last[~np.isnan(self._last)]
        if len(seen):
            for q, value in zip(QUANTILES, np.quantile(seen, QUANTILES).tolist(), strict=True):
                found.add_sample("riskml_score", {"quantile": f"{q:g}"}, value)
        found.add_metric([], count_value=self._count, sum_value=self._sum)
        yield found


class ModelMetrics:
    """Of whatever scores: which model, what its scores look like, and how fresh they are.

    Args:
        command: that scores; a label of its last success, since a text file has no job.
    """

    def __init__(self, command: str) -> None:
        self.registry = CollectorRegistry()
        self._command = command
        self.model = self.gauge(
            "riskml_model_info", "The model that scores, as labels.", "version", "detector"
        )
        self.created = self.gauge(
            "riskml_bundle_created_timestamp_seconds", "When the bundle was exported, in Unix time."
        )
        self.loaded = self.gauge(
            "riskml_bundle_loaded_timestamp_seconds", "When the bundle was loaded, in Unix time."
        )
        self.trained = self.gauge(
            "riskml_model_trained_until_timestamp_seconds",
            "End of the events that the model was trained on, in Unix time.",
        )
        self.budget = self.gauge(
            "riskml_alert_budget_per_day", "Alerts a day that the threshold was set for."
        )
        self.known = self.gauge(
            "riskml_profile_size_bytes", "Memory that what is known of users takes."
        )
        self.watermark = self.gauge(
            "riskml_watermark_timestamp_seconds",
            "Event time before which windows are closed, in Unix time.",
        )
        self.success = success_gauge(self.registry)
        self.scores = ScoreQuantiles()
        self.registry.register(self.scores)
        self.latency = Histogram(
            "riskml_detection_latency_seconds",
            "From an alert's last event (at the broker where there is one) to its being told.",
            buckets=LATENCIES,
            registry=self.registry,
        )

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge; NaN until it is set, since 0 would be a moment 50 years ago."""
        gauge = Gauge(name, text, labels, registry=self.registry)
        if not labels:
            gauge.set(math.nan)
        return gauge

    def show(self, bundle: Bundle, version: str, loaded: datetime) -> None:
        """The model that scores from now on."""
        manifest = bundle.manifest
        self.model.clear()
        self.model.labels(version, str(manifest.get("detector", ""))).set(1)
        self.loaded.set(loaded.timestamp())
        for gauge, name in ((self.created, "created"), (self.trained, "train_until")):
            if name in manifest:
                gauge.set(datetime.fromisoformat(str(manifest[name])).timestamp())
        promised = alerts_promised(bundle)
        if promised is not None:
            self.budget.set(promised)
        self.known.set(profile_bytes(bundle.profile))

    def waited(self, last_events: Iterable[datetime]) -> None:
        """Alerts were told just now.

        Args:
            last_events: of each, when its last event came.
        """
        now = time.time()
        for moment in last_events:
            self.latency.observe(max(0.0, now - moment.timestamp()))

    def stands(self, watermark: datetime | None) -> None:
        """How far event time has come."""
        if watermark is not None:
            self.watermark.set(watermark.timestamp())

    def succeeded(self) -> None:
        """Work was done and kept just now."""
        self.success.labels(self._command).set_to_current_time()

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class LiveMetrics(ModelMetrics):
    """Of a process that lives: counters since it began."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.events = self.counter("riskml_events_total", "Events that were read.", "outcome")
        for outcome in OUTCOMES:
            self.events.labels(outcome)
        self.actions = self.counter(
            "riskml_actions_total", "Actions, by whether training has seen them.", "known"
        )
        for known in ("yes", "no"):
            self.actions.labels(known)
        self.windows = self.counter("riskml_windows_scored_total", "Windows that were scored.")
        self.unlikely = self.counter(
            "riskml_windows_unlikely_total", f"Windows with a p-value below {UNLIKELY:g}."
        )
        self.alerts = self.counter("riskml_alerts_total", "Windows that were alerts.")
        self.logs = self.counter(
            "riskml_log_messages_total", "Warnings and errors logged.", "level", "module"
        )

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter of this process."""
        return Counter(name, text, labels, registry=self.registry)

    def count(self, outcomes: Mapping[str, int], known: int, unknown: int) -> None:
        """Events came.

        Args:
            outcomes: how many by what became of them.
            known: how many of the scored ones have an action that training has seen.
            unknown: how many do not.
        """
        for outcome, n in outcomes.items():
            self.events.labels(outcome).inc(n)
        self.actions.labels("yes").inc(known)
        self.actions.labels("no").inc(unknown)

    def scored(self, scores: Floats, p_values: Floats, alerts: int) -> None:
        """Windows got their scores [n] and p-values [n]; so many are alerts."""
        self.windows.inc(len(scores))
        self.unlikely.inc(int((p_values < UNLIKELY).sum()))
        self.alerts.inc(alerts)
        self.scores.add(scores)


class RunMetrics(ModelMetrics):
    """Of a job that ends: gauges of its last run.

    Args:
        command: that ran.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self._unlikely = 0
        self._days: set[date] = set()

    def scored(self, scores: Floats, p_values: Floats, days: Iterable[date]) -> None:
        """Windows got their scores [n] and p-values [n], and ended on these days."""
        self._unlikely += int((p_values < UNLIKELY).sum())
        if len(self._days) < MOST_DAYS:
            self._days.update(days)
        self.scores.add(scores)

    def ran(
        self,
        outcomes: Mapping[str, int],
        known: int,
        unknown: int,
        windows: int,
        alerts: int,
        seconds: float,
    ) -> None:
        """The run is over, with its counts."""
        events = self.gauge("riskml_run_events", "Events that the last run read.", "outcome")
        for outcome in OUTCOMES:
            events.labels(outcome).set(outcomes.get(outcome, 0))
        actions = self.gauge(
            "riskml_run_actions",
            "Actions in the last run, by whether training has seen them.",
            "known",
        )
        actions.labels("yes").set(known)
        actions.labels("no").set(unknown)
        for name, text, value in (
            ("windows_scored", "Windows that the last run scored.", windows),
            ("windows_unlikely", f"Of these, p-value below {UNLIKELY:g}.", self._unlikely),
            ("alerts", "Of these, alerts.", alerts),
            ("covered_seconds", "Length of the days on which they end.", DAY_S * len(self._days)),
            ("duration_seconds", "How long the last run took.", seconds),
        ):
            self.gauge(f"riskml_run_{name}", text).set(value)


class LogCounter(logging.Handler):
    """Counts warnings and errors by level and part of riskml; what others log is `other`."""

    def __init__(self, metrics: LiveMetrics) -> None:
        super().__init__(logging.WARNING)
        self._logs = metrics.logs

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        root, _, rest = record.name.partition(".")
        module = rest.partition(".")[0] if root == "riskml" else ""
        level = "warning" if record.levelno < logging.ERROR else "error"
        self._logs.labels(level, module or "other").inc()


def alerts_promised(bundle: Bundle) -> float | None:
    """Alerts a day that the threshold was set for; None: nobody said."""
    if "alerts_per_day" in bundle.manifest:
        return float(bundle.manifest["alerts_per_day"])
    alerting = bundle.alerting
    return alerting.alerts_per_day if isinstance(alerting, RollingBudget) else None


def profile_bytes(profile: Profile) -> int:
    """Memory that a profile takes."""
    return int(sum(table.estimated_size() for table in profile.frames().values()))
