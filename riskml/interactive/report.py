"""Detectors judged on the windows of a log, beside each other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from riskml.core.arguments import check_arguments
from riskml.core.cards import card, table
from riskml.core.errors import ConfigError, did_you_mean, require
from riskml.evaluation.checks.findings import OK, gathered
from riskml.evaluation.comparison import About, Comparison, Fold, Row, rows_of
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.evaluation.explained import SHOWN_ALERTS, events_behind, explain_alerts
from riskml.evaluation.measures.intervals import with_intervals
from riskml.evaluation.outputs import alerts_table
from riskml.interactive.alerts import Alerts
from riskml.interactive.leaving import write_bundle
from riskml.interactive.windows import LogWindows, check_detectors, check_user, check_windows
from riskml.models.base import Detector
from riskml.scoring.explain import Explainer
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import DailyBudget, Threshold

if TYPE_CHECKING:
    from riskml.evaluation.reporting.plots import Drawing

MAIN = "average_precision"
COLUMNS = {
    MAIN: "average precision",
    "roc_auc": "ROC-AUC",
    "precision_at_budget": "precision",
    "recall_at_budget": "recall",
}
"""Header of each column, by its metric."""


@dataclass(frozen=True, repr=False)
class Report:
    """What `riskml.evaluate` found.

    Args:
        comparison: all numbers, the detector in focus first.
        detectors: by name, fitted.
        windows: that they were judged on.
        explainer: usual ranges of each user.
        alerts: of the detector in focus, riskiest first.
    """

    comparison: Comparison
    detectors: Mapping[str, Detector]
    windows: LogWindows
    explainer: Explainer
    alerts: Alerts

    @property
    def name(self) -> str:
        """Of the detector in focus."""
        return self.comparison.focus.name

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Of the detector in focus, by the names of docs/outputs.md."""
        return self.comparison.focus.metrics

    @property
    def scores(self) -> pl.DataFrame:
        """Test windows with score, p_value, risk and alert by the detector in focus."""
        return self._evaluation.scores

    @property
    def _evaluation(self) -> Evaluation:
        return self.comparison.focus.evaluations[0]

    @property
    def table(self) -> pl.DataFrame:
        """A row a detector: its metrics, with low and high end of the 95 % intervals."""
        rows = []
        for row in self.comparison.rows:
            ends = {
                f"{name}_{end}": getattr(interval, end)
                for name, interval in row.intervals.items()
                for end in ("low", "high")
            }
            rows.append({"detector": row.name, **row.metrics, **ends})
        return pl.DataFrame(rows, infer_schema_length=None)

    # ---- shown to people

    def show(self) -> None:
        """Show it: as a page part in a notebook, as tables on a terminal."""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is not None and shell.has_trait("kernel"):
            page = import_module("IPython.display")
            pictures = "".join(drawing._repr_html_() for drawing in self.drawings.values())
            page.display(page.HTML(self._repr_html_() + pictures))
            return
        from rich.console import Console

        from riskml.evaluation.reporting.printed import print_alerts, print_findings, print_table

        console = Console()
        print_table(console, self.comparison)
        print_findings(console, self.comparison)
        print_alerts(console, self.alerts.frame, len(self.alerts))

    def __repr__(self) -> str:
        others = len(self.comparison.rows) - 1
        beside = f" beside {others} more" if others else ""
        found = self.metrics.get(MAIN)
        score = "truth not known" if found is None else f"average precision {found:.3f}"
        return f"Report({self.name}{beside}; {score}; {len(self.alerts)} alerts)"

    def _repr_html_(self) -> str:
        focus = self.comparison.focus
        numbers = self._evaluation.metrics
        facts = {
            "test windows": f"{int(numbers['test_windows'] or 0):,}",
            "budget": self.comparison.about.budget,
            "alerts": f"{len(self.alerts):,}",
        }
        known = focus.metrics.get(MAIN) is not None
        if known:
            facts["risky in truth"] = f"{int(numbers['positive_windows'] or 0):,}"
        for finding in self.comparison.findings:
            if finding.verdict != OK:
                facts[f"{finding.verdict} {finding.trap}"] = finding.text
        columns = ("detector", COLUMNS[MAIN], "95 %", *list(COLUMNS.values())[1:])
        ranked = sorted(self.comparison.rows, key=lambda row: -(row.metrics.get(MAIN) or 0))
        rows = table(columns, map(_cells, ranked)) if known else ""
        return card(f"Report: {focus.name} on {self.comparison.about.data}", facts, rows)

    # ---- pictures

    @cached_property
    def drawings(self) -> Mapping[str, Drawing]:
        """Pictures by name: precision_recall, recall_by_budget, risk_over_time and more."""
        from riskml.evaluation.reporting.plots import draw
        from riskml.evaluation.reporting.view import View

        return draw(self.comparison, View(self.comparison).by_day)

    def plot(self, name: str = "recall_by_budget") -> Drawing:
        """One of the pictures.

        Raises:
            ConfigError: there is no such picture; those of the truth need labels.
        """
        if name not in self.drawings:
            raise ConfigError(f"no picture '{name}': {did_you_mean(name, self.drawings)}")
        return self.drawings[name]

    def plot_user(self, user_id: str) -> Drawing:
        """One user's timeline: hours, events, and the risk of each test window.

        Raises:
            DataError: there is no such user.
        """
        from riskml.interactive.pictures import timeline

        check_user(user_id, self.windows.log)
        zone = self.windows.extractor.time_zone
        return timeline(self.windows.log.events, zone, self.windows.keys(), user_id, self.scores)

    # ---- written

    def save(self, folder: Path | str) -> Path:
        """Write report.html, report.md and the pictures.

        Returns:
            The HTML file.
        """
        from riskml.evaluation.reporting.report import write_report

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return write_report(folder, self.comparison)[0]

    def export(self, folder: Path | str) -> Path:
        """Write the bundle of the detector in focus: all that `riskml score` needs.

        It knows the whole log, and goes on from its end.

        Raises:
            BundleError: the detector cannot be exported.
        """
        detector = self.detectors[self.name]
        return write_bundle(
            Path(folder), self.comparison, detector, self._evaluation, self.explainer, self.windows
        )


