"""Which folds a log has, and what is in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import EVENT_SCHEMA
from riskml.data.datasets import Dataset
from riskml.data.folds import ExpandingFolds, Folds, RollingFolds, SingleFold, in_fold
from riskml.data.splits import CALIBRATION, GAP, PERIOD, TEST, TRAIN, WARM_UP, TimeSplit

ZERO = datetime(2024, 3, 4, tzinfo=UTC)


def day(number: float) -> datetime:
    return ZERO + timedelta(days=number)


def hourly(days: float, first: datetime = ZERO) -> Dataset:
    times = [first + timedelta(hours=i) for i in range(round(days * 24))]
    events = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(len(times))],
            "user_id": ["ann"] * len(times),
            "timestamp": times,
            "action": ["read"] * len(times),
        },
        schema_overrides=EVENT_SCHEMA,
    )
    return Dataset(TimeSplit(0.3, 0.2).assign(events), None, pl.DataFrame())


def test_the_single_fold_is_the_data_set_as_it_is() -> None:
    data = hourly(20)
    (periods,) = SingleFold().plan(data)
    assert in_fold(data, periods) is data
    assert not SingleFold().moves


def test_rolling_folds_end_with_the_log_and_have_one_length() -> None:
    plan = RollingFolds(6, 2, 3).plan(hourly(20))
    assert [fold.test_from for fold in plan] == [day(8), day(11), day(14), day(17)]
    assert [fold.test_until for fold in plan] == [day(11), day(14), day(17), None]
    assert [fold.calibration_from for fold in plan] == [day(6), day(9), day(12), day(15)]
    assert [fold.train_from for fold in plan] == [None, day(3), day(6), day(9)]
    assert all(fold.calibration_until == fold.test_from for fold in plan)


def test_expanding_folds_begin_with_the_log() -> None:
    rolling, expanding = (kind(6, 2, 3).plan(hourly(20)) for kind in (RollingFolds, ExpandingFolds))
    assert [fold.train_from for fold in expanding] == [None] * 4
    assert [replace(fold, train_from=None) for fold in rolling] == list(expanding)


def test_a_gap_and_a_longer_step() -> None:
    plan = RollingFolds(5, 2, 3, step_days=5, gap_days=2).plan(hourly(20))
    assert [fold.test_from for fold in plan] == [day(12), day(17)]
    assert [fold.calibration_until for fold in plan] == [day(10), day(15)]
    assert [fold.calibration_from for fold in plan] == [day(8), day(13)]
    assert all(fold.has_gap for fold in plan)


def test_the_latest_folds() -> None:
    every = RollingFolds(6, 2, 3).plan(hourly(20))
    assert RollingFolds(6, 2, 3, folds=2).plan(hourly(20)) == every[-2:]


@pytest.mark.parametrize(("hours", "days"), [(20 * 24 - 10, 20), (20 * 24 - 11, 19)])
def test_a_day_begun_counts_by_the_nearest_midnight(hours: int, days: int) -> None:
    data = hourly(hours / 24)
    assert RollingFolds(days - 4, 2, 2).plan(data)
    with pytest.raises(DataError, match=f"the log has {days} days"):
        RollingFolds(days - 3, 2, 2).plan(data)


def test_hours_before_the_first_midnight_are_for_train() -> None:
    data = hourly(20, ZERO - timedelta(hours=5))
    (fold,) = RollingFolds(15, 2, 3).plan(data)
    assert (data.in_fold(fold).events[PERIOD] == WARM_UP).sum() == 0


def test_a_log_too_short_for_one_fold() -> None:
    text = r"log has 10 days .* one fold needs 12: backtest\.train_days=6 .* give a longer log"
    with pytest.raises(DataError, match=text):
        RollingFolds(6, 2, 3, gap_days=1).plan(hourly(10))


def test_a_published_protocol_has_no_other_folds() -> None:
    data = replace(hourly(20), over_time=False)
    assert SingleFold().plan(data) == (None,)
    with pytest.raises(ConfigError, match="choose backtest=single"):
        RollingFolds(6, 2, 3).plan(data)


def test_periods_of_a_fold() -> None:
    data = hourly(20)
    early, _, late = RollingFolds(5, 2, 3, gap_days=1).plan(data)[-3:]
    cut = data.in_fold(early).events
    assert cut["timestamp"].max() == day(14) - timedelta(hours=1), "later events do not exist yet"
    counts = dict(cut[PERIOD].cast(pl.String).value_counts().iter_rows())
    assert counts == {WARM_UP: 72, TRAIN: 120, CALIBRATION: 48, GAP: 24, TEST: 72}
    order = cut[PERIOD].cast(pl.String).unique(maintain_order=True).to_list()
    assert order == [WARM_UP, TRAIN, CALIBRATION, GAP, TEST]
    assert cut.drop(PERIOD).equals(data.events.drop(PERIOD).head(len(cut)))
    assert len(data.in_fold(late).events) == len(data.events)


def test_a_period_without_events() -> None:
    data = hourly(20)
    times = pl.col("timestamp")
    holes = data.events.filter((times < day(13)) | (times >= day(15)))
    (fold,) = RollingFolds(6, 2, 5, folds=1).plan(data)
    with pytest.raises(DataError, match=r"calibration period has no events .*change backtest"):
        replace(data, events=holes).in_fold(fold)


def test_the_last_fold_is_the_split_of_the_same_days() -> None:
    data = hourly(20)
    split = TimeSplit(test=3, calibration=2).assign(data.events.drop(PERIOD))
    fold = ExpandingFolds(6, 2, 3).plan(data)[-1]
    names = data.in_fold(fold).events[PERIOD].cast(pl.String)
    assert names.equals(split[PERIOD].cast(pl.String))


@pytest.mark.parametrize("warm_up", [0.0, 0.5])
def test_what_is_before_the_train_period_is_warm_up_already(warm_up: float) -> None:
    data = replace(hourly(20), warm_up=warm_up)
    folds = [data.in_fold(fold) for fold in RollingFolds(6, 2, 3).plan(data)]
    starts = [fold.learnt_from for fold in folds]
    train = timedelta(days=6) - timedelta(hours=1)  # from the first event to the last
    # of the first fold half the train period, of the second half a day, then nothing
    expected = [day(0) + train * warm_up, max(day(3), day(0) + train * warm_up), day(6), day(9)]
    assert starts == expected


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"train_days": 0}, "backtest.train_days=0"),
        ({"test_days": 1.5}, "backtest.test_days=1.5"),
        ({"train_days": -5}, "backtest.train_days=-5 must be at least 1 day"),
        ({"train_days": 1.5}, "backtest.train_days=1.5 must be whole days"),
        ({"gap_days": -1}, "backtest.gap_days=-1 must be at least 0"),
        ({"step_days": 2}, "backtest.step_days=2 must be whole days and at least test_days=3"),
        ({"folds": 0}, "backtest.folds=0"),
        ({"workers": 0}, "backtest.workers=0"),
    ],
)
@pytest.mark.parametrize("kind", [RollingFolds, ExpandingFolds])
def test_impossible_settings(kind: type[Folds], wrong: dict[str, Any], setting: str) -> None:
    given: dict[str, Any] = {"train_days": 6, "calibration_days": 2, "test_days": 3, **wrong}
    with pytest.raises(ConfigError, match=setting):
        kind(**given)
