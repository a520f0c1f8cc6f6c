"""Train, calibration and test in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import utc

from riskml.core.errors import ConfigError, DataError
from riskml.data.splits import CALIBRATION, PERIOD, PERIODS, TEST, TRAIN, ColumnSplit, TimeSplit


def log(times: Sequence[datetime], users: Sequence[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"user_id": list(users or ["ann"] * len(times)), "timestamp": list(times)},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def hourly(n: int, start: datetime | None = None) -> pl.DataFrame:
    start = start or utc(2024, 3, 4)
    return log([start + timedelta(hours=i) for i in range(n)])


def first_of(events: pl.DataFrame, period: str) -> datetime:
    moment = events.filter(pl.col(PERIOD) == period)["timestamp"].min()
    assert isinstance(moment, datetime)
    return moment


def counts(events: pl.DataFrame) -> dict[str, int]:
    return dict(events[PERIOD].cast(pl.String).value_counts().iter_rows())


def by_column(words: Sequence[str | None], users: Sequence[str] | None = None) -> pl.DataFrame:
    times = [utc(2024, 3, 4) + timedelta(hours=i) for i in range(len(words))]
    return log(times, users).with_columns(pl.Series("split", words, dtype=pl.String))


def test_shares_of_a_short_log() -> None:
    events = TimeSplit(test=0.3, calibration=0.2).assign(hourly(101))
    assert first_of(events, TEST) == utc(2024, 3, 4) + timedelta(hours=70)
    assert first_of(events, CALIBRATION) == utc(2024, 3, 4) + timedelta(hours=50)
    assert counts(events) == {TRAIN: 50, CALIBRATION: 20, TEST: 31}
    assert events[PERIOD].dtype == PERIODS


def test_shares_of_a_long_log_are_cut_at_midnight() -> None:
    events = TimeSplit(test=0.25, calibration=0.25).assign(hourly(40 * 24))
    assert first_of(events, TEST) == utc(2024, 4, 3)
    assert first_of(events, CALIBRATION) == utc(2024, 3, 24)


def test_days() -> None:
    events = TimeSplit(test=3, calibration=2).assign(hourly(20 * 24))
    assert first_of(events, TEST) == utc(2024, 3, 21)
    assert first_of(events, CALIBRATION) == utc(2024, 3, 19)
    short = TimeSplit(test=1, calibration=1).assign(hourly(73))
    assert counts(short) == {TRAIN: 24, CALIBRATION: 24, TEST: 25}


def test_one_is_a_day_and_not_the_whole_log() -> None:
    events = TimeSplit(test=1, calibration=0.5).assign(hourly(101))
    assert counts(events)[TEST] == 25


@pytest.mark.parametrize(
    ("last", "cut"),
    [
        (utc(2024, 3, 20, 11, 59), utc(2024, 3, 17)),
        (utc(2024, 3, 20, 12, 0), utc(2024, 3, 17)),
        (utc(2024, 3, 20, 12, 1), utc(2024, 3, 18)),
        (utc(2024, 3, 20, 0, 0), utc(2024, 3, 17)),
    ],
    ids=["before-noon", "noon", "after-noon", "midnight"],
)
def test_cut_falls_on_the_nearest_midnight(last: datetime, cut: datetime) -> None:
    times = [utc(2024, 3, 4) + timedelta(hours=i) for i in range(16 * 24)]
    events = TimeSplit(test=3, calibration=3).assign(log([*times, last]))
    assert first_of(events, TEST) == cut
    assert first_of(events, CALIBRATION) == cut - timedelta(days=3)


def test_a_week_is_long() -> None:
    week = timedelta(days=7)
    for span, midnight in ((week, True), (week - timedelta(seconds=1), False)):
        times = [utc(2024, 3, 4, 5) + span * i / 60 for i in range(61)]
        events = TimeSplit(test=0.4, calibration=0.3).assign(log(times))
        expected = utc(2024, 3, 8) if midnight else utc(2024, 3, 4, 5) + span * 0.6
        before = events.filter(pl.col("timestamp") < expected)[PERIOD].to_list()
        assert TEST not in before
        assert before.count(TRAIN) + before.count(CALIBRATION) == len(before)
        assert events.filter(pl.col("timestamp") >= expected)[PERIOD].unique().to_list() == [TEST]


@pytest.mark.parametrize(("test", "calibration"), [(0.6, 0.4), (0.9, 0.2)])
def test_nothing_left_to_train_on(test: float, calibration: float) -> None:
    with pytest.raises(ConfigError, match=r"data\.split: .* leave nothing to train on"):
        TimeSplit(test, calibration)


@pytest.mark.parametrize("length", [-4, -0.1, float("nan"), float("inf")])
def test_no_length(length: float) -> None:
    for name in ("test", "calibration"):
        with pytest.raises(ConfigError, match=rf"data\.split\.{name}=.* must be at least 0"):
            TimeSplit(**{name: length})


def test_periods_without_events() -> None:
    pattern = r"train period has no events .*train 0, calibration 24, test 25\).*data\.split"
    with pytest.raises(DataError, match=pattern):
        TimeSplit(test=1, calibration=1).assign(hourly(49))
    gap = log([utc(2024, 3, day) for day in (1, 2, 3, 28)])
    with pytest.raises(DataError, match="calibration period has no events"):
        TimeSplit(test=5, calibration=5).assign(gap)
    with pytest.raises(DataError, match="there are no events"):
        TimeSplit().assign(hourly(0))


def test_order_in_the_file_does_not_matter() -> None:
    events = hourly(20 * 24)
    cut = TimeSplit().assign(events)
    assert TimeSplit().assign(events.reverse()).reverse().equals(cut)


RANK = {TRAIN: 0, CALIBRATION: 1, TEST: 2}


def in_order(events: pl.DataFrame) -> bool:
    """Whether the period of every user only ever moves on."""
    ordered = events.sort("timestamp").with_columns(
        pl.col(PERIOD).cast(pl.String).replace_strict(RANK).alias("rank")
    )
    return all(own["rank"].is_sorted() for own in ordered.partition_by("user_id"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30 * 1440)), min_size=2),
    st.sampled_from([(0.3, 0.15), (0.1, 0.8), (5, 0.2), (2, 3), (0.5, 1)]),
)
def test_every_user_moves_from_train_to_test(
    rows: list[tuple[str, int]], lengths: tuple[float, float]
) -> None:
    users, minutes = zip(*rows, strict=True)
    events = log([datetime(2024, 3, 4, tzinfo=UTC) + timedelta(minutes=m) for m in minutes], users)
    try:
        cut = TimeSplit(*lengths).assign(events)
    except DataError as error:
        assert "period has no events" in str(error)
        return
    assert in_order(cut)
    groups = [cut.filter(pl.col(PERIOD) == name)["timestamp"] for name in RANK]
    assert groups[0].max() < groups[1].min()
    assert groups[1].max() < groups[2].min()
    assert cut.drop(PERIOD).equals(events)


def test_column_split() -> None:
    words = ["train"] * 10 + ["test"] * 2
    events = ColumnSplit(calibration=0.2).assign(by_column(words))
    assert events[PERIOD].to_list() == [TRAIN] * 8 + [CALIBRATION] * 2 + [TEST] * 2
    assert in_order(events)


def test_column_split_for_each_user_apart() -> None:
    users = ["ann", "bob"] * 6
    words = ["train"] * 8 + ["test"] * 4
    events = ColumnSplit(calibration=0.25).assign(by_column(words, users))
    for user in ("ann", "bob"):
        own = events.filter(pl.col("user_id") == user)[PERIOD].to_list()
        assert own == [TRAIN] * 3 + [CALIBRATION] + [TEST] * 2


def test_column_split_under_another_name() -> None:
    words = ["train"] * 5 + ["test"]
    events = by_column(words).rename({"split": "fold"})
    assert counts(ColumnSplit("fold").assign(events)) == {TRAIN: 4, CALIBRATION: 1, TEST: 1}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=4, max_size=40),
    st.sampled_from([0.2, 0.25, 0.5]),
)
def test_column_split_keeps_to_the_share(rows: list[tuple[str, bool]], share: float) -> None:
    users, train = zip(*rows, strict=True)
    events = by_column(["train" if t else "test" for t in train], users)
    try:
        cut = ColumnSplit(calibration=share).assign(events)
    except DataError as error:
        assert "period has no events" in str(error)
        return
    for own in cut.partition_by("user_id"):
        known = own.filter(pl.col("split") == "train")[PERIOD].to_list()
        n_train = int(len(known) * (1 - share))
        assert known == [TRAIN] * n_train + [CALIBRATION] * (len(known) - n_train)
    assert cut.filter(pl.col("split") == "test")[PERIOD].unique().to_list() in ([], [TEST])


def test_column_split_with_other_values() -> None:
    with pytest.raises(DataError, match=r"'split' must hold 'train' or 'test', not \['dev'\]"):
        ColumnSplit().assign(by_column(["train", "dev", "test"]))
    with pytest.raises(DataError, match=r"not \['None'\]"):
        ColumnSplit().assign(by_column(["train", None, "test"]))
    numbers = by_column(["train"] * 2).with_columns(split=pl.Series([0, 1]))
    with pytest.raises(DataError, match=r"not \['0', '1'\]"):
        ColumnSplit().assign(numbers)


def test_column_split_without_the_column() -> None:
    events = by_column(["train", "test"])
    with pytest.raises(DataError, match=r"no column 'splt' \(data\.split\.column\).*'split'"):
        ColumnSplit("splt").assign(events)


def test_column_split_without_a_period() -> None:
    with pytest.raises(DataError, match=r"test period has no events.*by column 'split'"):
        ColumnSplit().assign(by_column(["train"] * 9))
    with pytest.raises(DataError, match="train period has no events"):
        ColumnSplit().assign(by_column(["train", "test"]))


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_impossible_share(share: float) -> None:
    with pytest.raises(ConfigError, match=r"data\.split\.calibration=.* between 0 and 1"):
        ColumnSplit(calibration=share)
