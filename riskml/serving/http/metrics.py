"""What Prometheus reads of the service, beside what it reads of every process that scores."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from riskml.monitoring.metrics_exporter import LATE, REPEATED, SCORED, LiveMetrics
from riskml.serving.http.answers import Answer
from riskml.serving.http.model import Model

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

LOADED, REFUSED, UNCHANGED = "loaded", "refused", "unchanged"


class Metrics(LiveMetrics):
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        super().__init__("serve")
        self.requests = self.counter(
            "riskml_http_requests_total", "Requests answered.", "method", "route", "status"
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
        self.reloads = self.counter(
            "riskml_reloads_total", "Reloads of the bundle, by result.", "result"
        )
        for result in (LOADED, REFUSED, UNCHANGED):
            self.reloads.labels(result)

    def show_model(self, model: Model) -> None:
        """The model that answers from now on."""
        self.show(model.bundle, model.version, model.loaded)

    def answered(self, answer: Answer) -> None:
        """A request for scores was answered."""
        seen = answer.seen
        self.scored(seen.scores, seen.p_values, answer.alerts)
        self.count(
            {SCORED: seen.events, LATE: seen.late, REPEATED: seen.repeated},
            seen.actions - seen.unknown_actions,
            seen.unknown_actions,
        )
        self.succeeded()
