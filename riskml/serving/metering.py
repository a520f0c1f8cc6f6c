"""What a scoring job leaves for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from riskml.export.bundle import Bundle
from riskml.monitoring.metrics_exporter import (
    LATE,
    REJECTED,
    REPEATED,
    SCORED,
    RunMetrics,
    profile_bytes,
)
from riskml.serving.standing import Standing, version_of
from riskml.serving.summary import Summary

COMMAND = "score"


@dataclass
class RunMetering:
    """Measures a run of the champion.

    Args:
        bundle: that scores.
        metrics: that are left.
    """

    bundle: Bundle
    metrics: RunMetrics = field(default_factory=lambda: RunMetrics(COMMAND))

    def __post_init__(self) -> None:
        self.metrics.show(self.bundle, version_of(self.bundle.manifest), datetime.now(UTC))

    def told(self, rows: pl.DataFrame, standing: Standing) -> None:
        """Look at a batch that was kept."""
        days = rows["window_end"].dt.date().unique()
        self.metrics.scored(rows["score"].to_numpy(), rows["p_value"].to_numpy(), days)
        self.metrics.waited(rows.filter("alert")["window_end"])
        profile = standing.bundle.profile
        self.metrics.stands(profile.watermark)
        self.metrics.known.set(profile_bytes(profile))

    def done(self, summary: Summary) -> None:
        """The run is over and all is kept."""
        outcomes = {
            SCORED: summary.events_new,
            REPEATED: summary.events_duplicate,
            LATE: summary.events_late,
            REJECTED: summary.events_rejected,
        }
        came, unknown = summary.events_new + summary.events_late, summary.unknown_actions
        self.metrics.ran(
            outcomes,
            came - unknown,
            unknown,
            summary.windows_closed,
            summary.alerts,
            summary.seconds,
        )
        self.metrics.succeeded()
