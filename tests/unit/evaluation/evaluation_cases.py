"""Made-up detectors and evaluations for the tests of measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from riskml.core.types import FloatArray, Windows
from riskml.evaluation.auditor import OFF
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.thresholds import DailyBudget, Threshold

MakeWindows = Callable[..., Windows]


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
