"""Slow leaks, persistence and quarantine, around a detector that counts events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file
from sklearn.base import clone
from walks import LATER, SPEC, TRAIN, days, table, train, usual

from riskml.baselines.simple import WindowLengthDetector
from riskml.core.errors import BundleError, ConfigError
from riskml.core.types import Windows
from riskml.models.base import load_detector
from riskml.models.sequence import SequenceDetector
from riskml.wrappers.around import AroundDetector
from riskml.wrappers.persistence import PersistenceDetector
from riskml.wrappers.quarantine import QuarantineDetector
from riskml.wrappers.slow_leak import SlowLeakDetector

NOW = TRAIN + LATER
LENGTH = WindowLengthDetector()
KINDS: dict[str, Callable[[], AroundDetector]] = {
    "persistence": lambda: PersistenceDetector(LENGTH),
    "quarantine": lambda: QuarantineDetector(LENGTH),
    "forgiving": lambda: QuarantineDetector(LENGTH, clear_after_days=7),
    "slow_leak": lambda: SlowLeakDetector(LENGTH),
    "nested": lambda: SlowLeakDetector(PersistenceDetector(QuarantineDetector(LENGTH))),
}


@pytest.fixture(scope="module")
def fitted_all() -> dict[str, AroundDetector]:
    return {name: make().fit(*train()) for name, make in KINDS.items()}


@pytest.fixture(params=list(KINDS))
def fitted(request: pytest.FixtureRequest, fitted_all: dict[str, AroundDetector]) -> AroundDetector:
    return fitted_all[request.param]


def evidence(detector: AroundDetector, events: np.ndarray) -> np.ndarray:
    """What the detector inside says of the same days, [users, days]."""
    return table(detector.part_.evidence(days(events, NOW)), len(events))


# ---- all


def test_scores_are_causal_and_of_one_user(fitted: AroundDetector) -> None:
    windows = days(usual(5, 30, 3), NOW)
    scores = fitted.score(windows)
    np.testing.assert_array_equal(fitted.score(windows.take(np.arange(70))), scores[:70])
    mine = (windows.keys["user_id"] == "user3").to_numpy()
    np.testing.assert_allclose(fitted.score(windows.take(mine)), scores[mine], rtol=1e-6)
    shuffled = np.random.default_rng(0).permutation(len(windows))
    np.testing.assert_array_equal(fitted.score(windows.take(shuffled)), scores[shuffled])


def test_two_batches_are_as_good_as_one(fitted: AroundDetector) -> None:
    windows = days(usual(5, 40, 4) * 2, NOW, ["user0", "user1", "new1", "new2", "user4"])
    whole = fitted.score(windows)
    past, rest = windows.take(np.arange(120)), windows.take(np.arange(120, 200))
    np.testing.assert_allclose(fitted.score_after(past, rest), whole[120:], rtol=1e-6)
    parts = fitted.contributions_after(past, rest, np.arange(len(rest)))
    np.testing.assert_allclose(parts.sum(1), whole[120:], rtol=1e-5, atol=1e-5)
    assert parts.shape[1] == len(fitted.topics())
    assert not np.allclose(fitted.score(rest), whole[120:], rtol=1e-3)


def test_parts_of_actions_are_told_by_action() -> None:
    spec = replace(SPEC, actions=("<pad>", "<unknown>", "read", "sudo"))

    def with_actions(windows: Windows, action: int) -> Windows:
        tokens = np.full((len(windows), 3), action, np.int32)
        lengths = np.full(len(windows), 3, np.int32)
        return replace(windows, spec=spec, tokens=tokens, lengths=lengths)

    early, later = (with_actions(windows, 2) for windows in train())
    early.tokens[early.keys["user_id"].to_numpy() == "user1"] = 3
    detector = QuarantineDetector(PersistenceDetector(SequenceDetector())).fit(early, later)
    odd = with_actions(days(np.ones((1, 1), np.int64), NOW), 3)
    parts = detector.contributions(odd)[0]
    assert parts.sum() == pytest.approx(detector.score(odd)[0], rel=1e-5)
    told = dict(zip(detector.topics(), parts.tolist(), strict=True))
    assert told["action: sudo"] > 0 == told["action: read"]


def test_scoring_leaves_the_detector_as_it_is(fitted: AroundDetector) -> None:
    windows = days(usual(5, 10, 5) * 5, NOW)
    first = fitted.score(windows)
    fitted.score_after(windows, windows)
    np.testing.assert_array_equal(fitted.score(windows), first)


def test_saved_and_loaded(fitted: AroundDetector, tmp_path: Path) -> None:
    windows = days(usual(6, 20, 6) * 3, NOW)
    fitted.save(tmp_path)
    loaded = load_detector(tmp_path)
    assert loaded.settings() == fitted.settings()
    np.testing.assert_array_equal(
        loaded.score_after(windows, windows), fitted.score_after(windows, windows)
    )
    (tmp_path / "part" / "calibration.json").unlink()
    with pytest.raises(BundleError, match=r"calibration\.json"):
        load_detector(tmp_path)


@pytest.mark.parametrize("damaged", ["held.parquet", "memory.safetensors"])
def test_a_file_that_does_not_fit_is_refused_by_name(
    damaged: str, fitted: AroundDetector, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    pl.DataFrame({"window_id": ["a"]}).write_parquet(tmp_path / "held.parquet")
    if damaged == "memory.safetensors":
        fitted.memory_.held.write_parquet(tmp_path / "held.parquet")
        short = {name: value[:2] for name, value in fitted.memory_.values.items()}
        save_file(short, tmp_path / damaged)
    with pytest.raises(BundleError, match=rf"{damaged} is missing, damaged"):
        load_detector(tmp_path)


def test_cloned_and_changed_as_in_scikit_learn(fitted: AroundDetector) -> None:
    again = clone(fitted)
    assert again.settings() == fitted.settings()
    assert not hasattr(again, "spec_")
    assert not hasattr(again.detector, "spec_")
    again.set_params(detector__contamination=0.2)
    assert again.get_params()["detector__contamination"] == 0.2
    assert fitted.detector.contamination == 0.1


def test_without_later_windows_the_last_train_days_calibrate() -> None:
    early, later = train()
    events = usual(20, TRAIN, 0)
    alone = SlowLeakDetector(LENGTH).fit(early)
    told = SlowLeakDetector(LENGTH).fit(days(events[:, :48]), days(events[:, 48:], 48))
    np.testing.assert_array_equal(alone.part_.calibration.knots, told.part_.calibration.knots)
    # and they are remembered, which windows given beside are not
    np.testing.assert_allclose(
        alone.score(later), told.score_after(days(events[:, 48:], 48), later), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SlowLeakDetector("vae"), "detector=vae must be a detector"),  # type: ignore[arg-type]
        (lambda: SlowLeakDetector(LENGTH, keep=1), "keep=1 must lie between 0 and 1"),
        (lambda: SlowLeakDetector(LENGTH, cap=0), "cap=0"),
        (lambda: SlowLeakDetector(LENGTH, allowance=-1), "allowance=-1"),
        (lambda: PersistenceDetector(LENGTH, kappa=1), "kappa=1"),
        (lambda: PersistenceDetector(LENGTH, weight=-1), "weight=-1"),
        (lambda: QuarantineDetector(LENGTH, fade=0), "fade=0"),
        (lambda: QuarantineDetector(LENGTH, prior_windows=0), "prior_windows=0"),
        (lambda: QuarantineDetector(LENGTH, quarantine=1), "quarantine=1"),
        (lambda: QuarantineDetector(LENGTH, clear_after_days=0), "clear_after_days=0"),
    ],
)
def test_settings_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


# ---- slow leaks


def leak() -> np.ndarray:
    """A user of ten has days like the upper tenth for three weeks, none like the upper 2 %."""
    events = usual(10, 21, 7)
    events[4] = 240
    return events


def test_many_small_excesses_are_found(fitted_all: dict[str, AroundDetector]) -> None:
    detector = fitted_all["slow_leak"]
    own = evidence(detector, leak())
    scores = table(detector.score(days(leak(), NOW)), 10)
    normal = np.arange(10) != 4
    assert own[4].max() < np.quantile(own[normal], 0.95), "the detector inside sees nothing much"
    assert scores[4].max() > np.quantile(scores[normal], 0.99)


def test_the_reason_is_the_sum(fitted_all: dict[str, AroundDetector]) -> None:
    detector = fitted_all["slow_leak"]
    windows = days(leak(), NOW)
    mine = windows.take((windows.keys["user_id"] == "user4").to_numpy())
    row = int(detector.score(mine).argmax())
    assert detector.topics()[detector.contributions(mine)[row].argmax()] == "slow_leak"


def test_a_burst_is_not_carried_over(fitted_all: dict[str, AroundDetector]) -> None:
    quiet = np.full((1, 6), 50)
    burst = quiet.copy()
    burst[0, 1] = 100_000
    detector = fitted_all["slow_leak"]
    scores = detector.score(days(burst, NOW))
    assert scores.argmax() == 1
    np.testing.assert_allclose(scores[2:], detector.score(days(quiet, NOW))[2:], atol=0.5)
    assert scores[2:].max() < scores[1] / 4


def test_the_sum_begins_again_after_an_alarm(fitted_all: dict[str, AroundDetector]) -> None:
    detector = fitted_all["slow_leak"]
    assert isinstance(detector, SlowLeakDetector)
    windows = days(np.full((1, 60), 240), NOW, ["new"])
    memory = detector._recalled(windows)
    sums = detector._walk(windows, detector.part_.evidence(windows), memory)
    alarms = np.flatnonzero(sums > detector.alarm_)
    assert len(alarms) >= 3
    assert (np.diff(alarms) == alarms[0] + 1).all(), "as long to each as to the first"
    assert (sums[alarms[:-1] + 1] < detector.alarm_ / 2).all()


# ---- persistence


def test_the_middle_of_a_run_is_raised(fitted_all: dict[str, AroundDetector]) -> None:
    detector = fitted_all["persistence"]
    events = np.array([[50, 50, 600, 600, 600, 50, 50]])
    own, scores = evidence(detector, events)[0], detector.score(days(events, NOW, ["new"]))
    lift = scores - own
    assert lift[3] > 0.2
    assert lift[4] > 0.2
    # nothing came before the first; the windows after have no evidence of their own
    np.testing.assert_allclose(lift[:3], 0, atol=1e-6)
    assert (lift[5:] <= 0.3 * own[5:] + 1e-6).all()
    assert scores[5:].max() < scores[2]


def test_without_weight_only_the_evidence_counts() -> None:
    detector = PersistenceDetector(LENGTH, weight=0).fit(*train())
    events = usual(4, 20, 8) * 3
    scores = table(detector.score(days(events, NOW)), 4)
    np.testing.assert_allclose(scores, evidence(detector, events), rtol=1e-6)


# ---- quarantine


def test_what_is_usual_for_a_user_scores_low() -> None:
    """A user who always does a lot is not odd; another who does it once is."""
    events = np.full((20, TRAIN + LATER), 100) + usual(20, TRAIN + LATER, 0) // 10
    events[0] += 400
    detector = QuarantineDetector(LENGTH).fit(days(events[:, :TRAIN]), days(events[:, TRAIN:]))
    scores = detector.score(days(np.array([[500], [500]]), NOW))
    assert scores[0] + 1 < scores[1]


ATTACK = np.full((1, 30), 3000)


def test_an_attack_in_quarantine_does_not_become_usual(
    fitted_all: dict[str, AroundDetector],
) -> None:
    scores = fitted_all["quarantine"].score(days(ATTACK, NOW))
    np.testing.assert_allclose(scores, scores[0], rtol=1e-6)


def test_what_is_cleared_teaches() -> None:
    detector = QuarantineDetector(LENGTH).fit(*train())
    past, now = days(ATTACK, NOW), days(ATTACK[:, :1], NOW + 30)
    before = detector.score_after(past, now)[0]
    detector.clear(past.keys["window_id"])
    after = detector.score_after(past, now)[0]
    assert after < before / 2
    other = days(ATTACK[:, :1], NOW + 30, ["user7"])
    assert detector.score_after(past, other)[0] > before / 2


def test_held_train_windows_teach_once_cleared(tmp_path: Path) -> None:
    early, later = train()
    detector = QuarantineDetector(LENGTH).fit(early, later)
    held = detector.memory_.held
    assert 0 < len(held) < 0.05 * len(early)
    name = detector.memory_.held["window_id"][0]
    assert name in set(early.keys.filter(early.keys["n_events"] > 300)["window_id"])
    usual_user = list(detector.memory_.users)[held["user"][0]]
    asked = days(np.array([[300]]), NOW, [usual_user])
    before = detector.score(asked)[0]
    detector.clear([name])
    assert len(detector.memory_.held) == len(held) - 1
    assert detector.score(asked)[0] < before
    detector.save(tmp_path)
    assert load_detector(tmp_path).score(asked)[0] == detector.score(asked)[0]


def test_held_windows_may_teach_after_some_days(fitted_all: dict[str, AroundDetector]) -> None:
    scores = fitted_all["forgiving"].score(days(ATTACK, NOW))
    np.testing.assert_allclose(scores[:7], scores[0], rtol=1e-6)
    assert scores[7] < scores[6]
    assert scores[-1] < scores[0] / 2
