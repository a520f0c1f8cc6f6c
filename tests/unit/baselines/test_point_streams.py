"""Points one after the other: scored as they come, in whatever batches, and learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from riskml import HalfSpaceTreesDetector, PointStream, RRCFDetector
from riskml.core.errors import BundleError, ConfigError, DataError


def stream(quarantine: float = 0.05, block: int = 50) -> PointStream:
    forest = RRCFDetector(trees=10, sample=64, memory=150, quarantine=quarantine)
    return PointStream(forest, block)


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4))


def test_batches_make_no_difference() -> None:
    whole, parts = stream(), stream()
    x = points(400)
    scores = whole.score(x)
    cuts = np.sort(np.random.default_rng(1).choice(400, 30, replace=False))
    np.testing.assert_array_equal(
        np.concatenate([parts.score(part) for part in np.split(x, cuts)]), scores
    )
    assert (scores[:50] == 0).all()
    assert (scores[50:] > 0).all()
    assert whole.seen == parts.seen == 400


def test_it_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    first, x = stream(), points(330)
    first.score(x[:130])
    first.save(tmp_path)
    np.testing.assert_array_equal(PointStream.load(tmp_path).score(x[130:]), first.score(x[130:]))
    (tmp_path / "stream.json").write_text("{}")
    with pytest.raises(BundleError, match=r"stream\.json"):
        PointStream.load(tmp_path)


def test_a_new_one_can_be_saved(tmp_path: Path) -> None:
    PointStream(HalfSpaceTreesDetector(memory=64), 32).save(tmp_path)
    assert len(PointStream.load(tmp_path).score(points(40))) == 40


def test_it_follows_the_points_but_for_a_few_that_are_odd() -> None:
    x = points(1500)
    x[700:] += 8  # all of them are elsewhere from here on
    odd = np.arange(1000, 1500, 50)
    x[odd] += 8
    scores = stream().score(x)
    assert np.median(scores[700:750]) > 2 * np.median(scores[100:700])
    usual = np.setdiff1d(np.arange(1000, 1500), odd)
    assert np.median(scores[usual]) < 1.3 * np.median(scores[100:700])
    assert scores[odd].min() > np.quantile(scores[usual], 0.99)


def test_points_of_another_shape_are_refused() -> None:
    made = stream()
    made.score(points(10))
    with pytest.raises(DataError, match="have 3 columns, those before had 4"):
        made.score(np.zeros((2, 3)))
    with pytest.raises(DataError, match="finite numbers"):
        made.score(np.full((2, 4), np.nan))
    with pytest.raises(DataError, match="finite numbers"):
        made.score(np.zeros(4))


def test_a_block_has_to_fit_into_the_memory() -> None:
    with pytest.raises(ConfigError, match="block=151"):
        stream(block=151)
