"""Conformal p-values and Benjamini–Hochberg by day, against the definitions."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.conformal import ConformalAlerts, benjamini_hochberg, conformal_p_values

MakeWindows = Callable[..., Windows]
WHOLE = st.lists(st.integers(0, 9), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(WHOLE, WHOLE)
def test_p_values_by_counting(calibration: list[int], scores: list[int]) -> None:
    p = conformal_p_values(np.sort(np.array(calibration, float)), scores)
    expected = [(1 + sum(c >= s for c in calibration)) / (1 + len(calibration)) for s in scores]
    assert p.tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 19))
def test_discoveries_by_trying_every_cut(twentieths: list[int], rate: int) -> None:
    """In whole numbers: p = k / 40, rate = r / 20, so p·m ≤ rate·i is k·m ≤ 2·r·i."""
    m = len(twentieths)
    cuts = [k for k in twentieths if k * m <= 2 * rate * sum(other <= k for other in twentieths)]
    expected = [k <= max(cuts, default=0) for k in twentieths]
    assert benjamini_hochberg(np.array(twentieths) / 40, rate / 20).tolist() == expected


def test_share_of_false_alerts_is_kept(make_windows: MakeWindows) -> None:
    keys = make_windows(100, per_day=100).keys
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        control = ConformalAlerts(0.2).start(rng.normal(size=2000), make_windows(2000).keys)
        scores = rng.normal(size=100) + 4 * (np.arange(100) < 10)
        alerts, _ = control.decide(scores, keys)
        shares.append(alerts[10:].sum() / max(alerts.sum(), 1))
        assert alerts[:10].sum() >= 3
    assert 0.1 < np.mean(shares) < 0.24


def test_days_are_judged_apart_and_by_calibration_alone(make_windows: MakeWindows) -> None:
    before, keys = make_windows(400).keys, make_windows(40, per_day=20).keys
    control = ConformalAlerts(0.2).start(np.arange(400.0), before)
    scores = np.zeros(40)
    scores[[3, 5, 20]] = 400, 401, 396.5
    alerts, after = control.decide(scores, keys)
    # one p-value of 4 / 401 among twenty stays within 0.2 / 20
    assert np.flatnonzero(alerts).tolist() == [3, 5, 20]
    scores[20] = 395.5
    assert np.flatnonzero(control.decide(scores, keys)[0]).tolist() == [3, 5]
    assert after is control
    assert read_alerting(json.loads(json.dumps(alerting_state(control)))) == control


def test_threshold_is_what_the_only_alert_of_an_average_day_needs(
    make_windows: MakeWindows,
) -> None:
    control = ConformalAlerts(0.2).start(np.arange(400.0), make_windows(400, per_day=20).keys)
    keys = make_windows(20, per_day=20).keys
    for score, raised in ((control.threshold, True), (np.nextafter(control.threshold, 0), False)):
        assert control.decide(np.r_[score, np.zeros(19)], keys)[0].any() == raised


def test_rule(make_windows: MakeWindows) -> None:
    rule, keys = ConformalAlerts(0.1, 2, max_share=1), make_windows(40, per_day=20).keys
    assert rule.promised(keys) is None
    assert rule.top(np.arange(40.0), keys).sum() == 4
    assert "10% are false" in rule.describe()
    assert rule.fit(np.arange(400.0), make_windows(400).keys) > 300
    for rate in (0, 1, float("nan")):
        with pytest.raises(ConfigError, match=r"threshold\.false_discovery_rate=.* 0 and 1"):
            ConformalAlerts(rate)
