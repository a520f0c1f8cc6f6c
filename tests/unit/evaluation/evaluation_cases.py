"""Made-up detectors and evaluations for the tests of measuring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from riskml.core.types import FloatArray, Reason, Windows
from riskml.evaluation.checks.auditor import OFF
from riskml.evaluation.comparison import (
    About,
    Comparison,
    Difference,
    Finding,
    Fold,
    Interval,
    Row,
    rows_of,
)
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.evaluation.outputs import alert_rows, alerts_table
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.thresholds import DailyBudget, Threshold

MakeWindows = Callable[..., Windows]

SCORES = np.random.default_rng(0).normal(30, 12, 60).astype(np.float32)
INCIDENTS = {3: ["a"], 4: ["a", "b"], 20: ["c"]}


class GivenScores(Detector):
    """Returns the scores that it was given, by window id."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        pass

    def score(self, windows: Windows) -> FloatArray:
        return np.array([self.scores[name] for name in windows.keys["window_id"]], np.float32)

    def settings(self) -> dict[str, Any]:
        return {}

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


def truth_of(windows: Windows, incidents: dict[int, list[str]]) -> pl.DataFrame:
    """Rows of `incidents` are positive, the others are not."""
    n = len(windows)
    return pl.DataFrame(
        {
            "window_id": windows.keys["window_id"],
            "label": pl.Series([int(i in incidents) for i in range(n)], dtype=pl.Int8),
            "incidents": pl.Series(
                [incidents.get(i, []) for i in range(n)], dtype=pl.List(pl.String)
            ),
        }
    )


def prepared(
    make_windows: MakeWindows,
    incidents: dict[int, list[str]] | None = None,
    n_test: int = 60,
    normal_weight: float = 1.0,
    **settings: Any,
) -> PreparedWindows:
    """Ten windows a day: 4 days of training, 4 of calibration, then the test."""
    test = make_windows(n_test, seed=3, first_day=8, **settings)
    return PreparedWindows(
        make_windows(40, seed=1, **settings),
        make_windows(40, seed=2, first_day=4, **settings),
        test,
        None if incidents is None else truth_of(test, incidents),
        normal_weight,
    )


def evaluated(
    windows: PreparedWindows,
    test_scores: Sequence[float] | FloatArray,
    calibration_scores: Sequence[float] | FloatArray | None = None,
    rule: Threshold | None = None,
    name: str = "given",
) -> Evaluation:
    """Evaluation of a detector with these scores; in calibration they are 0..39 by default."""
    if calibration_scores is None:
        calibration_scores = np.arange(len(windows.calibration), dtype=np.float32)
    ids = [*windows.calibration.keys["window_id"], *windows.test.keys["window_id"]]
    values = [*map(float, calibration_scores), *map(float, test_scores)]
    detector = GivenScores(dict(zip(ids, values, strict=True)))
    rule = rule or DailyBudget(1, max_share=1)
    # scores that are given by name are what the audit refuses
    return evaluate_detector(name, detector, windows, rule, 1.5, audit=OFF)


ABOUT = About(
    data="made",
    budget="1 alert a day",
    seed=3,
    data_fingerprint="d" * 64,
    config_fingerprint="c" * 64,
    created=datetime(2024, 5, 1, 12, tzinfo=UTC),
    command="python evaluate.py",
    features=5,
    unknown_action_rate=0.25,
)


def compared(
    windows: PreparedWindows,
    evaluations: Sequence[Evaluation],
    refused: Mapping[str, str] | None = None,
    folds: int = 1,
) -> Comparison:
    """The evaluations side by side, the first one in focus; without alerts and their events."""
    return Comparison(
        ABOUT,
        tuple(Fold.of(number, windows) for number in range(folds)),
        rows_of(evaluations),
        pl.DataFrame(),
        pl.DataFrame(),
        refused or {},
    )


@cache
def full_comparison(make_windows: MakeWindows) -> Comparison:
    """Whatever a comparison can hold, made once: three detectors, two folds, one with two seeds."""
    bare = prepared(make_windows, INCIDENTS)
    perfect = np.zeros(60)
    perfect[list(INCIDENTS)] = 50
    incidents = pl.DataFrame(
        {
            "incident_id": ["a", "b", "c"],
            "scenario": ["theft", "theft", None],
            "user_id": ["user0", "user1", "user2"],
            "start": bare.test.keys["start"][[3, 4, 20]],
            "end": bare.test.keys["end"][[3, 4, 20]],
            "n_events": [2, 3, 4],
        }
    )
    windows = replace(bare, incidents=incidents)
    made = [
        replace(evaluated(windows, scores, name=name), fold=fold, seed=seed, note=note)
        for name, scores, seeds, note in (
            ("focus", SCORES, (3, 4), ""),
            ("best", perfect, (3,), "made stable"),
            ("worst", -perfect, (3,), ""),
        )
        for fold in (0, 1)
        for seed in seeds
    ]
    interval = {"average_precision": Interval(0.02, 0.31)}
    leads = {"best": Difference(-0.5, -0.7, -0.3, 0.01), "worst": Difference(0.1, -0.1, 0.2, 0.3)}
    rows = [
        Row(
            row.evaluations,
            row.metrics,
            interval,
            {"average_precision": leads[row.name]} if row.name in leads else {},
        )
        for row in rows_of(made)
    ]
    return replace(
        compared(windows, made, {"pyod_lof": "too few windows"}, folds=2),
        rows=tuple(rows),
        findings=(
            Finding("permuted_labels", "ok", "0.5 with permuted labels", "focus"),
            Finding("duplicates", "warning", "2 windows on both sides"),
        ),
    )


def with_reasons(evaluation: Evaluation) -> pl.DataFrame:
    """Its alerts, each with two reasons."""
    rows = alert_rows(evaluation)["row"]
    reasons = [[Reason("t", 2, f"first of {row}"), Reason("u", 1, "second; [b]")] for row in rows]
    return alerts_table(evaluation, reasons)
