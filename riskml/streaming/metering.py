"""What a stream tells Prometheus: a sink that is told of rows, and a watcher of its counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from riskml.monitoring.metrics_exporter import (
    FUTURE,
    LATE,
    REJECTED,
    REPEATED,
    SCORED,
    LiveMetrics,
)
from riskml.serving.standing import version_of
from riskml.streaming.counts import Counts
from riskml.streaming.job import StreamJob
from riskml.streaming.scorer import WITHDRAWN

COMMAND = "stream"


@dataclass
class Metering:
    """Measures a stream; as the last of its sinks, so that the others were told before.

    Args:
        metrics: that are kept.
    """

    metrics: LiveMetrics = field(default_factory=lambda: LiveMetrics(COMMAND))

    def __post_init__(self) -> None:
        self._seen, self._raised = Counts(), datetime.now(UTC)
        self._early = self.metrics.counter(
            "riskml_alerts_early_total", "Alerts on windows that could still grow."
        )
        self._withdrawn = self.metrics.counter(
            "riskml_alerts_withdrawn_total", "Early alerts that the whole window did not bear out."
        )

    def begin(self, job: StreamJob) -> None:
        """Show the model of a job that begins."""
        self.metrics.show(job.bundle, version_of(job.bundle.manifest), datetime.now(UTC))

    # ---- a sink

    def write(self, rows: pl.DataFrame) -> None:
        """Look at scores of closed windows, and how long alerts took that are new."""
        closed = rows.filter(~pl.col("open"))
        scores, p_values = closed["score"].to_numpy(), closed["p_value"].to_numpy()
        self.metrics.scored(scores, p_values, int(closed["alert"].sum()))
        # an alert keeps the time at which it was raised: one that is told again is no new one
        new = rows.filter(pl.col("raised") != WITHDRAWN, pl.col("raised_at") > self._raised)
        if len(new):
            self.metrics.waited(new.select(pl.coalesce("arrived_at", "window_end")).to_series())
            self._raised = new.select(pl.col("raised_at").max()).item()

    def settle(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    # ---- a watcher

    def kept(self, job: StreamJob) -> None:
        """Count what came since the last checkpoint."""
        done = job.done
        new, self._seen = done - self._seen, done
        outcomes = {
            SCORED: new.events,
            REPEATED: new.repeated,
            LATE: new.late,
            FUTURE: new.ahead,
            REJECTED: new.poison,
        }
        self.metrics.count(outcomes, new.events - new.unknown, new.unknown)
        self._early.inc(new.early)
        self._withdrawn.inc(new.withdrawn)
        self.metrics.stands(job.watermark)
        self.metrics.known.set(job.size)
        self.metrics.succeeded()
