"""An evaluation as MLflow keeps it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from mlflow.entities import Run
from mlflow_store import runs

from riskml.evaluation.comparison import (
    About,
    Comparison,
    Difference,
    Finding,
    Fold,
    Interval,
    Row,
)
from riskml.evaluation.evaluator import Evaluation
from riskml.runs.tracked_comparison import row_metrics, track
from riskml.runs.tracking import NOTE_TAG, PARENT_TAG, MLflowTracker

START = datetime(2024, 3, 4, tzinfo=UTC)
ABOUT = About("made", "5 alerts a day", 0, "d" * 64, "c" * 64, START)


def row(name: str, ap: float, folds: int = 1, seeds: int = 1, note: str = "") -> Row:
    """As measured, its numbers a little higher with each fold and seed."""
    evaluations = tuple(
        Evaluation(
            name,
            pl.DataFrame(),
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            {"test_windows": 50, "average_precision": ap + (fold + seed) / 100, "roc_auc": None},
            note,
            fold,
            seed,
        )
        for fold in range(folds)
        for seed in range(seeds)
    )
    metrics = {"test_windows": 50.0 * folds, "average_precision": ap, "roc_auc": None}
    return Row(evaluations, metrics)


def comparison(*rows: Row, folds: int = 1) -> Comparison:
    """With an interval for each row and a lead over all but the first."""
    interval, lead = Interval(0.1, 0.3), Difference(0.05, -0.01, 0.1, 0.2)
    known = [
        replace(
            each,
            intervals={"average_precision": interval},
            lead={"average_precision": lead} if i else {},
        )
        for i, each in enumerate(rows)
    ]
    days = [START + timedelta(days=day) for day in (0, 10, 14, 20)]
    periods = [(days[i], days[i + 1], 50) for i in range(3)]
    return Comparison(
        ABOUT,
        tuple(Fold(number, *periods) for number in range(folds)),
        tuple(known),
        pl.DataFrame(),
        pl.DataFrame(),
        {"lof": "too few windows"},
        (Finding("a", "ok", "fine"), Finding("b", "warning", "look here", "vae")),
    )


def tracked(tracker: MLflowTracker, what: Comparison) -> dict[str, Run]:
    with tracker.run("whole"):
        track(tracker, what, {"vae": {"model.latent_dim": 4}, "knn": {"model.k": 5}})
    return {run.info.run_name: run for run in runs(tracker)}


def newest_first(found: dict[str, Run]) -> list[str]:
    """As the page lists them."""
    return sorted(found, key=lambda name: found[name].info.start_time, reverse=True)


def test_a_child_for_each_detector(tracker: MLflowTracker) -> None:
    what = comparison(row("vae", 0.2), row("random", 0.01), row("knn", 0.3, note="made stable"))
    found = tracked(tracker, what)
    assert newest_first(found) == ["vae", "knn", "random", "whole"]
    whole = found.pop("whole")
    assert {run.data.tags[PARENT_TAG] for run in found.values()} == {whole.info.run_id}
    assert {run.info.status for run in (whole, *found.values())} == {"FINISHED"}
    tags = {name: [run.data.tags[t] for t in TAGS] for name, run in found.items()}
    assert tags["vae"] == ["vae", "focus", "0", "0"]
    assert tags["knn"] == ["knn", "baseline", "0", "0"]
    assert found["knn"].data.tags[NOTE_TAG] == "made stable"
    assert found["vae"].data.params == {"model.latent_dim": "4"}
    assert whole.data.params == {
        "budget": "5 alerts a day",
        "data_fingerprint": "d" * 64,
        "config_fingerprint": "c" * 64,
    }
    assert found["vae"].data.metrics == whole.data.metrics
    assert found["knn"].data.metrics == {
        "test/test_windows": 50,
        "test/average_precision": 0.3,
        "test/average_precision_low": 0.1,
        "test/average_precision_high": 0.3,
        "lead/average_precision": 0.05,
        "lead/average_precision_low": -0.01,
        "lead/average_precision_high": 0.1,
    }
    text = whole.data.tags[NOTE_TAG]
    assert text.splitlines() == [
        "**vae** on **made**, tested on 50 windows from 2024-03-18 to 2024-03-24. "
        "Budget: 5 alerts a day.",
        "",
        "- warning (vae): look here",
        "- no lof: too few windows",
    ]


TAGS = ("detector", "role", "fold", "seed")


def test_a_run_for_each_fold_and_seed_inside_the_detectors(tracker: MLflowTracker) -> None:
    rows = (row("vae", 0.2, folds=2, seeds=2), row("knn", 0.3, folds=2))
    found = tracked(tracker, comparison(*rows, folds=2))
    inside = {
        parent: [
            name
            for name in newest_first(found)
            if found[name].data.tags.get(PARENT_TAG) == found[parent].info.run_id
        ]
        for parent in ("whole", "vae", "knn")
    }
    assert inside == {
        "whole": ["vae", "knn"],
        "vae": [f"vae, fold {fold}, seed {seed}" for fold in (0, 1) for seed in (0, 1)],
        "knn": ["knn, fold 0", "knn, fold 1"],
    }
    assert [found["vae"].data.tags[tag] for tag in TAGS] == ["vae", "focus", "all", "all"]
    one = found["vae, fold 1, seed 0"]
    assert [one.data.tags[tag] for tag in TAGS] == ["vae", "focus", "1", "0"]
    assert one.data.metrics == {
        "test/test_windows": 50,
        "test/average_precision": pytest.approx(0.21),
    }
    assert [found["knn, fold 1"].data.tags[tag] for tag in TAGS] == ["knn", "baseline", "1", "0"]
    assert "in 2 folds" in found["whole"].data.tags[NOTE_TAG]


def test_one_detector_once_needs_no_children(tracker: MLflowTracker) -> None:
    assert list(tracked(tracker, comparison(row("vae", 0.2)))) == ["whole"]


@pytest.mark.parametrize("metrics", [{}, {"test_windows": 3.0, "p_value_gap": 0.1}])
def test_what_matters_most_is_told_first(metrics: dict[str, float | None]) -> None:
    measured = replace(row("vae", 0.2), metrics={**metrics, "average_precision": 0.2})
    names = list(row_metrics(comparison(measured).focus))
    assert names[:3] == [f"test/average_precision{end}" for end in ("", "_low", "_high")]
    assert {f"test/{name}" for name in metrics} <= set(names)
