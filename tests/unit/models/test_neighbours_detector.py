"""Distances from the nearest train windows, seen from the middle of each user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_windows import as_user, make_windows

from riskml.core.errors import ConfigError
from riskml.core.types import FeatureKind
from riskml.models.neighbours import NeighboursDetector


def test_score_is_the_mean_distance_of_a_plain_search() -> None:
    train, test = make_windows(each=27, seed=0), make_windows(each=7, seed=1)
    detector = NeighboursDetector(neighbours=3).fit(train)
    scaled = detector.deviations_.scaler.transform(train.x).astype(np.float64)
    user = train.keys["user_id"].to_numpy()
    middle = {name: scaled[user == name].sum(0) / ((user == name).sum() + 5) for name in set(user)}
    relative = scaled - np.stack([middle[name] for name in user])
    spread = relative.std(0)
    asked = detector.deviations_.scaler.transform(test.x) - np.stack(
        [middle[name] for name in test.keys["user_id"]]
    )
    expected = np.ones(len(test))
    for view in (lambda z: z, lambda z: np.maximum(z, 0)):
        near, here = view(relative / spread), view(asked / spread)
        apart = np.sqrt(((here[:, None] - near[None]) ** 2).sum(2))
        expected *= np.sort(apart, axis=1)[:, 2]
    np.testing.assert_allclose(detector.score(test), np.sqrt(expected), rtol=1e-4)


def test_a_user_not_known_is_measured_from_the_middle_of_all() -> None:
    train = make_windows(each=27, seed=0)
    detector = NeighboursDetector().fit(train)
    strange = as_user(make_windows(each=2, seed=2), "nobody")
    np.testing.assert_allclose(
        detector.deviations_.of(strange),
        detector.deviations_.scaler.transform(strange.x) / detector.deviations_.spread,
        rtol=1e-5,
    )


def test_only_so_many_train_windows_are_kept(tmp_path: Path) -> None:
    detector = NeighboursDetector(max_windows=30).fit(make_windows(each=27, seed=0))
    assert len(detector.train_) == 30
    detector.save(tmp_path)
    test = make_windows(each=3, seed=3)
    np.testing.assert_array_equal(
        NeighboursDetector.load(tmp_path).score(test), detector.score(test)
    )


@pytest.mark.parametrize("setting", ["neighbours", "max_windows", "prior_windows"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        NeighboursDetector(**{setting: -1})


def test_what_is_missing_is_odd_only_where_both_ways_count() -> None:
    train, test = make_windows(each=27, seed=0), make_windows(each=7, seed=1)
    lowest = test.x.copy()
    lowest[:, test.spec.columns(FeatureKind.COUNT)] = 0.0
    less = replace(test, x=lowest)

    def rise(**settings: bool) -> float:
        detector = NeighboursDetector(prior_windows=0, **settings).fit(train)
        return float((detector.score(less) / detector.score(test)).mean())

    assert rise(upward=False) > rise(upward=True)


def test_without_scaling_a_count_weighs_by_its_logarithm(tmp_path: Path) -> None:
    train, test = make_windows(each=27, seed=0), make_windows(each=7, seed=1)
    detector = NeighboursDetector(scaled=False, prior_windows=0, neighbours=1).fit(train)
    counts = test.spec.columns(FeatureKind.COUNT)
    more = test.x.copy()
    more[:, counts[0]] = (1 + more[:, counts[0]]) * np.e - 1
    further = detector.deviations_.of(replace(test, x=more)) - detector.deviations_.of(test)
    np.testing.assert_allclose(further[:, counts[0]], 1.0, rtol=1e-4)
    detector.save(tmp_path)
    np.testing.assert_array_equal(
        NeighboursDetector.load(tmp_path).score(test), detector.score(test)
    )