def evaluate(
    detectors: Detector | Mapping[str, Detector],
    windows: LogWindows,
    alerts_per_day: float = 5.0,
    threshold: Threshold | None = None,
    scoring: ScoringSettings | None = None,
    resamples: int = 2_000,
) -> Report:
    """Judge detectors on the test period; those that are not fitted yet are fitted first.

    Args:
        detectors: one, or several by name, the one in focus first.
        windows: of `riskml.extract`.
        alerts_per_day: how many windows people can look at.
        threshold: another rule for alerts in place of the daily budget.
        scoring: how scores are read.
        resamples: of users, for the 95 % intervals.

    Raises:
        DataError: a detector cannot be used on these windows.
        ConfigError: a setting is wrong.
    """
    check_windows(windows, "evaluate")
    check_arguments(evaluate, {"alerts_per_day": alerts_per_day, "resamples": resamples})
    fits = threshold is None or hasattr(threshold, "start")
    require("threshold", threshold, fits, "must be a rule of riskml.scoring.thresholds")
    fits = scoring is None or isinstance(scoring, ScoringSettings)
    require("scoring", scoring, fits, "must be riskml.scoring.settings.ScoringSettings")
    if isinstance(detectors, Detector):
        detectors = {type(detectors).__name__: detectors}
    if not isinstance(detectors, Mapping):
        example = "{'mine': riskml.NeighboursDetector()}"
        kind = type(detectors).__name__
        raise ConfigError(f"detectors are one, or several by name: {example}, not {kind}")
    check_detectors(detectors.values())
    require("detectors", list(detectors), len(detectors) > 0, "must name at least one")
    rule = threshold or DailyBudget(alerts_per_day, adapt=True)
    scoring = scoring or ScoringSettings()
    prepared = windows.prepared
    evaluations = []
    for name, detector in detectors.items():
        seconds = None
        if not hasattr(detector, "spec_"):
            begin = time.perf_counter()
            detector.fit(windows.train, windows.calibration)
            seconds = time.perf_counter() - begin
        evaluations.append(evaluate_detector(name, detector, prepared, rule, seconds, scoring))
    focus = evaluations[0]
    explainer = Explainer.fit(
        windows.train, windows.extractor.vocabulary.counts, scoring.learning_windows
    )
    reasons = explain_alerts(focus, detectors[focus.name], explainer, prepared)
    alerts = Alerts(alerts_table(focus, reasons), reasons, windows)
    shown = alerts.frame.head(SHOWN_ALERTS)
    fold = pl.lit(0, pl.Int64).alias("fold")
    comparison = Comparison(
        _about(detectors, windows, rule),
        (Fold.of(0, prepared),),
        with_intervals(rows_of(evaluations), resamples),
        alerts.frame.with_columns(fold),
        events_behind(shown, windows.log.dataset, windows.extractor).with_columns(fold),
        # what was found of the data comes with each detector
        findings=gathered([(0, each.findings) for each in evaluations]),
    )
    return Report(comparison, dict(detectors), windows, explainer, alerts)


def _about(detectors: Mapping[str, Detector], windows: LogWindows, rule: Threshold) -> About:
    settings: dict[str, Any] = {name: each.settings() for name, each in detectors.items()}
    focus = next(iter(detectors))
    return About(
        data=windows.log.name,
        budget=rule.describe(),
        seed=0,
        data_fingerprint=windows.log.dataset.fingerprint,
        config_fingerprint=sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        created=datetime.now(UTC),
        features=len(windows.train.spec),
        unknown_action_rate=windows.prepared.unknown_action_rate,
        window=windows.extractor.window.kind,
        rule=rule,
        time_zone=windows.extractor.time_zone,
        settings={f"model.{name}": str(value) for name, value in settings[focus].items()},
    )


def _cells(row: Row) -> tuple[str, ...]:
    interval = row.intervals.get(MAIN)
    between = "–" if interval is None else f"{interval.low:.3f}–{interval.high:.3f}"
    numbers = [_number(row.metrics.get(name)) for name in COLUMNS]
    return (row.name, numbers[0], between, *numbers[1:])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
