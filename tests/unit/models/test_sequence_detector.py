"""The likelihood ratio of a window's actions, and the habits behind it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import gammaln
from sklearn.metrics import roc_auc_score

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.habits import RARE, Habits, rounds
from riskml.models.sequence import SequenceDetector

ACTIONS = ("<pad>", "<unknown>", *"abcdefgh")
SPEC = FeatureSpec((Feature("n", "volume", FeatureKind.COUNT, "events"),), ACTIONS)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def as_windows(users: list[str], texts: list[str], day: int = 0) -> Windows:
    """One window a text, an hour after the one before; letters are actions."""
    ids = [[ACTIONS.index(letter) for letter in text] for text in texts]
    lengths = np.array([len(row) for row in ids], np.int32)
    tokens = np.zeros((len(ids), int(lengths.max(initial=1))), np.int32)
    for i, row in enumerate(ids):
        tokens[i, : len(row)] = row
    time = pl.Series(
        [FIRST + timedelta(days=day, hours=i) for i in range(len(ids))],
        dtype=pl.Datetime("us", "UTC"),
    )
    keys = pl.DataFrame(
        {"window_id": [f"{day}-{i}" for i in range(len(ids))], "user_id": users},
    ).with_columns(start=time, end=time, n_events=pl.Series(lengths.astype(np.int64)))
    return Windows(keys, np.zeros((len(ids), 1), np.float32), SPEC, tokens, lengths)


def made(n: int, seed: int, day: int, strange: bool = False) -> Windows:
    """Four users with tastes of their own; a strange window is by a fifth taste."""
    rng = np.random.default_rng(seed)
    tastes = np.random.default_rng(1).dirichlet(np.full(8, 0.3), 5)
    user = rng.integers(0, 4, n)
    texts = ["".join(rng.choice(list("abcdefgh"), 30, p=tastes[4 if strange else u])) for u in user]
    return as_windows([f"user{u}" for u in user], texts, day)


@pytest.fixture(scope="module")
def fitted() -> SequenceDetector:
    return SequenceDetector().fit(made(200, 0, 0))


def test_a_stranger_at_the_desk_scores_high() -> None:
    normal, strange = made(60, 2, 30), made(60, 3, 40, strange=True)
    frozen = SequenceDetector(quarantine=1.0).fit(made(200, 0, 0))
    scores = np.concatenate([frozen.score(normal), frozen.score(strange)])
    assert roc_auc_score([0] * 60 + [1] * 60, scores) > 0.95


def test_score_is_the_ratio_of_two_compound_multinomials() -> None:
    windows = as_windows(["ann", "bob", "ann"], ["aab", "cc", "ab"])
    detector = SequenceDetector(memories=[1.0], quarantine=1.0).fit(windows)
    # nothing is learnt after training, so the habits are those of the first walk, here none
    weights = detector.weights_
    asked = as_windows(["ann"], ["aac"], 9)
    own, others = detector.habits_.counts[0, 0], np.zeros(len(ACTIONS))
    others[ACTIONS.index("c")] = 2.0
    q = (others + RARE) / (others + RARE).sum()
    p = (own + weights.prior * q) / (own.sum() + weights.prior)

    def log_likelihood(mix: np.ndarray, precision: float) -> float:
        total = gammaln(precision) - gammaln(precision + 3)
        for letter, count in (("a", 2), ("c", 1)):
            alpha = precision * mix[ACTIONS.index(letter)]
            total += gammaln(alpha + count) - gammaln(alpha)
        return float(total)

    expected = log_likelihood(q, weights.everybody) - log_likelihood(p, weights.own)
    assert math.isclose(detector.score(asked)[0], expected, rel_tol=1e-5)


def test_score_depends_on_the_own_past_alone(fitted: SequenceDetector) -> None:
    windows = made(80, 5, 30)
    scores = fitted.score(windows)
    for user in ("user0", "user3"):
        mine = (windows.keys["user_id"] == user).to_numpy()
        np.testing.assert_allclose(fitted.score(windows.take(mine)), scores[mine], rtol=1e-5)
    np.testing.assert_array_equal(fitted.score(windows.take(np.arange(40))), scores[:40])
    shuffled = np.random.default_rng(0).permutation(80)
    np.testing.assert_array_equal(fitted.score(windows.take(shuffled)), scores[shuffled])


def test_what_came_between_counts_as_if_scored_in_one_go(fitted: SequenceDetector) -> None:
    windows = made(80, 6, 30)
    whole = fitted.score(windows)
    past, rest = windows.take(np.arange(50)), windows.take(np.arange(50, 80))
    np.testing.assert_allclose(fitted.score_after(past, rest), whole[50:], rtol=1e-6)
    assert not np.allclose(fitted.score(rest), whole[50:])


def test_shares_of_the_actions_sum_to_the_score(fitted: SequenceDetector) -> None:
    windows = made(80, 6, 30)
    shares = fitted.contributions(windows)
    assert fitted.topics() is None
    assert shares.shape == windows.tokens.shape
    np.testing.assert_allclose(shares.sum(1), fitted.score(windows), rtol=1e-5, atol=1e-5)


def test_shares_explain_the_scores_that_came_after_others(fitted: SequenceDetector) -> None:
    windows = made(80, 6, 30)
    past, rest = windows.take(np.arange(50)), windows.take(np.arange(50, 80))
    scores, rows = fitted.score_after(past, rest), np.array([29, 3, 11])
    shares = fitted.contributions_after(past, rest, rows)
    np.testing.assert_allclose(shares.sum(1), scores[rows], rtol=1e-5, atol=1e-5)
    assert not np.allclose(fitted.contributions(rest.take(rows)).sum(1), scores[rows])


def test_share_of_an_action_is_its_ratio_given_those_before() -> None:
    detector = SequenceDetector(memories=[1.0, 0.8], quarantine=1.0)
    detector.fit(as_windows(["ann", "bob", "ann"], ["aab", "cc", "ab"]))
    texts = ["a", "ac", "aca", "acaa"]
    grown = detector.score(as_windows(["ann"] * 4, texts, 9))
    shares = detector.contributions(as_windows(["ann"], texts[-1:], 9))[0]
    np.testing.assert_allclose(shares, np.diff(grown, prepend=0), rtol=1e-4, atol=1e-6)


def test_shares_of_a_shorter_window_end_with_it(fitted: SequenceDetector) -> None:
    shares = fitted.contributions(as_windows(["user0", "user0"], ["ab", "abab"], 30))
    assert shares[0, 2:].tolist() == [0.0, 0.0]
    assert (shares[1] != 0).all()


def test_new_habits_are_learnt_and_attacks_are_not() -> None:
    detector = SequenceDetector().fit(made(200, 0, 0))
    stranger = made(60, 3, 40, strange=True)
    mine = stranger.take((stranger.keys["user_id"] == "user1").to_numpy())
    scores = detector.score(mine)
    assert scores[0] > detector.limit_
    # what is in quarantine stays strange
    assert scores[-1] > detector.limit_


def test_a_user_never_seen_gets_a_finite_score(fitted: SequenceDetector) -> None:
    scores = fitted.score(as_windows(["new", "new"], ["abab", "abab"], 30))
    assert np.isfinite(scores).all()


def test_a_single_user_is_judged_by_mean_surprise() -> None:
    usual = ["ab" * n for n in range(1, 30)]
    detector = SequenceDetector().fit(as_windows(["root"] * len(usual), usual))
    short, long, odd = detector.score(as_windows(["root"] * 3, ["ab", "ab" * 20, "hgfh"], 9))
    assert odd > max(short, long)
    shares = detector.contributions(as_windows(["root"] * 3, ["ab", "ab" * 20, "hgfh"], 9))
    np.testing.assert_allclose(shares.sum(1), [short, long, odd], rtol=1e-5)


def test_saved_and_loaded(fitted: SequenceDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    windows = made(30, 7, 30)
    np.testing.assert_array_equal(
        SequenceDetector.load(tmp_path).score(windows), fitted.score(windows)
    )


@pytest.mark.parametrize("settings", [{"memories": []}, {"memories": [1.5]}, {"quarantine": 0.0}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SequenceDetector(**settings)  # type: ignore[arg-type]


def test_memories_fade() -> None:
    windows = as_windows(["ann", "ann"], ["aa", "b"])
    none = np.zeros((2, 1, len(ACTIONS)))
    habits = Habits(none, none[0], none[0].sum(0), [1.0, 0.5])
    for part in rounds(windows, {"ann": 0}):
        habits.learn(part, np.ones(1, bool))
    a, b = ACTIONS.index("a"), ACTIONS.index("b")
    assert habits.counts[:, 0, a].tolist() == [2.0, 1.0]
    assert habits.counts[:, 0, b].tolist() == [1.0, 1.0]
    assert habits.totals[:, 0].tolist() == [3.0, 2.0]


def test_a_table_has_no_actions_to_judge() -> None:
    with pytest.raises(DataError, match="judges actions"):
        SequenceDetector().fit(np.ones((30, 2)))


def test_after_is_where_the_next_scores_begin(fitted: SequenceDetector, tmp_path: Path) -> None:
    past, later = made(60, 2, 30), made(60, 3, 40)
    before = fitted.score(later)
    after = fitted.after(past)
    expected = fitted.score(as_one(past, later))[60:]
    np.testing.assert_allclose(after.score(later), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(fitted.score(later), before)  # it stays as it is
    after.save(tmp_path)
    np.testing.assert_array_equal(SequenceDetector.load(tmp_path).score(later), after.score(later))


def test_who_was_alone_in_training_stays_alone(tmp_path: Path) -> None:
    """Company that comes later has no habits to compare with."""
    alone = SequenceDetector().fit(as_windows(["a"] * 30, ["abab", "abc"] * 15))
    past, later = as_windows(["b"] * 3, ["dd"] * 3, 30), as_windows(["a"], ["abd"], 40)
    alone.after(past).save(tmp_path)
    for detector in (alone.after(past), SequenceDetector.load(tmp_path)):
        np.testing.assert_allclose(detector.score(later), alone.score(later), rtol=1e-6)


def as_one(first: Windows, second: Windows) -> Windows:
    return Windows(
        pl.concat([first.keys, second.keys]),
        np.vstack([first.x, second.x]),
        first.spec,
        np.vstack([first.tokens, second.tokens]),
        np.concatenate([first.lengths, second.lengths]),
    )
