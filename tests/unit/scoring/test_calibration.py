"""Scores → p-values and risk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.scoring.calibration import Calibration
from riskml.scoring.settings import ScoringSettings


def test_p_values_and_risk_by_hand() -> None:
    calibration = Calibration.fit(np.arange(99))
    # 98 % of 0..98 lie up to 96; three scores are at or above it, two lie 1 and 2 beyond.
    assert calibration.p_value([0, 50, 96]) == pytest.approx([1, 0.5, 0.04])
    assert calibration.p_value([49.5]) == pytest.approx([0.505])
    assert calibration.p_value([98]) == pytest.approx([0.04 * math.exp(-2 / 1.5)])
    assert calibration.risk([0, 50]) == pytest.approx([0, 25 * math.log10(2)])


def test_a_hundred_times_rarer_is_fifty_more() -> None:
    calibration = Calibration.fit(np.arange(99))
    at = calibration.knots[-1] + calibration.tail_scale * np.array([0, math.log(100)])
    low, high = calibration.risk(at)
    assert high - low == pytest.approx(50)


def test_p_values_hold_on_fresh_scores() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration.fit(rng.gamma(2, size=20_000))
    p = calibration.p_value(rng.gamma(2, size=20_000))
    for level in (0.5, 0.1, 0.01, 0.001):
        assert np.mean(p <= level) == pytest.approx(level, rel=0.35)


def test_few_knots_stand_for_many_scores() -> None:
    scores = np.random.default_rng(1).normal(size=30_000)
    few, many = Calibration.fit(scores, 200), Calibration.fit(scores, 100_000)
    assert len(few.knots) == 200
    assert few.knots[[0, -1]].tolist() == many.knots[[0, -1]].tolist()
    np.testing.assert_allclose(few.p_value(scores), many.p_value(scores), atol=0.006)


def test_tail_keeps_rising() -> None:
    scores = np.random.default_rng(2).normal(size=200)
    calibration = Calibration.fit(scores)
    beyond = scores.max() + np.linspace(0, 0.5, 20)
    assert (np.diff(calibration.p_value(beyond)) < 0).all()
    assert (np.diff(calibration.risk(beyond)) > 0).all()
    assert calibration.risk([scores.max() + 1e6]).tolist() == [100]


SCORES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=20, max_size=120)


@settings(max_examples=100, deadline=None)
@given(SCORES, st.lists(st.floats(-2e6, 2e6, width=32), min_size=2, max_size=50))
def test_monotone_and_within_bounds(scores: list[float], asked: list[float]) -> None:
    calibration = Calibration.fit(scores)
    s = np.sort(np.array([*asked, *scores]))
    p, risk = calibration.p_value(s), calibration.risk(s)
    assert ((p > 0) & (p <= 1)).all()
    assert ((risk >= 0) & (risk <= 100)).all()
    assert (np.diff(p) <= 1e-12).all()
    assert (np.diff(risk) >= -1e-9).all()
    assert calibration.p_value([s[0]])[0] == p[0]


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e-3, -123.456])
def test_constant_scores(value: float) -> None:
    scores = np.full(25, value)
    calibration = Calibration.fit(scores)
    assert calibration.p_value(scores).tolist() == [1.0] * 25
    assert calibration.risk(scores).tolist() == [0.0] * 25
    a_little_more = calibration.risk([value + 1e-6])[0]
    assert 0 <= a_little_more < 1


def test_infinities() -> None:
    scores = np.arange(50.0)
    calibration = Calibration.fit(scores)
    p = calibration.p_value([-np.inf, np.inf])
    assert p[0] == 1
    assert 0 < p[1] < 1e-100
    assert calibration.risk([-np.inf, np.inf]).tolist() == [0, 100]
    for odd in (np.inf, -np.inf, np.nan):
        with pytest.raises(DataError, match="not all finite"):
            Calibration.fit([*scores, odd])


def test_too_few_scores() -> None:
    with pytest.raises(DataError, match=r"has 19 windows, 20 are needed.*data\.split\.calibration"):
        Calibration.fit(np.arange(19))
    assert Calibration.fit(np.arange(20)).p_value([0]).tolist() == [1]


def test_saved_and_loaded(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).normal(size=500).astype(np.float32)
    calibration = Calibration.fit(scores)
    calibration.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    asked = np.linspace(-5, 50, 1000)
    assert loaded.p_value(asked).tobytes() == calibration.p_value(asked).tobytes()
    assert loaded.risk(asked).tobytes() == calibration.risk(asked).tobytes()
    assert set(json.loads((tmp_path / "calibration.json").read_text())) == {
        "knots",
        "exceedance",
        "tail_scale",
        "peers",
        "alert_by",
    }


def with_peers() -> tuple[Calibration, np.ndarray, pl.Series]:
    rng = np.random.default_rng(4)
    peers = pl.Series("peer", ["a"] * 300 + ["b"] * 200 + ["few"] * 199)
    scores = rng.normal(size=699) + 10 * (peers == "a").to_numpy()
    return ScoringSettings(alert_by="p_value").calibrate(scores, peers), scores, peers


def test_each_peer_group_of_enough_windows_has_its_own_curve() -> None:
    calibration, scores, peers = with_peers()
    assert list(calibration.peers) == ["a", "b"]
    asked = pl.Series(["a", "b", "few", "never seen"])
    p = calibration.p_value([3, 3, 3, 3], asked)
    of = {name: Calibration.fit(scores[(peers == name).to_numpy()]) for name in "ab"}
    everyone = Calibration.fit(scores).p_value([3])[0]
    expected = [of["a"].p_value([3])[0], of["b"].p_value([3])[0], everyone, everyone]
    assert p.tolist() == expected
    assert calibration.p_value([3])[0] == everyone, "without a group among everyone"
    for name in ("a", "b", "few"):
        line = np.linspace(-5, 20, 500)
        risk = calibration.risk(line, pl.Series([name] * 500))
        assert (np.diff(risk) >= -1e-9).all()


def test_no_peer_curves_on_request() -> None:
    _, scores, peers = with_peers()
    calibration = ScoringSettings(peer_windows=None).calibrate(scores, peers)
    assert calibration.peers == {}
    assert calibration.evidence(scores, peers).tolist() == scores.tolist()


def test_peer_curves_saved_and_loaded(tmp_path: Path) -> None:
    calibration, scores, peers = with_peers()
    calibration.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    evidence = calibration.evidence(scores, peers)
    assert loaded.evidence(scores, peers).tobytes() == evidence.tobytes()
    np.testing.assert_allclose(evidence, -np.log10(calibration.p_value(scores, peers)))


def test_a_file_from_before_peer_curves_is_read(tmp_path: Path) -> None:
    calibration, scores, peers = with_peers()
    calibration.save(tmp_path / "calibration.json")
    state = json.loads((tmp_path / "calibration.json").read_text())
    old = {name: state[name] for name in ("knots", "exceedance", "tail_scale")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    loaded = Calibration.load(tmp_path / "old.json")
    assert loaded.p_value(scores, peers).tolist() == calibration.p_value(scores).tolist()
    assert loaded.evidence(scores, peers).tolist() == scores.tolist()
    (tmp_path / "odd.json").write_text(json.dumps({**old, "alert_by": "luck"}))
    with pytest.raises(BundleError, match="luck"):
        Calibration.load(tmp_path / "odd.json")


@pytest.mark.parametrize(
    "setting", [{"peer_windows": 19}, {"alert_by": "luck"}, {"learning_windows": -1}]
)
def test_impossible_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"scoring\.{next(iter(setting))}="):
        ScoringSettings(**setting)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", '{"knots": [1], "exceedance": ["x"], "tail_scale": 1}', "[]", "null"],
    ids=["empty", "cut", "no-keys", "text", "list", "null"],
)
def test_unreadable_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(BundleError, match=r"calibration\.json is missing, damaged"):
        Calibration.load(path)
    path.write_text(text)
    with pytest.raises(BundleError, match=r"calibration\.json is missing, damaged"):
        Calibration.load(path)
