"""Folds over time: nothing later leaks in, a single fold is the plain evaluation, and going on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from backtest_cases import (
    as_dataset,
    assert_same,
    assert_same_evaluation,
    attacked,
    attacked_log,
    day,
    dice,
    fitted_features,
    forest,
    length,
    neighbours,
    timeless,
)

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.folds import ExpandingFolds, RollingFolds, SingleFold
from riskml.data.splits import GAP, PERIOD
from riskml.evaluation.backtest import Backtested, backtest
from riskml.evaluation.backtesting.parts import PART, SCORES
from riskml.evaluation.backtesting.plan import PLAN
from riskml.evaluation.backtesting.units import Fitted, fit_by_itself
from riskml.evaluation.comparison import Finding
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.evaluation.explained import alerts_and_events
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows, prepare
from riskml.features.windows import BlockWindows, SessionWindows
from riskml.models.base import Detector
from riskml.models.deep import TrainingSettings
from riskml.models.vae import VAEDetector
from riskml.scoring.explain import Explainer
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import DailyBudget

FOLDS = RollingFolds(8, 4, 4)
"""Three of them: tests from days 12, 16 and 20."""

SCORING = ScoringSettings(learning_windows=3)
run = partial(
    backtest,
    features=fitted_features,
    folds=FOLDS,
    rule=DailyBudget(1, max_share=1, adapt=True),
    scoring=SCORING,
)


def changed_from(moment: object) -> Dataset:
    """The log with all from a moment on poisoned: deeds, labels, and a crowd of strangers."""
    events, truth = attacked_log()
    late = pl.col("timestamp") >= moment
    poisoned = [
        pl.when(late).then(pl.lit("poison") + pl.col("event_id")).otherwise(name).alias(name)
        for name in ("action", "resource")
    ]
    strangers = events.filter(late).with_columns(
        pl.lit("x").alias("event_id") + pl.col("event_id"),
        pl.lit("stranger").alias("user_id") + pl.col("event_id"),
    )
    after = pl.concat([events.with_columns(poisoned), strangers]).sort("timestamp")
    labels = truth.join(events.select("event_id", "timestamp"), on="event_id").with_columns(
        pl.when(late).then(1).otherwise("label").cast(pl.Int8).alias("label")
    )
    return as_dataset(after, labels.drop("timestamp"))


def of_fold(found: Backtested, number: int) -> list[Evaluation]:
    return [evaluation for evaluation in found.evaluations if evaluation.fold == number]


@pytest.mark.slow
def test_what_comes_after_a_fold_changes_nothing_of_it() -> None:
    detectors = {"forest": forest, "length": length}
    clean, poisoned = run(attacked(), detectors), run(changed_from(day(16)), detectors)
    assert clean.folds[0] == poisoned.folds[0]
    for one, other in zip(of_fold(clean, 0), of_fold(poisoned, 0), strict=True):
        assert_same_evaluation(one, other)
    for table in ("alerts", "events"):
        one, other = (getattr(found, table).filter(fold=0) for found in (clean, poisoned))
        assert len(one)
        assert table == "events" or one.equals(other)
    assert not of_fold(clean, 1)[0].scores.equals(of_fold(poisoned, 1)[0].scores)


class Fitting:
    """Keeps the files of everything that is fitted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0

    def features(self, events: pl.DataFrame) -> FeatureExtractor:
        extractor = fitted_features(events)
        extractor.save(self.folder / f"features-{self.made}")
        self.made += 1
        return extractor

    def fit(self, name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
        detector.fit(windows.train)
        detector.save(self.folder / f"{name}-{self.made}")
        return Fitted()


@pytest.mark.slow
@pytest.mark.parametrize("fold", [0, 2])
def test_what_is_fitted_in_a_fold_has_seen_its_train_period_alone(
    fold: int, tmp_path: Path
) -> None:
    files = []
    calibration_from = FOLDS.plan(attacked())[fold].calibration_from
    for name, data in (("clean", attacked()), ("poison", changed_from(calibration_from))):
        folder = tmp_path / name
        kept = Fitting(folder)
        run(data, {"forest": forest}, features=kept.features, fit=kept.fit)
        own = [folder / f"features-{fold}", folder / f"forest-{fold + 1}"]
        files.append({path.name: path.read_bytes() for part in own for path in part.iterdir()})
    assert files[0] == files[1]
    assert len(files[0]) == 4


def plain(data: Dataset, detector: Detector, name: str) -> tuple[Evaluation, pl.DataFrame]:
    """The evaluation of one detector without any folds."""
    extractor = fitted_features(data.train_events)
    windows = prepare(data, extractor)
    detector.fit(windows.train, windows.calibration)
    rule = DailyBudget(1, max_share=1, adapt=True)
    evaluation = evaluate_detector(name, detector, windows, rule, 0.0, SCORING)
    explainer = Explainer.fit(windows.train, extractor.vocabulary.counts, 3)
    alerts, _ = alerts_and_events(evaluation, detector, explainer, windows, data, extractor)
    return evaluation, alerts


@pytest.mark.parametrize("make", [forest, neighbours], ids=["forest", "neighbours"])
def test_a_single_fold_is_the_plain_evaluation(make: Callable[[int], Detector]) -> None:
    data = attacked(warm_up=0.1)
    expected, alerts = plain(data, make(0), "it")
    found = run(data, {"it": make}, folds=SingleFold())
    (evaluation,) = found.evaluations
    assert_same_evaluation(evaluation, expected)
    assert found.alerts.equals(alerts)
    assert len(alerts)
    assert found.rows[0].metrics == evaluation.metrics


def test_one_fold_of_the_days_of_the_split_is_the_split() -> None:
    data = attacked()
    single = run(data, {"forest": forest}, folds=SingleFold())
    for folds in (RollingFolds(12, 6, 6), ExpandingFolds(12, 6, 6)):
        assert_same(run(data, {"forest": forest}, folds=folds), single)


def test_rolling_and_expanding() -> None:
    rolling, expanding = (
        run(attacked(), {"length": length}, folds=kind(8, 4, 4))
        for kind in (RollingFolds, ExpandingFolds)
    )
    assert [fold.train[0].date() for fold in rolling.folds] == [day(at).date() for at in (0, 4, 8)]
    assert [fold.train[2] for fold in rolling.folds] == [40, 40, 40]
    assert [fold.train[2] for fold in expanding.folds] == [40, 60, 80]
    # what is tested is the same, and knows the same past
    for one, other in zip(rolling.evaluations, expanding.evaluations, strict=True):
        assert one.scores["window_id"].equals(other.scores["window_id"])
    assert rolling.folds[0] == expanding.folds[0]
    known = [e.scores["known_windows"].max() for e in expanding.evaluations]
    assert known == [8, 12, 16]


def test_profiles_know_what_was_before_the_train_period() -> None:
    """Windows of a fold are those of the whole log, whatever is learnt from."""
    data = attacked()
    periods = FOLDS.plan(data)[2]
    fold = data.in_fold(periods)
    extractor = fitted_features(fold.train_events)
    whole, parts = extractor.windows(data.events), prepare(fold, extractor)
    for part in (parts.train, parts.calibration, parts.test):
        rows = whole.keys["window_id"].is_in(part.keys["window_id"].implode()).to_numpy()
        assert whole.take(rows).x.tobytes() == part.x.tobytes()
    alone = replace(data, events=data.events.filter(pl.col("timestamp") >= periods.train_from))
    cut = extractor.windows(alone.events)
    rows = cut.keys["window_id"].is_in(parts.train.keys["window_id"].implode()).to_numpy()
    assert not np.array_equal(cut.take(rows).x, parts.train.x)


def ids(windows: Windows) -> set[str]:
    return set(windows.keys["window_id"])


def test_the_gap_is_in_nobodys_test_but_teaches() -> None:
    data = attacked()
    (periods,) = RollingFolds(8, 4, 4, gap_days=3, folds=1).plan(data)
    fold = data.in_fold(periods)
    extractor = fitted_features(fold.train_events)
    parts = prepare(fold, extractor)
    in_gap = {f"user{u}/2024-03-{4 + at:02d}" for u in range(5) for at in (17, 18, 19)}
    assert set(fold.events.filter(pl.col(PERIOD) == GAP)["timestamp"].dt.date()) == {
        day(at).date() for at in (17, 18, 19)
    }
    assert not in_gap & (ids(parts.train) | ids(parts.calibration) | ids(parts.test))
    assert ids(parts.before_test) == ids(parts.calibration) | in_gap
    without = replace(fold, events=fold.events.filter(pl.col(PERIOD) != GAP))
    forgetful = prepare(without, extractor)
    assert ids(forgetful.test) == ids(parts.test)
    assert not np.array_equal(forgetful.test.x, parts.test.x), "its events make users known"


def test_a_window_that_reaches_out_of_the_gap_is_in_nobodys_test() -> None:
    data = attacked()
    (periods,) = RollingFolds(8, 4, 4, gap_days=3, folds=1).plan(data)
    fold = data.in_fold(periods)
    extractor = fitted_features(fold.train_events, BlockWindows(11))
    parts = prepare(fold, extractor)
    assert (parts.test.keys["start"] >= periods.test_from).all()
    assert (parts.calibration.keys["end"] < periods.calibration_until).all()


@pytest.mark.parametrize("size", [11, 13])
def test_a_window_over_the_end_of_a_fold_is_tested_once_and_whole(size: int) -> None:
    """By the fold in which it ends."""
    data = attacked()
    tested: list[str] = []
    for periods in FOLDS.plan(data):
        fold = data.in_fold(periods)
        test = prepare(fold, fitted_features(fold.train_events, BlockWindows(size))).test
        last = periods.test_until is None
        assert last or set(test.keys["n_events"]) == {size}
        tested += test.keys["window_id"].to_list()
    assert len(tested) == len(set(tested))
    whole = fitted_features(data.train_events, BlockWindows(size)).windows(data.events)
    late = whole.keys.filter(pl.col("end") >= day(12))["window_id"]
    assert set(tested) == set(late)


def test_sessions_without_an_end_have_no_folds() -> None:
    data = attacked()
    named = replace(data, events=data.events.with_columns(logon=pl.lit("a")))
    features = partial(fitted_features, window=SessionWindows(column="logon"))
    with pytest.raises(ConfigError, match=r"give features\.window\.gap_minutes"):
        run(named, {"length": length}, features=features)


def test_detectors_that_remember_walk_through_the_gap() -> None:
    asked = []

    class Remembering(type(length(0))):  # type: ignore[misc]
        def score_after(self, past: Windows, windows: Windows) -> object:
            asked.append(ids(past))
            return self.score(windows)

    run(attacked(), {"it": lambda seed: Remembering()}, folds=RollingFolds(8, 4, 4, 4, 3, 1))
    days = [{name[-2:] for name in past} for past in asked]
    assert {"17", "18", "19", "20", "21", "22", "23"} in days


# ---- seeds, failures, checks


@pytest.mark.slow
def test_chance_is_fitted_once_a_seed() -> None:
    found = run(
        attacked(),
        {"forest": forest, "length": length, "neighbours": neighbours, "dice": dice},
        seeds=(3, 5),
    )
    fits = [(e.name, e.fold, e.seed) for e in found.evaluations]
    assert fits == [
        (name, fold, seed)
        for name, seeds in (
            ("forest", (3, 5)),
            ("length", (3,)),
            ("neighbours", (3,)),
            ("dice", (3, 5)),
        )
        for fold in range(3)
        for seed in seeds
    ]
    assert [row.seeds for row in found.rows] == [[3, 5], [3], [3], [3, 5]]
    one, other = of_fold(found, 0)[:2]
    assert not one.scores["score"].equals(other.scores["score"])
    row = found.rows[0]
    aucs = [e.metrics["roc_auc"] for e in row.evaluations]
    assert row.metrics["roc_auc"] == pytest.approx(np.mean(aucs))  # type: ignore[arg-type]
    # alerts are those of the first seed
    raised = sum(e.scores["alert"].sum() for e in row.evaluations if e.seed == 3)
    assert len(found.alerts) == raised


def fails_in(fold: int, make: Callable[[int], Detector]) -> Callable[..., Fitted]:
    """A way to fit that refuses one detector in one fold."""

    def fit(name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
        begins = windows.test.keys["start"].min()
        if name == "it" and begins.date() == day(12 + 4 * fold).date():  # type: ignore[union-attr]
            raise DataError("it does not like these windows")
        return fit_by_itself(name, detector, windows)

    return fit


@pytest.mark.slow
def test_a_detector_that_a_fold_does_not_suit_is_refused_and_the_others_go_on() -> None:
    found = run(attacked(), {"length": length, "it": forest}, fit=fails_in(1, forest), seeds=(0, 1))
    assert found.refused == {"it": "fold 2: it does not like these windows"}
    assert {e.name for e in found.evaluations} == {"length"}
    assert len(found.folds) == 3


def test_the_detector_in_focus_is_not_done_without() -> None:
    with pytest.raises(DataError, match=r"fold 2, it, seed 0: it does not like these windows"):
        run(attacked(), {"it": forest, "length": length}, fit=fails_in(1, forest))


def test_a_fold_with_too_little_in_it_is_named() -> None:
    data = attacked()
    silent = pl.col("timestamp").is_between(day(12), day(16), closed="left")
    few = replace(data, events=data.events.filter(~silent))
    with pytest.raises(DataError, match=r"fold 1: the test period has no events"):
        run(few, {"length": length})


def test_checks_are_asked_after_each_unit() -> None:
    def check(
        evaluation: Evaluation, detector: Detector, windows: PreparedWindows
    ) -> list[Finding]:
        assert detector.spec_.names == windows.train.spec.names
        return [Finding("trap", "warning", f"fold {evaluation.fold}", evaluation.name)]

    found = run(attacked(), {"length": length, "dice": dice}, checks=[check])
    asked = [finding for finding in found.findings if finding.trap == "trap"]
    assert [(finding.detector, finding.text) for finding in asked] == [
        (name, "folds 1 to 3: fold 0") for name in ("length", "dice")
    ]


def test_alerts_over_folds_are_in_order_of_their_rarity() -> None:
    found = run(attacked(), {"forest": forest})
    assert found.alerts["p_value"].is_sorted()
    assert set(found.alerts["fold"]) == {0, 1, 2}
    keys = found.alerts.head(20).select("fold", "window_id")
    behind = found.events.select("fold", "window_id").unique()
    assert len(behind.join(keys, on=["fold", "window_id"])) == len(keys) == len(behind)
    n_events = found.alerts.head(20)["n_events"].sum()
    assert len(found.events) == n_events
    assert found.events["timestamp"].is_sorted()


# ---- a detector that comes fitted


def test_a_fitted_detector_is_judged_as_it_is() -> None:
    data = attacked()
    expected, _ = plain(data, detector := forest(0), "mine")
    found = run(
        data, {"mine": detector, "length": length}, folds=SingleFold(), fit_seconds={"mine": 7}
    )
    assert_same_evaluation(found.evaluations[0], expected)
    assert found.evaluations[0].metrics["fit_seconds"] == 7
    with pytest.raises(ConfigError, match="mine comes fitted, and folds fit detectors anew"):
        run(data, {"mine": detector})


# ---- going on


class Stop:
    """Fits, until it has fitted so many."""

    def __init__(self, after: int = 1000) -> None:
        self.after, self.names = after, list[str]()

    def __call__(self, name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
        if len(self.names) == self.after:
            raise KeyboardInterrupt
        self.names.append(name)
        return fit_by_itself(name, detector, windows)


@pytest.mark.slow
def test_going_on_after_a_stop_gives_what_one_go_gives(tmp_path: Path) -> None:
    detectors = {"forest": forest, "length": length}
    whole = run(attacked(), detectors, seeds=(0, 1), folder=tmp_path / "whole")
    first, second, told = Stop(4), Stop(), []
    with pytest.raises(KeyboardInterrupt):
        run(attacked(), detectors, seeds=(0, 1), folder=tmp_path / "parts", fit=first)
    # a unit that was killed amid writing leaves a draft, which counts for nothing
    (tmp_path / "parts" / "fold-2" / "00-forest-seed-0.draft").mkdir(parents=True)
    found = run(
        attacked(),
        detectors,
        seeds=(0, 1),
        folder=tmp_path / "parts",
        fit=second,
        watch=lambda done, total, doing: told.append((done, total, doing)),
    )
    assert_same(found, whole)
    assert len(first.names) + len(second.names) == 9
    assert told[0] == (4, 9, "fold 2, forest, seed 1")
    assert told[-1][:2] == (9, 9)
    assert not list((tmp_path / "parts").rglob("*.draft"))
    third = Stop(0)
    assert_same(
        run(attacked(), detectors, seeds=(0, 1), folder=tmp_path / "parts", fit=third), whole
    )


def test_damaged_parts_are_named_with_the_remedy(tmp_path: Path) -> None:
    def go_on() -> Backtested:
        return run(attacked(), {"length": length}, folder=tmp_path)

    whole = go_on()
    scores = min(tmp_path.rglob(SCORES))
    kept = scores.read_bytes()
    scores.write_bytes(kept[:50])
    with pytest.raises(BundleError, match=rf"^{scores} .*delete the folder {scores.parent}:"):
        go_on()
    scores.write_bytes(kept)
    part = scores.with_name(PART)
    state = json.loads(part.read_text())
    del state["periods"]
    part.write_text(json.dumps(state))
    with pytest.raises(BundleError, match=rf"^{part} .*it has no 'periods'.*delete the folder"):
        go_on()
    shutil.rmtree(part.parent)
    assert_same(go_on(), whole)


def test_a_folder_of_another_backtest_is_refused(tmp_path: Path) -> None:
    run(attacked(), {"length": length}, folder=tmp_path)
    other = changed_from(day(20))
    for changes, what in (
        ({"seeds": (1,)}, "units"),
        ({"folds": RollingFolds(4, 4, 4)}, "folds, units"),
        ({"settings": "other"}, "settings"),
        ({"detectors": {"length": dice}}, "detectors"),
        ({"dataset": other}, "data"),
    ):
        given = {"dataset": attacked(), "detectors": {"length": length}, **changes}
        with pytest.raises(ConfigError, match=f"was begun with other {what}: begin anew"):
            run(folder=tmp_path, **given)
    (tmp_path / PLAN).write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        run(attacked(), {"length": length}, folder=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"detectors": {}}, "detectors.* must name at least one"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds.*different"),
        ({"detectors": {"a\nb": length}}, "cannot be the name"),
    ],
)
def test_what_cannot_be(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        run(**{"dataset": attacked(), "detectors": {"length": length}, **wrong})


@pytest.mark.slow
def test_a_unit_reads_the_same_whatever_came_before(tmp_path: Path) -> None:
    """Random states and flags of the process are its own again, and have no say."""

    def make(seed: int) -> VAEDetector:
        return VAEDetector((8,), 2, user_dim=2, training=TrainingSettings(max_epochs=1, seed=seed))

    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    data, folds = attacked(), replace(FOLDS, folds=1)
    first = run(data, {"vae": make}, folds=folds)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.rand(7)
    second = run(data, {"length": length, "forest": forest, "vae": make}, folds=folds)
    assert_same_evaluation(second.evaluations[-1], first.evaluations[0])
    assert timeless(first.evaluations[0])["roc_auc"] is not None


def test_units_stay_together_by_fold() -> None:
    told: list[str] = []
    run(
        attacked(),
        {"length": length, "dice": dice},
        watch=lambda done, total, doing: told.append(doing.split(",")[0]),
    )
    assert told == sorted(told)
    assert len(set(told)) == 3
