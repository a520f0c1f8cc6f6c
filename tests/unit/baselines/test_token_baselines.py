"""Baselines that count actions, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.baselines.tokens import (
    RARE,
    BigramDetector,
    FirstTimesDetector,
    RareTokensDetector,
    TokenDetector,
    UnigramRatioDetector,
)
from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.base import load_detector

MakeWindows = Callable[..., Windows]
LOGIN, READ = 2, 3
DETECTORS = (
    FirstTimesDetector(),
    RareTokensDetector(),
    UnigramRatioDetector(),
    BigramDetector(),
    BigramDetector(top_k=2),
)
detectors = pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)


def doing(make_windows: MakeWindows, users: list[str], actions: list[list[int]]) -> Windows:
    """One window for each list of actions."""
    made = make_windows(len(actions))
    tokens = np.zeros((len(actions), 6), np.int32)
    for i, row in enumerate(actions):
        tokens[i, : len(row)] = row
    lengths = np.array([len(row) for row in actions], np.int32)
    keys = made.keys.with_columns(pl.Series("user_id", users))
    return replace(made, keys=keys, tokens=tokens, lengths=lengths)


@pytest.fixture
def train(make_windows: MakeWindows) -> Windows:
    """Ann logs in thrice and reads once; Bob reads four times."""
    return doing(make_windows, ["ann", "bob"], [[LOGIN, LOGIN, READ, LOGIN], [READ] * 4])


@pytest.fixture
def asked(make_windows: MakeWindows) -> Windows:
    actions = [[LOGIN, READ], [LOGIN, LOGIN, LOGIN, READ], [LOGIN], []]
    return doing(make_windows, ["ann", "bob", "eve", "ann"], actions)


def test_rare_tokens(train: Windows, asked: Windows) -> None:
    scores = RareTokensDetector().fit(train).score(asked)
    total = 8 + 4 * RARE
    login, read = -log((3 + RARE) / total), -log((5 + RARE) / total)
    assert scores.tolist() == pytest.approx([login + read, 3 * login + read, login, 0], rel=1e-6)


def test_unigram_ratio_leaves_the_user_out_of_everybody(train: Windows, asked: Windows) -> None:
    scores = UnigramRatioDetector(prior=2).fit(train).score(asked)

    def ratio(others: float, total_others: float, own: float, total: float) -> float:
        share = (others + RARE) / (total_others + 4 * RARE)
        return log(share) - log((own + 2 * share) / (total + 2))

    ann = (ratio(0, 4, 3, 4) + ratio(4, 4, 1, 4)) / 2
    bob = (3 * ratio(3, 4, 0, 4) + ratio(1, 4, 4, 4)) / 4
    assert scores[:2].tolist() == pytest.approx([ann, bob], rel=1e-6)
    assert scores[2:].tolist() == [0, 0], "nothing is known of Eve, nothing was done"
    assert scores[1] > 0 > scores[0], "Bob does what Ann does"


def test_bigram_mixes_pairs_with_actions(train: Windows, asked: Windows) -> None:
    everybody = (3 + RARE) / (8 + 4 * RARE)  # of a login
    own = (3 + 2 * everybody) / (4 + 2)
    first = (1 + 2 * own) / (1 + 2)  # Ann's only window begins with a login
    everybody = (5 + RARE) / (8 + 4 * RARE)
    own = (1 + 2 * everybody) / (4 + 2)
    then_read = (1 + 2 * own) / (2 + 2)  # two logins go on, one with a read
    detector = BigramDetector(prior=2).fit(train)
    parts = detector.contributions(asked)[0]
    assert parts.tolist() == pytest.approx([-log(first) / 2, -log(then_read) / 2, 0, 0, 0, 0])
    assert detector.score(asked)[0] == pytest.approx(parts.sum())


def test_mean_of_the_largest(train: Windows, asked: Windows) -> None:
    surprises = BigramDetector().fit(train).contributions(asked)[1] * 4
    largest = BigramDetector(top_k=2).fit(train)
    assert largest.score(asked)[1] == pytest.approx(np.sort(surprises)[-2:].mean())
    assert (largest.contributions(asked)[1] > 0).sum() == 2
    short = BigramDetector().fit(train).score(asked)[[0, 2, 3]]
    assert largest.score(asked)[[0, 2, 3]].tolist() == pytest.approx(short.tolist())


def test_first_times_are_different_actions_not_done_in_training(
    train: Windows, asked: Windows
) -> None:
    detector = FirstTimesDetector().fit(train)
    assert detector.score(asked).tolist() == [0, 1, 1, 0]
    assert detector.contributions(asked)[1].tolist() == [1, 0, 0, 0, 0, 0]
    assert detector.topics() is None


def test_first_times_are_the_sum_of_the_novelty_features(train: Windows, tmp_path: Path) -> None:
    names = ("new_action_to_user", "absence_action", "new_resource_to_peers")
    novelty = [Feature(name, "novelty", FeatureKind.COUNT, "") for name in names]
    other = Feature("new_hires", "volume", FeatureKind.COUNT, "")
    spec = FeatureSpec((other, *novelty), train.spec.actions)
    windows = replace(train, spec=spec, x=np.array([[9, 1, 30, 2], [9, 0, 7, 4]], np.float32))
    detector = FirstTimesDetector().fit(windows)
    assert detector.score(windows).tolist() == [3, 4]
    assert detector.contributions(windows).tolist() == [[1, 2], [0, 4]]
    assert detector.topics() == ["new_action_to_user", "new_resource_to_peers"]
    detector.save(tmp_path)
    assert load_detector(tmp_path).score(windows).tolist() == [3, 4]


@detectors
def test_saved_and_loaded(
    detector: TokenDetector, train: Windows, asked: Windows, tmp_path: Path
) -> None:
    detector.fit(train).save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"detector.json", "counts.safetensors"}
    loaded = load_detector(tmp_path)
    assert loaded.settings() == detector.settings()
    assert loaded.score(asked).tobytes() == detector.score(asked).tobytes()
    assert loaded.contributions(asked).tobytes() == detector.contributions(asked).tobytes()


@detectors
def test_a_table_has_no_actions_to_count(detector: TokenDetector) -> None:
    table = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(DataError, match=r"Detector counts actions, and these windows hold none"):
        type(detector)().fit(table)


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="top_k=0 must be at least 1, or null"):
        BigramDetector(top_k=0)
    with pytest.raises(ConfigError, match="prior=0 must be above 0"):
        BigramDetector(prior=0)
    with pytest.raises(ConfigError, match="prior=-1 must be above 0"):
        UnigramRatioDetector(-1)
