"""Detectors side by side: each over all folds and seeds, the one in focus first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from riskml.core.schema import time_span
from riskml.evaluation.checks.findings import Finding as Finding
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.measures.bootstrap import Difference as Difference
from riskml.evaluation.measures.bootstrap import Interval as Interval
from riskml.evaluation.measures.folds import PER_FOLD, mean_of_defined, over_folds
from riskml.evaluation.metrics import Metrics
from riskml.features.preparation import PreparedWindows
from riskml.scoring.thresholds import Threshold, days


@dataclass(frozen=True)
class Row:
    """One detector of the table.

    Args:
        evaluations: by fold, then by seed.
        metrics: over all of them, see docs/outputs.md.
        intervals: by metric.
        lead: by metric, how far the detector in focus is above this one; empty for itself.
    """

    evaluations: tuple[Evaluation, ...]
    metrics: Metrics
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    lead: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the detector, as in `model=`."""
        return self.evaluations[0].name

    @property
    def note(self) -> str:
        """Footnote of the table; may be empty."""
        return self.evaluations[0].note

    @property
    def seeds(self) -> list[int]:
        """That it was fitted with."""
        return sorted({evaluation.seed for evaluation in self.evaluations})


@dataclass(frozen=True)
class Fold:
    """Periods of one fold as they came out: start, end and number of windows of each."""

    number: int
    train: tuple[datetime, datetime, int]
    calibration: tuple[datetime, datetime, int]
    test: tuple[datetime, datetime, int]

    @classmethod
    def of(cls, number: int, windows: PreparedWindows) -> Fold:
        """What these windows cover."""
        parts = (windows.train, windows.calibration, windows.test)
        spans = [(*time_span(part.keys["start"], part.keys["end"]), len(part)) for part in parts]
        return cls(number, *spans)


@dataclass(frozen=True)
class About:
    """What was evaluated, for whoever reads the numbers later.

    Args:
        data: name of the data set.
        budget: of alerts, in words.
        seed: of the run.
        data_fingerprint: SHA-256 of events and truth.
        config_fingerprint: SHA-256 of the resolved settings, without paths.
        created: UTC.
        command: that makes it again; may be empty.
        features: number of them.
        unknown_action_rate: share of test events whose action was not seen in training.
        window: kind of the windows (user_day, session, block); may be empty.
        rule: that has the budget, where it is known.
        time_zone: clock of users whose own zone is not in the log.
        settings: of the detector in focus, the features and the rest that made it, by name.
    """

    data: str
    budget: str
    seed: int
    data_fingerprint: str
    config_fingerprint: str
    created: datetime
    command: str = ""
    features: int = 0
    unknown_action_rate: float = 0.0
    window: str = ""
    rule: Threshold | None = None
    time_zone: str = "UTC"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All of an evaluation: what metrics.json, table, report and MLflow are made from.

    Args:
        about: what was evaluated.
        folds: of the backtest; one where there was a single split.
        rows: the detector in focus first, then in the order they were asked for.
        alerts: of the detector in focus over all folds, riskiest first, with `reasons`.
        events: raw events behind the first alerts, with `window_id`, in order of time.
        refused: detectors that these windows do not suit, with the reason.
        findings: of the checks against fooling oneself.
    """

    about: About
    folds: tuple[Fold, ...]
    rows: tuple[Row, ...]
    alerts: pl.DataFrame
    events: pl.DataFrame
    refused: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def focus(self) -> Row:
        """The detector in focus."""
        return self.rows[0]

    def origin(self, windows: PreparedWindows) -> dict[str, Any]:
        """What the manifest of the bundle of the detector in focus says of its training.

        Args:
            windows: that it was fitted on.
        """
        first, last = time_span(windows.train.keys["start"], windows.train.keys["end"])
        found: dict[str, Any] = {
            "detector": self.focus.name,
            "data": self.about.data,
            "train_from": first.isoformat(),
            "train_until": last.isoformat(),
            "data_fingerprint": self.about.data_fingerprint,
            "config_fingerprint": self.about.config_fingerprint,
        }
        keys, rule = windows.calibration.keys, self.about.rule
        promised = None if rule is None else rule.promised(keys)
        if promised is not None:
            found["alerts_per_day"] = promised / days(keys)
        return found


def rows_of(evaluations: Sequence[Evaluation]) -> tuple[Row, ...]:
    """One row a detector, in the order in which they first come."""
    names = dict.fromkeys(evaluation.name for evaluation in evaluations)
    rows = []
    for name in names:
        own = [evaluation for evaluation in evaluations if evaluation.name == name]
        own.sort(key=lambda evaluation: (evaluation.fold, evaluation.seed))
        rows.append(Row(tuple(own), overall_metrics(own)))
    return tuple(rows)


def overall_metrics(evaluations: Sequence[Evaluation]) -> Metrics:
    """Metrics of one detector: of each seed over its folds, then the mean over seeds.

    Seconds are the mean over folds and seeds; a score threshold has no mean over either.
    """
    if len(evaluations) == 1:
        return dict(evaluations[0].metrics)
    by_seed = []
    for seed in sorted({evaluation.seed for evaluation in evaluations}):
        own = [evaluation for evaluation in evaluations if evaluation.seed == seed]
        promises = [evaluation.metrics.get("alerts_promised") for evaluation in own]
        known = [each.incidents for each in own if each.incidents is not None]
        by_seed.append(
            over_folds(
                [evaluation.scores for evaluation in own],
                own[0].normal_weight,
                None if None in promises else sum(filter(None, promises)),
                pl.concat(known).unique("incident_id", maintain_order=True) if known else None,
            )
        )
    mean = mean_of_defined([evaluation.metrics for evaluation in evaluations])
    return mean | mean_of_defined(by_seed) | dict.fromkeys((*PER_FOLD, "threshold"))
