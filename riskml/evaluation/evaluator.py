"""Fits what needs fitting, scores, calibrates, and measures: one row of the table a detector."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import PEER, FloatArray
from riskml.evaluation.folds import over_folds
from riskml.evaluation.metrics import Metrics
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.alerting import Alerting
from riskml.scoring.calibration import Calibration
from riskml.scoring.newcomers import is_learning, window_counts
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import Threshold


@dataclass(frozen=True)
class Evaluation:
    """One detector on one data set.

    Args:
        name: of the detector, as in `model=`.
        scores: test windows in order of start, with score, p_value, risk, alert, known_windows
            (of the user in the train period), learning (the user is new), and label and incidents
            where the truth is known.
        calibration: score → risk.
        alerting: what decides about the windows after these.
        metrics: stable names, see docs/outputs.md.
        note: what a reader has to know to compare the scores; may be empty.
        fold: of the backtest; 0 where there is one.
        seed: of the detector.
        incidents: see `PreparedWindows`.
        normal_weight: how many normal windows a normal test window stands for.
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
) -> Evaluation:
    """Score calibration and test windows of a fitted detector and measure.

    Args:
        name: for tables and files.
        detector: fitted.
        windows: by period.
        rule: how many alerts there may be; it starts from the calibration period, sees no labels.
        fit_seconds: how long fitting took, where it is known.
        settings: how scores are read; as they come unless given.

    Raises:
        DataError: a score is not finite.
    """
    settings = settings or ScoringSettings()
    before, keys = windows.calibration.keys, windows.test.keys
    calibration_scores = detector.score(windows.calibration)
    start = time.perf_counter()
    scores = detector.score_after(windows.before_test, windows.test)
    score_seconds = time.perf_counter() - start
    _check_finite(name, keys, scores)
    calibration = settings.calibrate(calibration_scores, before[PEER])
    alerting = rule.start(calibration.evidence(calibration_scores, before[PEER]), before)
    evidence = calibration.evidence(scores, keys[PEER])
    alerts, alerting = alerting.decide(evidence, keys)
    known = window_counts(windows.train.keys)
    table = keys.with_columns(
        pl.Series("score", scores),
        pl.Series("p_value", calibration.p_value(scores, keys[PEER])),
        pl.Series("risk", calibration.risk(scores, keys[PEER])),
        pl.Series("alert", alerts),
        pl.col("user_id")
        .replace_strict(known, default=0, return_dtype=pl.Int64)
        .alias("known_windows"),
        pl.Series("learning", is_learning(keys["user_id"], known, settings.learning_windows)),
        pl.Series("within_budget", rule.top(evidence, keys)),
    )
    if windows.test_truth is not None:
        table = table.with_columns(windows.test_truth["label"], windows.test_truth["incidents"])
    metrics = measure(table, windows.normal_weight, rule.promised(keys), windows.incidents) | {
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "threshold": alerting.threshold,
    }
    return Evaluation(
        name,
        table,
        calibration,
        alerting,
        metrics,
        detector.note(),
        incidents=windows.incidents,
        normal_weight=windows.normal_weight,
    )


def measure(
    table: pl.DataFrame,
    normal_weight: float = 1.0,
    promised: float | None = None,
    incidents: pl.DataFrame | None = None,
    prevalence: float | None = None,
) -> Metrics:
    """All metrics of a table of scores, see `riskml.evaluation.folds.over_folds`.

    Args:
        table: see `Evaluation`.
        normal_weight: how many normal windows each normal one stands for.
        promised: how many alerts the rule was to give, where it promises a number.
        incidents: see `PreparedWindows`.
        prevalence: the share of risky windows that `average_precision_at_prevalence` is for.
    """
    return over_folds([table], normal_weight, promised, incidents, prevalence)


def _check_finite(name: str, keys: pl.DataFrame, scores: FloatArray) -> None:
    odd = pl.Series(scores).is_finite().not_().arg_true()
    if len(odd):
        raise DataError(
            f"{name} gave a score that is no finite number for {len(odd)} windows, "
            f"first '{keys['window_id'][odd[0]]}'"
        )
