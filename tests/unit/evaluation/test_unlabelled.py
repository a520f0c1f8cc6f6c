"""What a judge says of detectors whose scores are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluation_cases import GivenScores, MakeWindows

from riskml.core.errors import DataError
from riskml.core.types import FloatArray, Windows
from riskml.evaluation.choice import AGREEMENT, INJECTED, LABELS, LIKELIHOOD, TERMS
from riskml.evaluation.unlabelled import Attacks, Judge, TimeFold, ranks_by
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.deep import TrainingSettings
from riskml.models.transformer import TransformerDetector
from riskml.models.vae import VAEDetector
from riskml.scoring.thresholds import AlertShare

ODD = (3, 8, 11)


class Gives(GivenScores):
    """Scores windows by their first feature, turned round if asked to."""

    def __init__(self, sign: float = 1.0, surprise: float | None = None) -> None:
        super().__init__({})
        self.expect(0.1, None)
        self.sign, self.given = sign, surprise

    def score(self, windows: Windows) -> FloatArray:
        return (self.sign * windows.x[:, 0]).astype(np.float32)

    def held_out_surprise(self, windows: Windows) -> FloatArray | None:
        if self.given is None:
            return None
        return np.full(len(windows), self.given, np.float32)


def fold(make_windows: MakeWindows, **more: Any) -> TimeFold:
    """The odd windows of the injected block have the highest first feature."""
    train, calibration, held, injected = (
        make_windows(40, seed=i, first_day=4 * i) for i in range(4)
    )
    x = injected.x.copy()
    x[:, 0] = np.arange(40) / 100
    x[list(ODD), 0] = 50
    odd = np.zeros(40, np.int8)
    odd[list(ODD)] = 1
    return TimeFold(train, calibration, held, replace(injected, x=x), odd, **more)


def judge(found: TimeFold, **more: Any) -> Judge:
    return Judge(found, AlertShare(0.1), TERMS, **more)


def test_terms_of_a_good_and_of_a_bad_detector(make_windows: MakeWindows) -> None:
    found = fold(make_windows)
    consensus = ranks_by(found, Gives())
    good, seconds = judge(found, simple=consensus).measure(Gives())
    bad, _ = judge(found, simple=consensus).measure(Gives(-1))
    assert good[INJECTED] == pytest.approx(1.0) and bad[INJECTED] == 0.0
    assert good[AGREEMENT] == pytest.approx(1.0) and bad[AGREEMENT] == pytest.approx(0.0)
    assert LABELS not in good, "no attack is known"
    assert seconds > 0


def test_a_likelihood_counts_where_there_is_one(make_windows: MakeWindows) -> None:
    found = fold(make_windows)
    assert judge(found).measure(Gives(surprise=3.0))[0][LIKELIHOOD] == -3.0
    other, _ = judge(found).measure(Gives())
    assert 0 < other[LIKELIHOOD] < 1
    with pytest.raises(DataError, match="40 of 40 scores are no finite number"):
        judge(found).measure(Gives(surprise=float("nan")))


def test_what_is_off_is_not_measured(make_windows: MakeWindows) -> None:
    only = Judge(fold(make_windows), AlertShare(0.1), (AGREEMENT,), np.arange(40.0))
    assert list(only.measure(Gives())[0]) == [AGREEMENT]


def test_scores_that_are_no_numbers_are_refused(make_windows: MakeWindows) -> None:
    with pytest.raises(DataError, match="scores are no finite number"):
        judge(fold(make_windows)).measure(Gives(float("inf")))


def test_mixed_windows_are_half_another(make_windows: MakeWindows) -> None:
    found = fold(make_windows)
    mixed, held = found.mixed, found.held
    moved = (mixed.x != held.x).mean()
    assert 0.2 < moved < 0.6
    assert set(mixed.x[:, 1]) <= set(held.x[:, 1]), "values come from other windows"
    assert (mixed.tokens != held.tokens).any()
    np.testing.assert_array_equal(mixed.tokens == 0, held.tokens == 0)
    np.testing.assert_array_equal(mixed.x, fold(make_windows).mixed.x)


def test_times_go_with_their_tokens(make_windows: MakeWindows) -> None:
    held = make_windows(30, seed=5, event_times=True)
    mixed = TimeFold(held, held, held, held, np.zeros(30, np.int8)).mixed
    moved = (mixed.times != held.times).any(2)
    assert moved.any()
    assert not moved[mixed.tokens == 0].any()


def test_incidents_are_found_by_the_threshold_of_held_out_windows(
    make_windows: MakeWindows,
) -> None:
    base = fold(make_windows)
    some = make_windows(4, seed=9)
    x = some.x.copy()
    x[:, 0] = [1e6, -1e6, -1e6, 1e6]
    attacks = Attacks(replace(some, x=x), [["one"], ["one"], ["two"], ["three", "four"]])
    assert attacks.count == 4
    found = replace(base, attacks=attacks)
    assert judge(found).measure(Gives())[0][LABELS] == pytest.approx(3 / 4)
    assert judge(found).measure(Gives(-1))[0][LABELS] == pytest.approx(2 / 4)


def test_likelihoods_are_of_one_density_whatever_beta_is(make_windows: MakeWindows) -> None:
    """The same weights say the same, however the divergence was weighed in training."""
    train = make_windows(60)
    short = TrainingSettings(max_epochs=1)
    detector = VAEDetector([8], 2, beta=1.0, training=short).fit(train, train)
    before = detector.held_out_surprise(train)
    detector.network.beta = 50.0
    after = detector.held_out_surprise(train)
    assert before is not None and after is not None
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(detector.score(train), before)


def test_which_detectors_have_a_likelihood(make_windows: MakeWindows) -> None:
    train = make_windows(40)
    spec = replace(train.spec, action_vectors=np.zeros((4, 0), np.float32))
    train = replace(train, spec=spec)
    none = TrainingSettings(max_epochs=0)
    assert AutoencoderDetector([8], 2, training=none).fit(train).held_out_surprise(train) is None
    transformer = TransformerDetector(8, 1, 2, training=none).fit(train)
    surprise = transformer.held_out_surprise(train)
    assert surprise is not None
    expected = np.log(len(train.spec.actions))
    assert surprise.mean() == pytest.approx(expected, rel=0.5), "an untrained one guesses"
