"""Detectors that cheat are refused or named; honest ones pass. See docs/traps.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluation_cases import MakeWindows
from trap_cases import (
    LEVEL,
    AwaitsTheTrace,
    ByContent,
    ByHourAndMemory,
    ById,
    ByPlace,
    ByUser,
    ByUserAndDate,
    ByUserAndStart,
    Constant,
    Drifts,
    Gives,
    Guesses,
    HiddenInDigits,
    Honest,
    HonestCrowd,
    HonestMemory,
    KeepsWhatItHasSeen,
    LearnsBeforeItScores,
    LearnsFromTheCrowdToCome,
    LooksAhead,
    LooksAround,
    OnlyOnTheWhole,
    RankAmongAll,
    RankOfTheDay,
    UpsideDown,
    WritesIntoTraining,
    WritesIntoWindows,
    bad,
    fair,
    judged,
)

from riskml.core.errors import ConfigError, DataError
from riskml.evaluation.evaluator import KEPT, evaluate_detector
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.thresholds import DailyBudget


@pytest.fixture
def windows(make_windows: MakeWindows) -> PreparedWindows:
    return fair(make_windows)


@pytest.mark.parametrize("detector", [Honest(), HonestMemory()], ids=["plain", "remembers"])
@pytest.mark.parametrize("audit", ["standard", "deep"])
def test_an_honest_detector_passes(
    detector: Detector, audit: str, windows: PreparedWindows
) -> None:
    found = judged(detector, windows, audit=audit)
    assert bad(found) == {}
    assert found.refused == ""
    assert 0.9 < found.metrics["roc_auc"] < 1  # type: ignore[operator]
    asked = {finding.trap for finding in found.findings}
    assert {"future", "batch_mates", "not_deterministic", "window_ids", "dates"} < asked
    assert {"content_blind", "changed_windows", "threshold", "fitted_on_test"} < asked
    assert ({"refit", "identity"} <= asked) == (audit == "deep")


@pytest.mark.parametrize("audit", ["standard", "deep"])
def test_one_that_learns_from_everybody_is_not_asked_about_others_beside(
    audit: str, windows: PreparedWindows
) -> None:
    found = judged(HonestCrowd(), windows, audit=audit)
    assert bad(found) == {}
    asked = {finding.trap for finding in found.findings}
    assert {"future", "not_deterministic", "window_ids", "dates", "row_order"} < asked
    assert "batch_mates" not in asked


REFUSED: dict[type[Detector], set[str]] = {
    LooksAhead: {"future", "batch_mates"},
    LearnsBeforeItScores: {"future"},
    LearnsFromTheCrowdToCome: {"future"},
    RankAmongAll: {"future", "batch_mates"},
    RankOfTheDay: {"batch_mates"},
    HiddenInDigits: {"future", "batch_mates"},
    OnlyOnTheWhole: {"future", "batch_mates"},
    KeepsWhatItHasSeen: {"future", "batch_mates"},
    Guesses: {"not_deterministic"},
    Drifts: {"not_deterministic"},
    LooksAround: {"window_ids"},
    WritesIntoWindows: {"changed_windows"},
    WritesIntoTraining: {"changed_windows"},
}


@pytest.mark.parametrize("cheat", REFUSED, ids=lambda kind: kind.__name__)
def test_a_cheat_is_refused_and_its_numbers_are_withheld(
    cheat: type[Detector], windows: PreparedWindows
) -> None:
    found = judged(cheat(), windows)
    refused = {trap for trap, verdict in bad(found).items() if verdict == "refused"}
    assert refused == REFUSED[cheat]
    assert found.refused
    assert {name for name, value in found.metrics.items() if value is not None} <= set(KEPT)
    assert "label" not in found.scores.columns


@pytest.mark.parametrize("seed", range(6))
def test_one_look_ahead_after_an_attack_is_enough(seed: int, make_windows: MakeWindows) -> None:
    rows = np.random.default_rng(seed).choice(150, 4, replace=False)
    windows = fair(make_windows, sorted(rows.tolist()))
    after = [row + 5 for row in rows]  # the user's next window, of five users in turn
    x = windows.test.x.copy()
    x[after, LEVEL] = 3
    found = judged(AwaitsTheTrace(), replace(windows, test=replace(windows.test, x=x)))
    assert bad(found).get("future") == "refused"


@pytest.mark.parametrize(
    ("cheat", "trap"),
    [(ById, "window_ids"), (ByUserAndStart, "dates"), (ByUserAndDate, "dates")],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("missing", [0.0, None], ids=["silent", "fails"])
def test_truth_that_is_looked_up_is_refused(
    cheat: Any, trap: str, missing: float | None, windows: PreparedWindows
) -> None:
    detector = cheat(windows, 0.0)
    detector.fit(windows.train, windows.calibration)
    detector.missing = missing
    if missing is None:  # the calibration period has names of its own
        detector.known |= dict.fromkeys(cheat.key(windows.calibration), 0)
    found = evaluate_detector("it", detector, windows, DailyBudget(1))
    assert bad(found)[trap] == "refused"


def test_truth_by_the_order_of_rows_is_refused(windows: PreparedWindows) -> None:
    assert bad(judged(ByPlace(windows), windows))["row_order"] == "refused"


def test_truth_by_user_and_date_under_the_name_of_a_memory_is_named(
    windows: PreparedWindows,
) -> None:
    """It may count days since the train period, so it is not moved far; contents give it away."""
    found = judged(ByHourAndMemory(windows), windows)
    assert bad(found) == {"content_blind": "warning"}


def test_truth_by_content_is_named(windows: PreparedWindows) -> None:
    assert bad(judged(ByContent(windows), windows)) == {"exact_values": "warning"}


def test_users_who_are_known_from_elsewhere_are_refused_by_a_deep_audit(
    make_windows: MakeWindows,
) -> None:
    """In a plain audit nothing tells a short list of users from habits learnt of them."""
    windows = fair(make_windows, [i for i in range(200) if i % 5 == 2 and i < 120])
    found = judged(ByUser(windows), windows, audit="deep")
    assert bad(found)["identity"] == "refused"


def test_a_detector_that_was_fitted_on_the_test_period(windows: PreparedWindows) -> None:
    class Nearest(Honest):
        """Distance to the nearest window fitted on, with a little of the level."""

        def learn(self, windows: Any, validation: Any = None) -> None:
            self.spec_, self.known = windows.spec, windows.x.copy()

        def score(self, windows: Any) -> Any:
            gaps = np.abs(windows.x[:, None] - self.known).sum(2).min(1)
            return (gaps + 1e-2 * windows.x[:, 3]).astype(np.float32)

    assert bad(judged(Nearest(), windows)) == {}
    cheat = Nearest().fit(windows.test)
    found = evaluate_detector("it", cheat, windows, DailyBudget(1))
    assert bad(found)["fitted_on_test"] == "refused"
    other = Nearest().fit(windows.calibration)
    found = evaluate_detector("it", other, windows, DailyBudget(1))
    assert bad(found) == {"fitted_on_test": "warning"}
    assert bad(judged(Nearest(), windows, audit="deep")) == {}
    found = evaluate_detector("it", other, windows, DailyBudget(1), audit="deep")
    assert bad(found)["refit"] == "warning"


def test_the_next_detector_is_not_blamed_for_a_cheat_that_writes_while_it_scores(
    windows: PreparedWindows,
) -> None:
    before = windows.test.x.copy()
    assert judged(WritesIntoWindows(), windows).refused
    assert (windows.test.x == before).all()
    assert not judged(Honest(), windows).refused


def test_windows_that_a_cheat_has_changed_are_good_for_nobody(windows: PreparedWindows) -> None:
    assert judged(WritesIntoTraining(), windows).refused
    assert "make the windows anew" in judged(Honest(), windows).refused


def test_upside_down_and_constant_scores_are_named_and_left_as_they_are(
    windows: PreparedWindows,
) -> None:
    found = judged(UpsideDown(), windows)
    assert bad(found) == {"inverted": "warning"}
    assert found.metrics["roc_auc"] < 0.1  # type: ignore[operator]
    found = judged(Constant(), windows)
    assert bad(found) == {"constant": "warning"}
    assert found.metrics["roc_auc"] == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.float32(np.nan), "no finite number for 200 windows"),
        (np.float32(np.inf), "no finite number for 200 windows"),
        ("high", "no numbers"),
        (None, "no finite number for 200 windows"),
    ],
)
def test_what_is_no_score_is_an_error(given: Any, message: str, windows: PreparedWindows) -> None:
    class It(Gives):
        what = staticmethod(lambda windows: [given] * len(windows))

    with pytest.raises(DataError, match=message):
        judged(It(), windows)


def test_scores_of_another_shape_are_an_error(windows: PreparedWindows) -> None:
    class Two(Gives):
        what = staticmethod(lambda windows: windows.x[:, :2])

    with pytest.raises(DataError, match=r"shape \(200, 2\) for 200 windows"):
        judged(Two(), windows)


def test_scores_are_taken_as_they_are_given(windows: PreparedWindows) -> None:
    """What a detector writes into its own array later changes nothing."""
    kept = []

    class Keeps(Honest):
        def score(self, windows: Any) -> Any:
            found = super().score(windows)
            for old in kept:
                old[:] = 0
            kept.append(found)
            return found

    found = judged(Keeps(), windows)
    assert bad(found) == {}
    assert found.scores["score"].to_list() == windows.test.x[:, 3].tolist()


def test_an_evaluation_without_an_audit_says_so(windows: PreparedWindows) -> None:
    found = judged(Guesses(), windows, audit="off")
    assert bad(found) == {"audit": "warning"}
    with pytest.raises(ConfigError, match=r"audit=none must be one of standard, deep, off"):
        judged(Honest(), windows, audit="none")
