"""Windows by period, and their truth beside them."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from event_tables import (
    assert_equal_windows,
    extractor,
    random_log,
    same_windows,
    shuffled,
    table,
)

from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import CALIBRATION, PERIOD, PERIODS, TEST, TRAIN, TimeSplit
from riskml.features.preparation import PreparedWindows, labels_of, prepare
from riskml.features.windows import BlockWindows, SessionWindows, UserDayWindows, Windowing


def dataset(
    events: pl.DataFrame,
    truth: pl.DataFrame | None = None,
    normal_weight: float = 1.0,
    warm_up: float = 0.0,
) -> Dataset:
    return Dataset(events, truth, pl.DataFrame(), normal_weight, warm_up=warm_up)


def prepared(data: Dataset, window: Windowing) -> PreparedWindows:
    return prepare(data, extractor(window, min_action_count=1).fit(data.train_events))


def periods(*names: str) -> pl.Series:
    return pl.Series(PERIOD, names, dtype=PERIODS)


def starts(windows: Windows) -> list[str]:
    return [f"{start:%d %H:%M}" for start in windows.keys["start"]]


@pytest.fixture
def straddling() -> pl.DataFrame:
    """Sessions across both cuts, and one wholly inside each period."""
    times = ["04T09:00", "04T23:50", "05T00:10", "05T09:00", "05T23:50", "06T00:10", "06T09:00"]
    return table(["ann"] * 7, [f"2024-03-{time}" for time in times]).with_columns(
        periods(TRAIN, TRAIN, CALIBRATION, CALIBRATION, CALIBRATION, TEST, TEST)
    )


def test_a_straddling_window_belongs_to_the_later_period(straddling: pl.DataFrame) -> None:
    parts = prepared(dataset(straddling), SessionWindows())
    assert starts(parts.train) == ["04 09:00"]
    assert starts(parts.calibration) == ["04 23:50", "05 09:00"]
    assert starts(parts.test) == ["05 23:50", "06 09:00"]
    assert parts.test_truth is None


def test_a_window_across_all_periods_is_a_test_window(straddling: pl.DataFrame) -> None:
    # The period's order counts, not the alphabet's.
    with pytest.raises(DataError, match="the train period holds no whole window"):
        prepared(dataset(straddling), BlockWindows(100))
    with pytest.raises(DataError, match=r"calibration period.*features=session"):
        prepared(dataset(straddling.filter(pl.col(PERIOD) != CALIBRATION)), SessionWindows())


def test_every_window_in_one_period() -> None:
    data = dataset(TimeSplit().assign(random_log()))
    made = extractor(SessionWindows()).fit(data.train_events)
    parts = prepare(data, made)
    every = made.windows(data.events)
    split = [parts.train, parts.calibration, parts.test]
    ids = [name for part in split for name in part.keys["window_id"]]
    assert sorted(ids) == sorted(every.keys["window_id"])
    x = dict(zip(every.keys["window_id"], every.x.tolist(), strict=True))
    found = np.vstack([part.x for part in split]).tolist()
    assert found == [x[name] for name in ids]


def test_truth_is_joined_by_event(straddling: pl.DataFrame) -> None:
    truth = pl.DataFrame(
        {
            "event_id": ["e6", "e0", "e5", "e4", "e2"],
            "label": [0, 1, 0, 1, 1],
            "incident_id": [None, "a", "c", "b", "d"],
        },
        schema_overrides={"label": pl.Int8},
    )
    table = prepared(dataset(straddling, truth), SessionWindows()).test_truth
    assert table is not None
    # The first test window began in the calibration period: its label is of e4.
    assert table["window_id"].to_list() == [
        "ann/2024-03-05T23:50:00.000000",
        "ann/2024-03-06T09:00:00.000000",
    ]
    assert table["label"].to_list() == [1, 0]
    assert table["incidents"].to_list() == [["b", "c"], []]
    assert labels_of(table).tolist() == [1, 0]
    assert labels_of(table).dtype == np.int8


def test_order_of_truth_does_not_matter_and_an_incident_stands_once() -> None:
    events = TimeSplit().assign(random_log())
    rng = np.random.default_rng(0)
    truth = pl.DataFrame(
        {
            "event_id": events["event_id"],
            "label": pl.Series(rng.integers(0, 20, len(events)) == 0).cast(pl.Int8),
            "incident_id": [f"i{i}" for i in rng.integers(0, 3, len(events))],
        }
    ).with_columns(incident_id=pl.when(pl.col("label") == 1).then("incident_id"))
    first = prepared(dataset(events, truth), UserDayWindows())
    second = prepared(dataset(events, shuffled(truth)), UserDayWindows())
    assert first.test_truth is not None
    assert first.test_truth.equals(second.test_truth)
    assert first.test_truth["window_id"].equals(first.test.keys["window_id"])
    joined = events.join(truth, on="event_id").with_columns(day=pl.col("timestamp").dt.date())
    for row, user, start in zip(
        first.test_truth.iter_rows(named=True),
        first.test.keys["user_id"],
        first.test.keys["start"],
        strict=True,
    ):
        own = joined.filter((pl.col("user_id") == user) & (pl.col("day") == start.date()))
        assert row["label"] == own["label"].max()
        assert row["incidents"] == sorted(set(own["incident_id"].drop_nulls()))
    assert 0 < first.test_truth["label"].sum() < len(first.test)


def test_incidents_are_who_did_what_and_when(straddling: pl.DataFrame) -> None:
    truth = pl.DataFrame(
        {
            "event_id": ["e4", "e2", "e3", "e6"],
            "label": [1, 1, 1, 0],
            "incident_id": ["b", "a", "b", "a"],
            "scenario": ["leak", None, "leak", None],
        },
        schema_overrides={"label": pl.Int8},
    )
    incidents = prepared(dataset(straddling, truth), SessionWindows()).incidents
    assert incidents is not None
    rows = incidents.with_columns(pl.col("start", "end").dt.strftime("%d %H:%M")).rows()
    assert rows == [
        ("a", None, "ann", "05 00:10", "05 00:10", 1),
        ("b", "leak", "ann", "05 09:00", "05 23:50", 2),
    ]
    without = prepared(dataset(straddling, truth.drop("scenario")), SessionWindows()).incidents
    assert without is not None
    assert without["scenario"].to_list() == [None, None]
    unnamed = truth.drop("incident_id")
    assert prepared(dataset(straddling, unnamed), SessionWindows()).incidents is None


def test_truth_without_incidents_and_windows_without_truth(straddling: pl.DataFrame) -> None:
    truth = pl.DataFrame({"event_id": ["e6"], "label": [1]}, schema_overrides={"label": pl.Int8})
    table = prepared(dataset(straddling, truth), SessionWindows()).test_truth
    assert table is not None
    assert table["label"].to_list() == [0, 1]
    assert table["incidents"].to_list() == [[], []]
    assert table.schema["incidents"] == pl.List(pl.String)


def test_labels_never_reach_windows() -> None:
    events = TimeSplit().assign(random_log())
    ids = events["event_id"]
    zeros, ones = (
        pl.DataFrame({"event_id": ids, "label": pl.Series([v] * len(ids), dtype=pl.Int8)})
        for v in (0, 1)
    )
    a, b = (prepared(dataset(events, truth), UserDayWindows()) for truth in (zeros, ones))
    for name in ("train", "calibration", "test"):
        assert same_windows(getattr(a, name), getattr(b, name))
        part: Windows = getattr(a, name)
        assert part.keys.columns == ["window_id", "user_id", "start", "end", "n_events", "peer"]
        assert part.event_ids is None
        assert {field.name for field in fields(part)} == {
            "event_ids",
            "keys",
            "x",
            "times",
            "spec",
            "tokens",
            "lengths",
        }


def test_unknown_actions_of_the_test_period(straddling: pl.DataFrame) -> None:
    odd = straddling.with_columns(
        action=pl.when(pl.col("event_id") == "e6").then(pl.lit("new")).otherwise("action")
    )
    parts = prepared(dataset(odd, normal_weight=7.0), SessionWindows())
    assert parts.unknown_action_rate == pytest.approx(1 / 3)
    assert parts.normal_weight == 7


def test_the_first_part_of_train_only_makes_users_known() -> None:
    events = TimeSplit().assign(random_log())
    whole = prepared(dataset(events), UserDayWindows())
    warm = prepared(dataset(events, warm_up=0.4), UserDayWindows())
    train = events.filter(pl.col(PERIOD) == TRAIN)["timestamp"]
    first, last = train.min(), train.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    late = whole.train.keys["start"] >= first + 0.4 * (last - first)
    assert 0 < late.sum() < len(late)
    # what is left knows of what was left out
    assert same_windows(warm.train, whole.train.take(late.to_numpy()))
    assert same_windows(warm.calibration, whole.calibration)
    assert same_windows(warm.test, whole.test)


def test_a_warm_up_of_all_windows() -> None:
    events = TimeSplit().assign(random_log())
    with pytest.raises(DataError, match="the train period holds no whole window"):
        prepared(dataset(events, warm_up=0.999), UserDayWindows())


@pytest.mark.parametrize("window", [SessionWindows(60), UserDayWindows()], ids=lambda w: w.kind)
def test_poison_in_later_periods_stays_there(window: Windowing) -> None:
    clean = TimeSplit(test=3, calibration=3).assign(random_log())
    poison = poisoned(clean, TEST)
    first, other = (prepared(dataset(events, warm_up=0.2), window) for events in (clean, poison))
    for name in ("train", "calibration"):
        assert_equal_windows([getattr(other, name)], getattr(first, name))
        assert getattr(other, name).x.tobytes() == getattr(first, name).x.tobytes()
    assert not np.array_equal(first.test.x, other.test.x)
    worse = prepared(dataset(poisoned(clean, CALIBRATION, TEST), warm_up=0.2), window)
    assert worse.train.x.tobytes() == first.train.x.tobytes()


def poisoned(events: pl.DataFrame, *periods: str) -> pl.DataFrame:
    """The events of some periods changed, but for who and when."""
    bad = pl.col(PERIOD).cast(pl.String).is_in(list(periods))
    return events.with_columns(
        [
            pl.when(bad).then(pl.lit("poison") + pl.col("event_id")).otherwise(name).alias(name)
            for name in ("action", "resource", "source")
        ]
    )


def test_the_profile_after_the_last_event() -> None:
    events = TimeSplit().assign(random_log())
    parts = prepared(dataset(events), SessionWindows(60))
    assert parts.profile.watermark == events["timestamp"].max()
    assert parts.profile.users["n_events"].sum() == len(events)
    made = extractor(SessionWindows(60), min_action_count=1).fit(
        events.filter(pl.col(PERIOD) == TRAIN)
    )
    later = random_log(days=3, seed=9).with_columns(pl.col("timestamp") + timedelta(days=14))
    after, _ = made.transform(later, parts.profile, open_windows=True)
    both = made.windows(pl.concat([events.drop(PERIOD), later]))
    rows = both.keys["window_id"].is_in(after.keys["window_id"].implode()).to_numpy()
    assert_equal_windows([after], both.take(rows))
