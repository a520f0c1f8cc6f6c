"""What Prometheus reads; no label ever names a user."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from riskml.serving.http.model import Model

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

disable_created_metrics()  # type: ignore[no-untyped-call]

LOADED, REFUSED, UNCHANGED = "loaded", "refused", "unchanged"


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "riskml_http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "riskml_http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "riskml_batch_windows",
            "Windows that were scored together.",
            buckets=BATCHES,
            registry=self.registry,
        )
        self.queue = Gauge(
            "riskml_queue_requests", "Requests that wait for scores.", registry=self.registry
        )
        self.windows = Counter(
            "riskml_windows_scored_total", "Windows that were scored.", registry=self.registry
        )
        self.alerts = Counter(
            "riskml_alerts_total", "Windows that were alerts.", registry=self.registry
        )
        self.reloads = Counter(
            "riskml_reloads_total",
            "Reloads of the bundle, by result.",
            ["result"],
            registry=self.registry,
        )
        for result in (LOADED, REFUSED, UNCHANGED):
            self.reloads.labels(result)
        self.model = Gauge(
            "riskml_model_info",
            "The model that answers, as labels.",
            ["version", "detector"],
            registry=self.registry,
        )
        self.created = Gauge(
            "riskml_bundle_created_timestamp_seconds",
            "When the bundle was exported, in Unix time.",
            registry=self.registry,
        )
        self.loaded = Gauge(
            "riskml_bundle_loaded_timestamp_seconds",
            "When the bundle was loaded, in Unix time.",
            registry=self.registry,
        )

    def show(self, model: Model) -> None:
        """The model that answers from now on."""
        manifest = model.bundle.manifest
        self.model.clear()
        self.model.labels(model.version, str(manifest.get("detector", ""))).set(1)
        self.loaded.set(model.loaded.timestamp())
        if "created" in manifest:
            self.created.set(datetime.fromisoformat(str(manifest["created"])).timestamp())

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
