"""Rows of the table: a detector over its folds and seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared

from riskml.evaluation.comparison import overall_metrics, rows_of
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.folds import over_folds

INCIDENTS = {3: ["a"], 4: ["a", "b"], 20: ["c"], 59: ["d"]}


def made(make_windows: MakeWindows, fold: int, seed: int, name: str = "given") -> Evaluation:
    scores = np.random.default_rng(10 * fold + seed).normal(25, 12, 60).astype(np.float32)
    own = evaluated(prepared(make_windows, INCIDENTS), scores + 1000 * fold, name=name)
    return replace(own, fold=fold, seed=seed)


def test_one_row_a_detector_by_fold_then_seed(make_windows: MakeWindows) -> None:
    places = [(1, 0), (0, 1), (0, 0), (1, 1)]
    several = [made(make_windows, *place) for place in places]
    rows = rows_of([several[0], made(make_windows, 0, 0, "other"), *several[1:]])
    assert [row.name for row in rows] == ["given", "other"]
    assert [(e.fold, e.seed) for e in rows[0].evaluations] == sorted(places)
    assert rows[0].seeds == [0, 1]


def test_one_evaluation_keeps_its_numbers(make_windows: MakeWindows) -> None:
    one = made(make_windows, 0, 0)
    assert overall_metrics([one]) == one.metrics


def test_folds_first_then_seeds(make_windows: MakeWindows) -> None:
    several = [made(make_windows, fold, seed) for seed in (0, 1) for fold in (0, 1)]
    found = overall_metrics(several)
    assert found.keys() == several[0].metrics.keys()
    by_seed = [
        over_folds(
            [e.scores for e in several if e.seed == seed],
            promised=sum(e.metrics["alerts_promised"] or 0 for e in several if e.seed == seed),
        )
        for seed in (0, 1)
    ]
    for name, value in by_seed[0].items():
        if value is not None:
            expected = np.mean([value, by_seed[1][name]])
            assert found[name] == pytest.approx(expected), name
    assert found["test_windows"] == 120
    assert found["fit_seconds"] == 1.5
    assert found["threshold"] is found["oracle_f1_threshold"] is None


def test_incidents_of_all_folds_are_known(make_windows: MakeWindows) -> None:
    several = []
    for fold, names in ((0, ["a", "b"]), (1, ["b", "c", "d"])):
        start = pl.Series(np.full(len(names), np.datetime64("2020-01-01", "us")))
        table = pl.DataFrame({"incident_id": names, "scenario": ["x"] * len(names)})
        known = table.with_columns(start=start.dt.replace_time_zone("UTC"))
        several.append(replace(made(make_windows, fold, 0), incidents=known))
    assert overall_metrics(several)["days_to_detect_mean_at_threshold"] > 365  # type: ignore[operator]
