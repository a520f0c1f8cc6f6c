"""How many windows become alerts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import FloatArray, Windows
from riskml.scoring.thresholds import AlertShare, DailyBudget, days, score_of_rank

MakeWindows = Callable[..., Windows]


def normal(n: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def keys(*spans: tuple[datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(
        {"start": [a for a, _ in spans], "end": [b for _, b in spans]},
        schema=dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")),
    )


@pytest.mark.parametrize("budget", [0.5, 1, 2, 5, 8.4])
def test_budget_is_delivered_on_the_calibration_period(
    budget: float, make_windows: MakeWindows
) -> None:
    windows = make_windows(400, per_day=20)
    scores = normal(400)
    threshold = DailyBudget(budget, max_share=1).fit(scores, windows.keys)
    assert days(windows.keys) == pytest.approx(20, abs=0.1)
    assert (scores >= threshold).sum() == round(budget * days(windows.keys))


def test_budget_is_never_more_than_a_share(make_windows: MakeWindows) -> None:
    windows = make_windows(400, per_day=20)
    scores = normal(400)
    rule = DailyBudget(5, max_share=0.1)
    assert (scores >= rule.fit(scores, windows.keys)).sum() == 40
    assert rule.top(scores, windows.keys).sum() == 40
    assert (scores >= DailyBudget(5).fit(scores, windows.keys)).sum() == 20


def test_share_is_delivered_on_the_calibration_period(make_windows: MakeWindows) -> None:
    windows = make_windows(400)
    scores = normal(400)
    rule = AlertShare(0.05)
    assert (scores >= rule.fit(scores, windows.keys)).sum() == 20
    assert rule.top(scores, windows.keys).sum() == 20
    assert scores[rule.top(scores, windows.keys)].min() == np.sort(scores)[-20]


def test_more_budget_than_windows(make_windows: MakeWindows) -> None:
    windows = make_windows(30, per_day=30)
    scores = normal(30) * 1e6
    rule = DailyBudget(1000, max_share=1)
    assert (scores >= rule.fit(scores, windows.keys)).all()
    assert rule.top(scores, windows.keys).all()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4, width=16), min_size=1, max_size=60, unique=True),
    st.floats(0, 80),
)
def test_rank_among_different_scores(values: list[float], rank: float) -> None:
    scores = np.array(values, np.float32)
    threshold = score_of_rank(scores, rank)
    assert (scores >= threshold).sum() == min(max(round(rank), 1), len(scores))
    assert threshold not in scores


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 60))
def test_threshold_among_ties_lies_on_no_score(values: list[int], rank: int) -> None:
    scores = np.array(values, np.float32)
    assert score_of_rank(scores, rank) not in scores


def test_constant_scores_are_not_all_alerts(make_windows: MakeWindows) -> None:
    windows = make_windows(100)
    scores = np.full(100, 3, np.float32)
    for rule in (DailyBudget(1, max_share=1), AlertShare(0.1)):
        assert (scores >= rule.fit(scores, windows.keys)).sum() <= 10


def test_ties_below_the_cut_do_not_matter(make_windows: MakeWindows) -> None:
    windows = make_windows(100)
    scores = np.zeros(100, np.float32)
    scores[::10] = np.arange(1, 11)
    assert (scores >= DailyBudget(1, max_share=1).fit(scores, windows.keys)).sum() == 10
    assert (scores >= DailyBudget(0.5).fit(scores, windows.keys)).sum() == 5


@pytest.mark.parametrize("budget", [1, 3, 7])
def test_top_picks_so_many_every_day(budget: int, make_windows: MakeWindows) -> None:
    windows = make_windows(120, per_day=12)
    scores = normal(120)
    chosen = DailyBudget(budget, max_share=1).top(scores, windows.keys)
    day = windows.keys["end"].dt.date().to_numpy()
    for date in np.unique(day):
        own, picked = scores[day == date], chosen[day == date]
        assert picked.sum() == budget
        assert own[picked].min() > own[~picked].max()


def test_top_with_less_than_one_a_day(make_windows: MakeWindows) -> None:
    windows = make_windows(120, per_day=12)
    scores = normal(120)
    best = np.sort(scores)[::-1]
    for rule in (DailyBudget(0.4, max_share=1), DailyBudget(50, max_share=4 / 120)):
        assert sorted(scores[rule.top(scores, windows.keys)])[::-1] == best[:4].tolist()
    assert scores[DailyBudget(0.001).top(scores, windows.keys)].tolist() == [best[0]]


def test_top_of_ties_by_order(make_windows: MakeWindows) -> None:
    windows = make_windows(24, per_day=12)
    constant = np.ones(24, np.float32)
    first_two = [i % 12 < 2 for i in range(24)]
    assert DailyBudget(2, max_share=1).top(constant, windows.keys).tolist() == first_two
    assert np.flatnonzero(AlertShare(0.1).top(constant, windows.keys)).tolist() == [0, 1]


def test_top_counts_days_on_which_windows_end() -> None:
    midnight = datetime(2024, 3, 5, tzinfo=UTC)
    late, early = midnight.replace(day=4, hour=23), midnight.replace(hour=1)
    table = keys((late, early), (late, late), (early, early))
    scores = np.array([3, 1, 2], np.float32)
    assert DailyBudget(1, max_share=1).top(scores, table).tolist() == [True, True, False]


def test_a_share_of_few_windows_is_one() -> None:
    noon = datetime(2024, 3, 4, 12, tzinfo=UTC)
    scores = np.array([1, 3, 2], np.float32)
    assert AlertShare(0.001).top(scores, keys(*[(noon, noon)] * 3)).tolist() == [False, True, False]


def test_days() -> None:
    noon = datetime(2024, 3, 4, 12, tzinfo=UTC)
    assert days(keys((noon, noon.replace(day=7)), (noon, noon))) == 3
    assert days(keys((noon, noon.replace(hour=13)))) == 1
    with pytest.raises(DataError, match="no events"):
        days(keys())


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_impossible_budget(value: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold\.alerts_per_day"):
        DailyBudget(value)


@pytest.mark.parametrize("value", [0, 1.5, -0.5, float("nan")])
def test_impossible_largest_share(value: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold\.max_share=.* above 0 and up to 1"):
        DailyBudget(5, max_share=value)


@pytest.mark.parametrize("value", [0, 1, -0.5, float("nan")])
def test_impossible_share(value: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold\.share=.* between 0 and 1"):
        AlertShare(value)


def test_rules_in_words() -> None:
    assert DailyBudget(5.0).describe() == "5 alerts a day, at most 5% of windows"
    assert DailyBudget(0.25, 0.1).describe() == "0.25 alerts a day, at most 10% of windows"
    assert AlertShare(0.015).describe() == "1.50% of windows"
