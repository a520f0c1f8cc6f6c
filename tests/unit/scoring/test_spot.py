"""Peaks over threshold."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.spot import MIN_PEAKS, PeaksOverThreshold, peak_of_chance
from riskml.scoring.thresholds import score_of_rank

MakeWindows = Callable[..., Windows]


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_fitted_tail_knows_levels_rarer_than_it_has_seen(shape: float) -> None:
    tail = stats.genpareto(shape, scale=3)
    peaks = tail.rvs(4000, random_state=1)
    for chance in (0.1, 0.01, 1e-4):
        assert peak_of_chance(peaks, chance) == pytest.approx(tail.isf(chance), rel=0.2)


@pytest.mark.parametrize("source", [stats.norm, stats.expon, stats.t(4)], ids=["n", "e", "t"])
def test_false_alarms_come_as_often_as_asked(source: stats.rv_continuous) -> None:
    scores = source.rvs(size=20_000, random_state=2)
    for risk, near in ((0.01, 0.2), (0.001, 0.5)):
        threshold = PeaksOverThreshold(risk).fit(scores, None)  # type: ignore[arg-type]
        assert source.sf(threshold) == pytest.approx(risk, rel=near)


def test_scale_and_place_do_not_matter(make_windows: MakeWindows) -> None:
    scores = np.random.default_rng(3).gamma(2, size=500)
    keys = make_windows(500).keys
    base = PeaksOverThreshold().fit(scores, keys)
    moved = PeaksOverThreshold().fit(1e4 * scores - 7, keys)
    assert moved == pytest.approx(1e4 * base - 7, rel=1e-3)


def test_too_few_peaks_leave_the_plain_quantile(make_windows: MakeWindows) -> None:
    scores, keys = np.arange(100.0), make_windows(100).keys
    rule = PeaksOverThreshold(0.02, tail=0.05)
    assert MIN_PEAKS > 0.05 * 100
    assert rule.fit(scores, keys) == score_of_rank(scores, 2)
    same = np.ones(100)
    assert not rule.start(same, keys).decide(same, keys)[0].any()


def test_further_peaks_count_from_the_next_day_on(make_windows: MakeWindows) -> None:
    scores = np.random.default_rng(4).normal(size=1400)
    before, after = make_windows(1000, per_day=50), make_windows(400, per_day=50, first_day=20)
    start = PeaksOverThreshold(adapt=True).start(scores[:1000], before.keys)
    whole, last = start.decide(scores[1000:], after.keys)
    # by hand: the first day by the first threshold, the second by that of all normal windows
    first = scores[1000:1050] >= start.threshold
    assert whole[:50].tolist() == first.tolist()
    low = np.quantile(scores[:1000], 0.95)
    seen = np.concatenate([scores[:1000], scores[1000:1050][~first]])
    share = 0.01 * len(seen) / (seen > low).sum()
    threshold = low + peak_of_chance(
        np.concatenate([s[s > low] - low for s in (seen[:1000], np.sort(seen[1000:]))]), share
    )
    assert whole[50:100].tolist() == (scores[1050:1100] >= threshold).tolist()
    alerting, parts = start, []
    for part in np.split(np.arange(400), [30, 170, 171]):
        mask, alerting = alerting.decide(scores[1000 + part], after.keys[part])
        alerting = read_alerting(json.loads(json.dumps(alerting_state(alerting))))
        parts.append(mask)
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert alerting == last


def test_budget_of_the_measures(make_windows: MakeWindows) -> None:
    rule, keys = PeaksOverThreshold(0.02), make_windows(100).keys
    assert rule.promised(keys) == 2
    assert np.flatnonzero(rule.top(np.arange(100.0), keys)).tolist() == [98, 99]
    assert rule.describe() == "a false alarm in 50 windows (peaks over threshold)"


@pytest.mark.parametrize("risk", [0, 1, -1, float("nan")])
def test_impossible_risk(risk: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold\.risk_level=.* between 0 and 1"):
        PeaksOverThreshold(risk)


@pytest.mark.parametrize("tail", [0.01, 1, float("nan")])
def test_impossible_tail(tail: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold\.tail=.* above risk_level=0\.01"):
        PeaksOverThreshold(0.01, tail)
