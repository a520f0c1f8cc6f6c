"""Fits what needs fitting, scores, calibrates, and measures: one row of the table a detector."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl

from riskml.core.errors import require
from riskml.core.types import PEER
from riskml.evaluation.checks.audit import checked_scores
from riskml.evaluation.checks.auditor import DEEP, LEVELS, OFF, STANDARD, Auditor, Shown
from riskml.evaluation.checks.findings import WARNING, Finding, refusal
from riskml.evaluation.checks.rule_checks import Evidence, rule_findings
from riskml.evaluation.measures.folds import over_folds
from riskml.evaluation.metrics import Metrics
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.alerting import Alerting
from riskml.scoring.calibration import Calibration
from riskml.scoring.newcomers import is_learning, window_counts
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import Threshold

KEPT = (
    "test_windows",
    "positive_windows",
    "prevalence",
    "incidents",
    "fit_seconds",
    "score_seconds",
)
"""Numbers that say nothing about how well a refused detector does."""


@dataclass(frozen=True)
class Evaluation:
    """One detector on one data set.

    Args:
        name: of the detector, as in `model=`.
        scores: test windows in order of start, with score, p_value, risk, alert, known_windows
            (of the user in the train period), learning (the user is new), and label and incidents
            where the truth is known and the detector is not refused.
        calibration: score → risk.
        alerting: what decides about the windows after these.
        metrics: stable names, see docs/outputs.md.
        note: what a reader has to know to compare the scores; may be empty.
        fold: of the backtest; 0 where there is one.
        seed: of the detector.
        incidents: see `PreparedWindows`.
        normal_weight: how many normal windows a normal test window stands for.
        findings: of the checks against fooling oneself.
    """

    name: str
    scores: pl.DataFrame
    calibration: Calibration
    alerting: Alerting
    metrics: Metrics
    note: str = ""
    fold: int = 0
    seed: int = 0
    incidents: pl.DataFrame | None = None
    normal_weight: float = 1.0
    findings: tuple[Finding, ...] = ()

    @property
    def refused(self) -> str:
        """Why the measures are withheld; empty where they are not."""
        return refusal(self.findings)

    @property
    def threshold(self) -> float:
        """The score from which on a window is an alert, after the last of these windows."""
        return self.alerting.threshold


def evaluate_detector(
    name: str,
    detector: Detector,
    windows: PreparedWindows,
    rule: Threshold,
    fit_seconds: float | None = None,
    settings: ScoringSettings | None = None,
    audit: str = STANDARD,
) -> Evaluation:
    """Score calibration and test windows of a fitted detector, look for what misleads, and measure.

    Detector and rule are shown copies of the windows, without any truth. Where a check refuses,
    the measures are withheld (None); `Evaluation.refused` says why.

    Args:
        name: for tables and files.
        detector: fitted.
        windows: by period.
        rule: how many alerts there may be; it starts from the calibration period, sees no labels.
        fit_seconds: how long fitting took, where it is known.
        settings: how scores are read; as they come unless given.
        audit: `standard`; `deep` fits again as well; `off` leaves a warning. See docs/traps.md.

    Raises:
        DataError: a score is not finite, or the truth does not fit the windows.
        ConfigError: there is no such audit.
    """
    require("audit", audit, audit in LEVELS, f"must be one of {', '.join(LEVELS)}")
    settings = settings or ScoringSettings()
    shown = Shown.of(windows)
    auditor = None if audit == OFF else Auditor(name, detector, windows, shown, audit == DEEP)
    before, keys = shown.calibration.keys, shown.test.keys
    calibration_scores = checked_scores(name, detector.score(shown.calibration), shown.calibration)
    start = time.perf_counter()
    scores = detector.score_after(shown.past, shown.test)
    score_seconds = time.perf_counter() - start
    scores = checked_scores(name, scores, shown.test)
    calibration = settings.calibrate(calibration_scores, before[PEER])
    known_evidence = calibration.evidence(calibration_scores, before[PEER])
    evidence = calibration.evidence(scores, keys[PEER])
    alerts, alerting = rule.start(known_evidence, before).decide(evidence, keys)
    top = rule.top(evidence, keys)
    known = window_counts(windows.train.keys)
    table = windows.test.keys.with_columns(
        pl.Series("score", scores),
        pl.Series("p_value", calibration.p_value(scores, keys[PEER])),
        pl.Series("risk", calibration.risk(scores, keys[PEER])),
        pl.Series("alert", alerts),
        pl.col("user_id")
        .replace_strict(known, default=0, return_dtype=pl.Int64)
        .alias("known_windows"),
        pl.Series("learning", is_learning(keys["user_id"], known, settings.learning_windows)),
        pl.Series("within_budget", top),
    )
    if windows.test_truth is not None:
        table = table.with_columns(windows.test_truth["label"], windows.test_truth["incidents"])
    metrics = measure(table, windows.normal_weight, rule.promised(keys), windows.incidents) | {
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "threshold": alerting.threshold,
    }
    findings = [Finding("audit", WARNING, "not audited (audit=off)", name)]
    if auditor is not None:
        shown_rule = Evidence(before, keys, known_evidence, evidence)
        rules = rule_findings(name, rule, shown_rule, alerts, top)
        findings = [*auditor.findings(scores), *rules]
        metrics |= auditor.without_duplicates(scores)
    if refusal(findings):
        table = table.drop("label", "incidents", strict=False)
        metrics = {each: metrics[each] if each in KEPT else None for each in metrics}
    return Evaluation(
        name,
        table,
        calibration,
        alerting,
        metrics,
        detector.note(),
        incidents=windows.incidents,
        normal_weight=windows.normal_weight,
        findings=tuple(findings),
    )


def measure(
    table: pl.DataFrame,
    normal_weight: float = 1.0,
    promised: float | None = None,
    incidents: pl.DataFrame | None = None,
    prevalence: float | None = None,
) -> Metrics:
    """All metrics of a table of scores, see `riskml.evaluation.measures.folds.over_folds`.

    Args:
        table: see `Evaluation`.
        normal_weight: how many normal windows each normal one stands for.
        promised: how many alerts the rule was to give, where it promises a number.
        incidents: see `PreparedWindows`.
        prevalence: the share of risky windows that `average_precision_at_prevalence` is for.
    """
    return over_folds([table], normal_weight, promised, incidents, prevalence)
