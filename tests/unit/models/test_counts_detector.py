"""Upper tails of counts, rates drawn to the peers', and what makes a score of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_windows import as_user, make_windows
from scipy.stats import nbinom

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import PEER, FeatureKind, FeatureSpec, Windows
from riskml.models.counts import CountsDetector
from riskml.models.rates import shrunk, surprise_of_so_many

COUNT_COLUMNS, BINARY_COLUMNS = [0, 4], [2, 6]


def with_peers(windows: Windows, peers: dict[str, str]) -> Windows:
    named = pl.col("user_id").replace_strict(peers, default="strangers").alias(PEER)
    return replace(windows, keys=windows.keys.with_columns(named))


PEERS = {"user_0": "night", "user_1": "night", "user_2": "day"}


@pytest.fixture(scope="module")
def train() -> Windows:
    return with_peers(make_windows(each=40, seed=0), PEERS)


@pytest.fixture(scope="module")
def detector(train: Windows) -> CountsDetector:
    return CountsDetector(top_k=2).fit(train)


def test_surprise_is_the_upper_tail_of_a_negative_binomial() -> None:
    count, mean, shape = np.arange(0.0, 200), 3.0, 2.0
    found = surprise_of_so_many(count, np.array(mean), np.array(mean + mean**2 / shape))
    expected = -nbinom.logsf(count - 1, shape, shape / (shape + mean))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("mean", "variance"), [(3.0, 7.5), (1e-3, 0.05), (0.5, 0.5), (50.0, 3e4)])
def test_surprise_rises_without_end(mean: float, variance: float) -> None:
    count = np.concatenate([np.arange(1.0, 5000), [1e5, 1e7]])
    found = surprise_of_so_many(count, np.array(mean), np.array(variance))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


def test_a_parent_weighs_more_where_groups_are_alike() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 5)
    alike, apart = rng.poisson(4.0, 150), rng.poisson(np.linspace(0.5, 20, 30)[group])
    x = np.stack([alike, apart], 1).astype(np.float64)
    means, _ = shrunk(x, group, np.zeros(30, np.int64), x.mean(0)[None])
    own = np.stack([x[group == g].mean(0) for g in range(30)])
    kept = np.abs(means - x.mean(0)).mean(0) / np.abs(own - x.mean(0)).mean(0)
    assert kept[0] < 0.3
    assert kept[1] > 0.8


def test_few_windows_leave_more_room() -> None:
    x = np.random.default_rng(1).poisson(5.0, (101, 1)).astype(np.float64)
    x[100] = 5
    group = np.array([0] * 100 + [1])
    _, variance = shrunk(x, group, np.zeros(2, np.int64), x.mean(0)[None])
    assert variance[1] > variance[0]


def test_score_is_the_mean_of_the_largest_parts_of_counts(
    detector: CountsDetector, train: Windows
) -> None:
    test = with_peers(make_windows(each=9, seed=1), PEERS)
    parts = detector.contributions(test)
    assert ((parts != 0).sum(1) <= 2).all()
    assert not np.delete(parts, COUNT_COLUMNS + BINARY_COLUMNS, 1).any()
    everything = CountsDetector(top_k=0).fit(train).contributions(test) * 4
    looked_at = everything[:, COUNT_COLUMNS + BINARY_COLUMNS]
    largest = np.sort(looked_at, axis=1)[:, -2:].mean(1)
    np.testing.assert_allclose(detector.score(test), largest, rtol=1e-4, atol=1e-5)


def test_odd_only_if_odd_for_the_user_and_for_the_peers(detector: CountsDetector) -> None:
    # user_0 has 4 events a day, user_1, a colleague, 10, and user_2, who is none, 16
    day = with_peers(make_windows(users=1, each=1, seed=2), PEERS)
    scores = []
    for events in (4, 10, 40):
        x = day.x.copy()
        x[:, COUNT_COLUMNS + BINARY_COLUMNS] = 0
        x[:, 0] = events
        own, as_peer = (
            detector._surprise(detector._counted(replace(day, x=x)), rows)[0, 0]
            for rows in detector._rows(day)
        )
        scores.append(np.expm1(detector._log_evidence(replace(day, x=x))[0, 0]))
        assert scores[-1] == pytest.approx(min(own, as_peer))
    assert scores[0] < scores[1] < 4 < scores[2]


def test_new_users_are_judged_by_peers_and_new_peers_by_everybody(
    detector: CountsDetector,
) -> None:
    new = as_user(make_windows(users=1, each=1, seed=3), "new")
    for peer, row in (("night", detector.peers_["night"]), ("strangers", 0)):
        user_rows, peer_rows = detector._rows(with_peers(new, {"new": peer}))
        assert user_rows.tolist() == peer_rows.tolist() == [row]
    assert np.isfinite(detector.score(with_peers(new, {}))).all()


def test_what_never_happened_is_odd_but_finite(train: Windows) -> None:
    x = train.x.copy()
    x[:, 4] = 0
    detector = CountsDetector(top_k=1).fit(replace(train, x=x))
    odd = x[:1].copy()
    odd[:, 4] = 1e6
    score = detector.score(replace(train.take(np.array([0])), x=odd))
    assert np.isfinite(score)
    assert score > detector.decision_scores_.max()


def test_peers_survive_saving(detector: CountsDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    test = with_peers(as_user(make_windows(each=5, seed=4), "new"), {"new": "day"})
    loaded = CountsDetector.load(tmp_path)
    np.testing.assert_array_equal(loaded.score(test), detector.score(test))


def test_windows_without_counts_are_refused() -> None:
    train = make_windows(each=5)
    pace = [i for i, f in enumerate(train.spec.features) if f.kind == FeatureKind.CONTINUOUS]
    spec = FeatureSpec(tuple(train.spec.features[i] for i in pace))
    with pytest.raises(DataError, match="counts or binary"):
        CountsDetector().fit(replace(train, x=train.x[:, pace], spec=spec))


def test_top_k_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="top_k"):
        CountsDetector(top_k=-1)
