"""The daily budget under drift: causal, the same in one call or many, and kept."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.errors import ConfigError
from riskml.core.types import FloatArray
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.alerting import Alerting, FixedThreshold, score_of_rank
from riskml.scoring.rolling_budget import GAIN
from riskml.scoring.thresholds import DailyBudget, days

START = pl.datetime(2024, 3, 4, time_unit="us", time_zone="UTC")


def keys(n: int, per_day: int = 40, first_day: int = 0) -> pl.DataFrame:
    start = START + pl.duration(days=first_day) + pl.int_range(n) * pl.duration(days=1) / per_day
    return pl.select(start=start).with_columns(end=pl.col("start") + timedelta(minutes=5))


def drifting(days: int, step: float, seed: int = 0, per_day: int = 40) -> FloatArray:
    rng = np.random.default_rng(seed)
    return (rng.gumbel(size=days * per_day) + step * np.arange(days * per_day) / per_day).astype(
        np.float32
    )


def started(budget: float = 2, seed: int = 1, **setting: float) -> Alerting:
    rule = DailyBudget(budget, max_share=1, adapt=True, **setting)  # type: ignore[arg-type]
    return rule.start(drifting(14, 0, seed), keys(14 * 40))


@pytest.mark.parametrize("step", [-0.05, 0.0, 0.05])
def test_budget_is_kept_while_scores_drift(step: float) -> None:
    table, scores = keys(60 * 40, first_day=14), drifting(60, step)
    frozen = DailyBudget(2, max_share=1).start(drifting(14, 0, 1), keys(14 * 40))
    ratio, was = (rule.decide(scores, table)[0].sum() / 120 for rule in (started(), frozen))
    assert 0.85 < ratio < 1.15
    if step:
        assert not 0.5 < was < 1.5, "the drift is one"


def test_each_days_threshold_is_the_budgets_rank_among_the_days_before() -> None:
    """By hand, a day at a time, from all scores."""
    scores, table = drifting(20, 0.1), keys(20 * 40, first_day=14)
    alerts, _ = started(adapt_days=7).decide(scores, table)
    past = [(day, part) for day, part in enumerate(np.split(drifting(14, 0, 1), 14))]
    debt = 0.0
    for day, part in enumerate(np.split(scores, 20), 14):
        recent = [old for when, old in past if when >= day - 7]
        debt = float(np.clip(debt, -14, 14))
        aim = 14 * float(np.clip(1 + GAIN * debt / 2, 0.25, 4))
        raised = part >= score_of_rank(np.concatenate(recent), aim)
        assert alerts[(day - 14) * 40 : (day - 13) * 40].tolist() == raised.tolist()
        debt += 2 - raised.sum()
        past.append((day, part))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=4), st.integers(0, 3))
def test_in_parts_as_in_one_call_through_a_file(cuts: list[int], seed: int) -> None:
    scores, table = drifting(10, 0.2, seed), keys(400, first_day=13)
    whole, last = started().decide(scores, table)
    alerting, parts = started(), []
    for part in np.split(np.arange(400), sorted(cuts)):
        mask, alerting = alerting.decide(scores[part], table[part])
        alerting = read_alerting(json.loads(json.dumps(alerting_state(alerting))))
        parts.append(mask)
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert alerting == last


def test_later_scores_change_nothing_before() -> None:
    scores, table = drifting(10, 0), keys(400, first_day=14)
    before, _ = started().decide(scores, table)
    scores[200:] = 1e6
    assert started().decide(scores, table)[0][:200].tolist() == before[:200].tolist()


def test_a_flood_does_not_silence_the_rest() -> None:
    scores, table = drifting(60, 0), keys(60 * 40, first_day=14)
    scores[5 * 40 : 7 * 40] += 50
    alerts, _ = started().decide(scores, table)
    assert alerts[200:240].all()
    assert alerts[40 * 40 :].sum() / (2 * 20) > 0.7


def test_no_more_than_a_share_and_never_all_of_equal_scores() -> None:
    rule = DailyBudget(20, max_share=0.05, adapt=True)
    alerts, _ = rule.start(drifting(14, 0, 1), keys(560)).decide(
        drifting(30, 0), keys(1200, first_day=14)
    )
    assert alerts.sum() == pytest.approx(60, rel=0.15)
    same = DailyBudget(2, adapt=True).start(np.ones(560, np.float32), keys(560))
    assert not same.decide(np.ones(1200, np.float32), keys(1200, first_day=14))[0].any()


def test_late_windows_count_as_of_the_latest_day() -> None:
    _, alerting = started().decide(drifting(5, 0), keys(200, first_day=14))
    high = np.full(3, 1e6, np.float32)
    raised, after = alerting.decide(high, keys(3, first_day=2))
    assert raised.all()
    assert after.threshold == alerting.threshold


def test_silent_days_promise_too() -> None:
    """Logs with no weekends: five alerts a day are thirty-five a week."""
    whole, part = keys(84 * 40), drifting(84, 0)
    working = (whole["end"].dt.weekday() <= 5).to_numpy()
    table, scores = whole.filter(working), part[working]
    n = int((table["end"].dt.ordinal_day() < table["end"][0].timetuple().tm_yday + 14).sum())
    rule = DailyBudget(2, max_share=1, adapt=True)
    alerts, _ = rule.start(scores[:n], table[:n]).decide(scores[n:], table[n:])
    assert alerts.sum() / (2 * days(table[n:])) == pytest.approx(1, abs=0.15)


def test_settings() -> None:
    with pytest.raises(ConfigError, match=r"threshold\.adapt_days=0 must be at least 1"):
        DailyBudget(5, adapt=True, adapt_days=0)
    with pytest.raises(ConfigError, match=r"less than one alert at 0\.05 a day: give 20 or more"):
        DailyBudget(0.05, adapt=True)
    assert DailyBudget(0.05, adapt=True, adapt_days=21).adapt


def test_files_of_alerting() -> None:
    assert alerting_state(FixedThreshold(3.5)) == {"score": 3.5}
    assert read_alerting({"score": 3.5}) == FixedThreshold(3.5)
    with pytest.raises(ValueError, match="kind 'luck'"):
        read_alerting({"kind": "luck"})
