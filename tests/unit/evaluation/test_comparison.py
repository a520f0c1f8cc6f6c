"""Rows of the table: a detector over its folds and seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows, evaluated, prepared

from riskml.evaluation.comparison import overall_metrics, rows_of
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.measures.bootstrap import mean_over_seeds, resample
from riskml.evaluation.measures.folds import over_folds
from riskml.evaluation.measures.intervals import with_intervals

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


def test_rows_get_intervals_and_leads_on_the_same_draws(make_windows: MakeWindows) -> None:
    names = ("focus", "other")
    several = {
        name: [
            made(make_windows, f, s + 5 * (name == "other"), name) for f in (0, 1) for s in (0, 1)
        ]
        for name in names
    }
    rows = with_intervals(rows_of([*several["focus"], *several["other"]]), resamples=60, seed=4)
    drawn = []
    for name, row in zip(names, rows, strict=True):
        by_seed = [
            resample([e.scores for e in several[name] if e.seed == seed], resamples=60, seed=4)
            for seed in row.seeds
        ]
        drawn.append(mean_over_seeds(by_seed))
        assert row.intervals == drawn[-1].intervals()
        interval, value = row.intervals["roc_auc"], row.metrics["roc_auc"]
        assert interval.low <= value <= interval.high  # type: ignore[operator]
    assert not rows[0].lead
    assert rows[1].lead == drawn[0].above(drawn[1])
    gain = rows[0].metrics["roc_auc"] - rows[1].metrics["roc_auc"]  # type: ignore[operator]
    assert rows[1].lead["roc_auc"].value == pytest.approx(gain)


def test_no_lead_over_a_detector_of_fewer_folds(make_windows: MakeWindows) -> None:
    focus = [made(make_windows, fold, 0, "focus") for fold in (0, 1)]
    rows = with_intervals(rows_of([*focus, made(make_windows, 0, 0, "other")]), resamples=20)
    assert rows[1].intervals and not rows[1].lead


def test_windows_are_drawn_where_there_is_one_user(make_windows: MakeWindows) -> None:
    one = evaluated(prepared(make_windows, INCIDENTS, users=1), np.arange(60))
    (row,) = with_intervals(rows_of([one]), resamples=30)
    assert row.intervals == resample([one.scores], by="window", resamples=30).intervals()
    assert "roc_auc" in row.intervals


def test_without_labels_rows_stay_as_they_are(make_windows: MakeWindows) -> None:
    rows = rows_of([evaluated(prepared(make_windows), np.arange(60))])
    assert with_intervals(rows) == rows
