"""Scores that need no learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.baselines.simple import RandomDetector, WindowLengthDetector
from riskml.core.errors import BundleError, DataError
from riskml.core.types import FeatureSpec, Windows
from riskml.models.base import Detector, load_detector

MakeWindows = Callable[..., Windows]


@pytest.fixture
def windows(make_windows: MakeWindows) -> Windows:
    return make_windows(200, seed=5)


def test_random_differs_by_seed_and_not_by_call(windows: Windows) -> None:
    detector = RandomDetector(1).fit(windows)
    first = detector.score(windows)
    np.random.seed(0)
    assert detector.score(windows).tobytes() == first.tobytes()
    assert RandomDetector(1).fit(windows).score(windows).tobytes() == first.tobytes()
    other = RandomDetector(2).fit(windows).score(windows)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.25
    assert not (first == other).any()


def test_random_is_uniform_and_knows_nothing(make_windows: MakeWindows) -> None:
    windows = make_windows(5000)
    scores = RandomDetector().fit(windows).score(windows)
    assert scores.dtype == np.float32
    assert np.histogram(scores, 10, (0, 1))[0] == pytest.approx([500] * 10, abs=110)
    for j in range(5):
        assert abs(np.corrcoef(scores, windows.x[:, j])[0, 1]) < 0.06


def test_random_depends_on_the_window_alone_and_not_on_its_id(windows: Windows) -> None:
    detector = RandomDetector(1).fit(windows)
    order = np.random.default_rng(0).permutation(200)
    scores = detector.score(windows)
    assert np.array_equal(detector.score(windows.take(order)), scores[order])
    ids = pl.Series("window_id", [str(i) for i in range(200)])
    renamed = replace(windows, keys=windows.keys.with_columns(ids))
    assert np.array_equal(detector.score(renamed), scores)
    for changed in (
        replace(windows, x=windows.x + 1),
        replace(windows, tokens=windows.tokens[:, ::-1].copy()),
        replace(windows, keys=windows.keys.with_columns(user_id=pl.lit("another"))),
        replace(windows, keys=windows.keys.with_columns(pl.col("start").dt.offset_by("1h"))),
    ):
        assert (detector.score(changed) != scores).mean() > 0.9


def test_length_is_the_number_of_events(windows: Windows) -> None:
    scores = WindowLengthDetector().fit(windows).score(windows)
    assert scores.dtype == np.float32
    assert scores.tolist() == windows.keys["n_events"].to_list()


@pytest.mark.parametrize("detector", [RandomDetector(7), WindowLengthDetector()], ids=["a", "b"])
def test_saved_and_loaded(detector: Detector, windows: Windows, tmp_path: Path) -> None:
    detector.fit(windows).save(tmp_path / "new")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["detector.json"]
    loaded = load_detector(tmp_path / "new")
    assert type(loaded) is type(detector)
    assert loaded.settings() == detector.settings()
    assert loaded.score(windows).tobytes() == detector.score(windows).tobytes()
    assert loaded.spec_.features == windows.spec.features


@pytest.mark.parametrize("kind", [RandomDetector, WindowLengthDetector])
def test_refuses_what_it_was_not_fitted_on(kind: type[Detector], windows: Windows) -> None:
    with pytest.raises(DataError, match="is not fitted"):
        kind().score(windows)
    fewer = replace(windows, x=windows.x[:, :2], spec=FeatureSpec(windows.spec.features[:2]))
    with pytest.raises(DataError, match="other features"):
        kind().fit(windows).score(fewer)


def test_files_of_the_other_detector(windows: Windows, tmp_path: Path) -> None:
    RandomDetector().fit(windows).save(tmp_path)
    with pytest.raises(BundleError, match=r"holds a .*RandomDetector, not a .*WindowLength"):
        WindowLengthDetector.load(tmp_path)
