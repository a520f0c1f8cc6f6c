"""The mean of several detectors, and which of them are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from walks import days, train, usual

from riskml.baselines.pyod import PyODDetector
from riskml.baselines.simple import RandomDetector, WindowLengthDetector
from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Windows
from riskml.models.base import Detector, load_detector
from riskml.models.neighbours import NeighboursDetector
from riskml.wrappers.ensemble import EnsembleDetector
from riskml.wrappers.persistence import PersistenceDetector
from riskml.wrappers.quarantine import QuarantineDetector

LENGTH, BY_CHANCE = WindowLengthDetector(), RandomDetector()


def members() -> list[Detector]:
    return [LENGTH, PersistenceDetector(LENGTH), QuarantineDetector(LENGTH), BY_CHANCE]


def planted() -> tuple[Windows, np.ndarray]:
    """Forty windows in two hundred have three times as many events."""
    odd = np.arange(200) % 5 == 0
    events = np.where(odd, 300, 0) + usual(20, 10, 5).T.ravel()
    return days(events.reshape(10, 20).T, 100), odd


@pytest.mark.parametrize("combine", ["p_value", "rank"])
def test_better_than_the_worst_member(combine: str) -> None:
    windows, odd = planted()
    single = [roc_auc_score(odd, d.fit(*train()).score(windows)) for d in members()]
    ensemble = EnsembleDetector(members(), combine).fit(*train())
    assert roc_auc_score(odd, ensemble.score(windows)) > min(single) + 0.2


def test_score_is_the_mean_evidence() -> None:
    ensemble = EnsembleDetector([LENGTH, BY_CHANCE]).fit(*train())
    windows = planted()[0]
    each = [part.evidence(windows) for part in ensemble.parts_]
    np.testing.assert_allclose(ensemble.score(windows), np.mean(each, 0), rtol=1e-6)
    np.testing.assert_allclose(ensemble.contributions(windows), np.stack(each, 1) / 2, rtol=1e-6)
    assert ensemble.topics() == ["WindowLength", "Random"]


def test_rank_is_the_share_of_later_windows_below() -> None:
    early, later = train()
    ensemble = EnsembleDetector([LENGTH], "rank").fit(early, later)
    events = later.keys["n_events"].to_numpy()
    for count in (10, 70, 200):
        rank = ensemble.score(days(np.array([[count]]), 100))[0]
        assert rank == pytest.approx((events < count).mean(), abs=0.02)


@pytest.mark.parametrize("keep", [1, 3])
def test_the_odd_one_out_is_dropped(keep: int, tmp_path: Path) -> None:
    ensemble = EnsembleDetector(members(), keep=keep).fit(*train())
    assert len(ensemble.kept_) == keep
    assert 3 not in ensemble.kept_, "chance agrees with nobody"
    windows = planted()[0]
    assert "Random" not in ensemble.topics()
    assert ensemble.contributions(windows).shape[1] == len(ensemble.topics())
    ensemble.save(tmp_path)
    loaded = load_detector(tmp_path)
    assert isinstance(loaded, EnsembleDetector)
    assert loaded.kept_ == ensemble.kept_
    assert loaded.settings() == ensemble.settings()
    np.testing.assert_array_equal(loaded.score(windows), ensemble.score(windows))


def test_a_member_that_says_nothing_is_not_kept() -> None:
    """Its order of the windows agrees with no other, and has no correlation at all."""
    early, later = train()
    same = np.full(len(later), 5)
    flat = days(same.reshape(30, 20).T, 60)
    with np.errstate(all="raise"):
        assert EnsembleDetector([LENGTH, BY_CHANCE], keep=1).fit(early, flat).kept_ == [1]


def test_remembers_if_a_member_does() -> None:
    assert not EnsembleDetector([LENGTH, BY_CHANCE]).remembers
    ensemble = EnsembleDetector([QuarantineDetector(LENGTH), LENGTH]).fit(*train())
    assert ensemble.remembers
    windows = days(usual(5, 20, 3) * 3, 100)
    past, rest = windows.take(np.arange(50)), windows.take(np.arange(50, 100))
    scores = ensemble.score_after(past, rest)
    np.testing.assert_allclose(scores, ensemble.score(windows)[50:], rtol=1e-6)
    np.testing.assert_allclose(
        ensemble.contributions_after(past, rest, np.arange(len(rest))).sum(1),
        scores,
        rtol=1e-5,
        atol=1e-5,
    )


def test_members_stay_as_they_are() -> None:
    given = [WindowLengthDetector(), RandomDetector(seed=3)]
    ensemble = EnsembleDetector(given, keep=1).fit(*train())
    assert not any(hasattr(detector, "spec_") for detector in given)
    again = clone(ensemble)
    assert again.settings() == ensemble.settings()
    assert again.get_params()["keep"] == 1
    assert again.detectors[1] is not given[1]


def test_tables_of_numbers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    ensemble = EnsembleDetector([PyODDetector("KNN"), NeighboursDetector()]).fit(x)
    assert ensemble.decision_function([[9.0, 9.0, 9.0]])[0] > ensemble.threshold_
    with pytest.raises(DataError, match="30 windows are too few"):
        EnsembleDetector([LENGTH]).fit(x[:30])


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="must name at least one"):
        EnsembleDetector([])
    with pytest.raises(ConfigError, match="detectors=vae must be a detector"):
        EnsembleDetector(["vae"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="combine=ranks: did you mean 'rank'"):
        EnsembleDetector([LENGTH], combine="ranks")
    with pytest.raises(ConfigError, match="keep=2 must lie between 1 and the 1 detectors"):
        EnsembleDetector([LENGTH], keep=2)
