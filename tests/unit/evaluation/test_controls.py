"""Labels that say nothing, and attacks among what is learnt. See docs/traps.md."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from evaluation_cases import MakeWindows, truth_of
from trap_cases import ById, ByUser, Honest, HonestMemory, fair, labels

from riskml.core.errors import ConfigError, DataError
from riskml.data.splits import TRAIN
from riskml.evaluation.checks.controls import (
    PERMUTED,
    PERMUTED_WITHIN_USERS,
    PermutationCheck,
    contaminated,
    permuted,
)
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.models.neighbours import NeighboursDetector
from riskml.scoring.thresholds import DailyBudget

ATTACKS = range(0, 200, 4)
"""Rows of fifty risky windows of 200."""


@pytest.fixture
def windows(make_windows: MakeWindows) -> PreparedWindows:
    return fair(make_windows)


def attacked(make_windows: MakeWindows, of: int = 1) -> PreparedWindows:
    """As `fair`, with attacks enough to put some of them into the train period.

    Args:
        of: so many windows each.
    """
    made = fair(make_windows, list(ATTACKS))
    truth = truth_of(made.test, {row: [f"i{row // (4 * of)}"] for row in ATTACKS})
    incidents = (
        truth.join(made.test.keys.drop("peer"), on="window_id")
        .explode("incidents")
        .drop_nulls("incidents")
        .group_by(pl.col("incidents").alias("incident_id"))
        .agg(
            pl.col("user_id").first(),
            pl.col("start").min(),
            pl.col("end").max(),
            pl.col("n_events").sum(),
            scenario=pl.lit("other"),
        )
    )
    return replace(made, test_truth=truth, incidents=incidents, background={TRAIN: 0})


def judged(detector: Detector, windows: PreparedWindows) -> Evaluation:
    detector.fit(windows.train, windows.calibration)
    return evaluate_detector("it", detector, windows, DailyBudget(1))


def verdict(detector: Detector, windows: PreparedWindows, control: str = PERMUTED) -> str:
    """What the check says of a detector."""
    (finding,) = PermutationCheck(control)(judged(detector, windows), detector, windows)
    assert finding.trap == control
    assert finding.detector == "it"
    return finding.verdict


# ---- permuted labels


@pytest.mark.parametrize("control", [PERMUTED, PERMUTED_WITHIN_USERS])
def test_permuted_labels_are_as_many_and_elsewhere(control: str, windows: PreparedWindows) -> None:
    other = permuted(windows, control, seed=1)
    assert labels(other).sum() == labels(windows).sum()
    assert (labels(other) != labels(windows)).any()
    assert (labels(other) == labels(permuted(windows, control, seed=1))).all()
    assert (labels(other) != labels(permuted(windows, control, seed=2))).any()
    assert other.test_truth is not None
    assert other.test_truth["window_id"].equals(windows.test.keys["window_id"])
    risky = (
        windows.test.keys["user_id"]
        .to_frame()
        .with_columns(before=labels(windows), after=labels(other))
    )
    of_user = risky.group_by("user_id").sum()
    if control == PERMUTED_WITHIN_USERS:
        assert of_user["before"].equals(of_user["after"])


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_detector_does_not_find_permuted_labels(
    seed: int, windows: PreparedWindows
) -> None:
    assert judged(Honest(), windows).metrics["roc_auc"] > 0.9  # type: ignore[operator]
    assert verdict(Honest(), permuted(windows, seed=seed)) == "ok"


def test_who_reads_the_labels_of_this_evaluation_finds_permuted_ones(
    windows: PreparedWindows,
) -> None:
    other = permuted(windows)
    detector = ById(other)
    evaluation = judged(detector, other)
    assert evaluation.refused, "the audit finds it as well"
    # and where it is not asked, the control still does
    unasked = evaluate_detector("it", detector, other, DailyBudget(1), audit="off")
    (finding,) = PermutationCheck()(unasked, detector, other)
    assert finding.verdict == "warning"
    assert "has seen the labels" in finding.text
    # truth of before says nothing about these
    before = ById(windows)
    before.fit(windows.train)
    unasked = evaluate_detector("it", before, other, DailyBudget(1), audit="off")
    (finding,) = PermutationCheck()(unasked, before, other)
    assert finding.verdict == "ok"


def test_who_knows_the_accounts_is_told_by_labels_permuted_within_them(
    make_windows: MakeWindows,
) -> None:
    windows = fair(make_windows, [*range(0, 100, 5), 1, 6])  # one of five users, mostly
    other = permuted(windows, PERMUTED_WITHIN_USERS)
    detector = ByUser(windows)
    detector.known = {user: float(user == ("user0",)) for user in detector.known}
    detector.fit(other.train)
    found = evaluate_detector("it", detector, other, DailyBudget(1), audit="off")
    (finding,) = PermutationCheck(PERMUTED_WITHIN_USERS)(found, detector, other)
    assert finding.verdict == "warning"
    assert "accounts of attackers" in finding.text


def test_a_control_needs_labels_and_a_name(windows: PreparedWindows) -> None:
    with pytest.raises(DataError, match=r"control=permuted_labels: this log has no labels"):
        permuted(replace(windows, test_truth=None))
    with pytest.raises(ConfigError, match="permuted_within_users"):
        permuted(windows, "shuffled")


# ---- attacks among what is learnt


@pytest.mark.parametrize("share", [0.0, 0.005, 0.01, 0.05])
def test_attacks_move_from_the_test_into_the_train_period(
    share: float, make_windows: MakeWindows
) -> None:
    windows = attacked(make_windows)
    clean, other = contaminated(windows, 0.0), contaminated(windows, share)
    added = len(other.train) - len(windows.train)
    assert added == round(share / (1 - share) * len(windows.train))
    assert added / len(other.train) == pytest.approx(share, abs=0.002)
    assert other.background == {TRAIN: added}
    # the test is the same whatever the share, so that shares can be compared
    assert other.test.keys["window_id"].equals(clean.test.keys["window_id"])
    assert other.test_truth is not None
    assert other.incidents is not None
    kept = set(other.test_truth["incidents"].explode().drop_nulls())
    assert kept == set(other.incidents["incident_id"])
    assert labels(other).sum() == len(kept) == 25
    # contents as they were, earlier by whole weeks and before the period ends
    moved = other.train.keys.join(windows.train.keys, on="window_id", how="anti")
    assert len(moved) == added
    was = windows.test.keys.join(moved.select("window_id"), on="window_id").sort("window_id")
    back = was["start"] - moved.sort("window_id")["start"]
    assert (back.dt.total_seconds() % (7 * 86_400) == 0).all()
    ends = windows.train.keys["end"].max()
    assert (moved["end"] <= ends).all()
    assert other.train.keys["start"].is_sorted()
    assert set(map(bytes, windows.train.x)) < set(map(bytes, other.train.x)) or not added


def test_incidents_move_whole(make_windows: MakeWindows) -> None:
    windows = attacked(make_windows, of=5)
    other = contaminated(windows, 0.04)
    moved = set(other.train.keys["window_id"]) - set(windows.train.keys["window_id"])
    assert windows.test_truth is not None
    of_incident = windows.test_truth.explode("incidents").drop_nulls("incidents")
    together = of_incident.with_columns(moved=pl.col("window_id").is_in(moved))
    shares = together.group_by("incidents").agg(pl.col("moved").mean())["moved"]
    assert sorted(shares) == 8 * [0.0] + 2 * [1.0]


def test_contamination_costs_detectors_that_learn_what_is_near(make_windows: MakeWindows) -> None:
    """What has been seen in training is no longer far from everything seen."""

    def average_precision(share: float) -> float:
        windows = contaminated(attacked(make_windows), share)
        found = judged(NeighboursDetector(), windows).metrics["average_precision"]
        assert found is not None
        return float(found)

    assert average_precision(0.0) > average_precision(0.08)


@pytest.mark.parametrize("detector", [Honest(), HonestMemory()])
def test_contamination_is_told_beside_the_row(
    detector: Detector, make_windows: MakeWindows
) -> None:
    def told(share: float) -> set[str]:
        found = judged(detector, contaminated(attacked(make_windows), share))
        return {f.verdict for f in found.findings if f.trap == "risky_background"}

    assert told(0.0) == {"ok"}
    assert told(0.05) == {"warning"}


def test_a_share_that_cannot_be_had_names_those_that_can(make_windows: MakeWindows) -> None:
    windows = attacked(make_windows, of=5)
    least, most = 5 / (5 + len(windows.train)), 25 / (25 + len(windows.train))
    for share in (0.01, 0.3):
        with pytest.raises(DataError, match=f"from {least:.4f} to {most:.4f} is possible"):
            contaminated(windows, share)
    for share in (-0.1, 0.5, 1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"from 0 up to 0\.5"):
            contaminated(windows, share)
    with pytest.raises(DataError, match="no labels"):
        contaminated(replace(windows, test_truth=None), 0.01)
