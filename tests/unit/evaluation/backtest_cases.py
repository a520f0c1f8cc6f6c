"""A small log with attacks, and what a backtest needs beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from riskml.baselines.pyod import PyODDetector
from riskml.baselines.simple import RandomDetector, WindowLengthDetector
from riskml.core.schema import EVENT_SCHEMA
from riskml.data.datasets import Dataset
from riskml.data.splits import TimeSplit
from riskml.evaluation.backtest import Backtested
from riskml.evaluation.evaluator import Evaluation
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows, Windowing

ZERO = datetime(2024, 3, 4, tzinfo=UTC)
SECONDS = ("fit_seconds", "score_seconds")


def day(number: float) -> datetime:
    """So many days after the beginning of the log."""
    return ZERO + timedelta(days=number)


def attacked_log(days: int = 24, users: int = 5, per_day: int = 8) -> tuple[Any, Any]:
    """Events of users with habits, and the truth: each fourth day somebody does odd things."""
    rng = np.random.default_rng(0)
    rows = []
    for at in range(days):
        for user in range(users):
            odd = at % 4 == 3 and user == (at // 4) % users
            for _ in range(per_day + 14 * odd):
                moment = day(at) + timedelta(seconds=int(rng.integers(0, 86_400)))
                action = f"action{(int(rng.integers(0, 3)) + user + 5 * odd) % 8}"
                name = f"file{int(rng.integers(0, 6)) + 50 * odd}"
                rows.append((f"user{user}", moment, action, name, f"incident{at}" if odd else None))
    rows.sort(key=lambda row: (row[1], row[0]))
    columns = list(zip(*rows, strict=True))
    events = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(len(rows))],
            "user_id": columns[0],
            "timestamp": columns[1],
            "action": columns[2],
            "resource": columns[3],
            "source": [None] * len(rows),
            "success": [None] * len(rows),
        },
        schema=EVENT_SCHEMA,
    )
    truth = pl.DataFrame(
        {
            "event_id": events["event_id"],
            "label": pl.Series([int(name is not None) for name in columns[4]], dtype=pl.Int8),
            "incident_id": pl.Series(columns[4], dtype=pl.String),
        }
    )
    return events, truth


def as_dataset(events: pl.DataFrame, truth: pl.DataFrame | None, **settings: Any) -> Dataset:
    """Split in time: 12 days of training, 6 of calibration, 6 of test."""
    split = TimeSplit(test=6, calibration=6)
    return Dataset(split.assign(events), truth, pl.DataFrame(), **settings)


def attacked(**settings: Any) -> Dataset:
    """A log of 24 days."""
    return as_dataset(*attacked_log(), **settings)


def fitted_features(events: pl.DataFrame, window: Windowing | None = None) -> FeatureExtractor:
    """Few features, some of them causal."""
    families = {
        "volume": VolumeFeatures(3),
        "novelty": NoveltyFeatures(["action", "resource"], slots=2**12),
    }
    return FeatureExtractor(window or UserDayWindows(), families).fit(events)


def forest(seed: int) -> PyODDetector:
    """With chance in it."""
    return PyODDetector("IForest", seed, {"n_estimators": 10})


def neighbours(seed: int) -> PyODDetector:
    """Without chance, though it takes a seed."""
    return PyODDetector("KNN", seed)


def length(seed: int) -> WindowLengthDetector:
    """Nothing to learn."""
    return WindowLengthDetector()


def dice(seed: int) -> RandomDetector:
    """Nothing but chance."""
    return RandomDetector(seed)


def timeless(evaluation: Evaluation) -> dict[str, Any]:
    """Metrics that are the same whenever it runs."""
    return {name: value for name, value in evaluation.metrics.items() if name not in SECONDS}


def assert_same(found: Backtested, expected: Backtested) -> None:
    """To the last bit, but for seconds."""
    assert found.folds == expected.folds
    assert found.refused == expected.refused
    assert found.alerts.equals(expected.alerts)
    assert found.events.equals(expected.events)
    assert found.alerts.schema == expected.alerts.schema
    assert len(found.evaluations) == len(expected.evaluations)
    for one, other in zip(found.evaluations, expected.evaluations, strict=True):
        assert_same_evaluation(one, other)


def assert_same_evaluation(one: Evaluation, other: Evaluation) -> None:
    """To the last bit, but for seconds."""
    assert (one.name, one.fold, one.seed, one.note) == (
        other.name,
        other.fold,
        other.seed,
        other.note,
    )
    assert one.scores.schema == other.scores.schema
    assert one.scores.equals(other.scores)
    assert timeless(one) == timeless(other)
    assert one.calibration.to_dict() == other.calibration.to_dict()
    assert one.alerting == other.alerting
    assert (one.incidents is None) == (other.incidents is None)
    if one.incidents is not None and other.incidents is not None:
        assert one.incidents.equals(other.incidents)
