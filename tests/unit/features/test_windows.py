"""Which events share a window."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from event_tables import ZERO, extractor, random_log, same_windows, shuffled, table
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.errors import ConfigError, DataError
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import (
    WINDOW_ID,
    WINDOWINGS,
    BlockWindows,
    SessionWindows,
    UserDayWindows,
    Windowing,
)


def members(events: pl.DataFrame, window: Windowing, zone: str = "UTC") -> list[list[str]]:
    """Event ids of each window, in order of their ids."""
    cut = extractor(window, families={"volume": VolumeFeatures()}, time_zone=zone).assign(events)
    groups = cut.group_by(WINDOW_ID).agg(pl.col("event_id").sort())["event_id"].to_list()
    return sorted(groups)


def window_ids(events: pl.DataFrame, window: Windowing) -> list[str]:
    cut = extractor(window, families={"volume": VolumeFeatures()}).assign(events)
    return sorted(set(cut[WINDOW_ID].to_list()))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("2024-03-04T09:29:59.999999", [["e0", "e1"]]),
        ("2024-03-04T09:30:00.000000", [["e0", "e1"]]),
        ("2024-03-04T09:30:00.000001", [["e0"], ["e1"]]),
    ],
    ids=["under", "exactly", "over"],
)
def test_session_gap(second: str, expected: list[list[str]]) -> None:
    events = table(["ann"] * 2, ["2024-03-04T09:00", second])
    assert members(events, SessionWindows(30)) == expected


def test_session_may_last_longer_than_its_gap() -> None:
    events = table(["ann"] * 4, [f"2024-03-04T{t}" for t in ("09:00", "09:25", "09:50", "10:21")])
    assert members(events, SessionWindows(30)) == [["e0", "e1", "e2"], ["e3"]]
    assert window_ids(events, SessionWindows(30)) == [
        "ann/2024-03-04T09:00:00.000000",
        "ann/2024-03-04T10:21:00.000000",
    ]


def test_session_gap_of_half_a_minute() -> None:
    events = table(["ann"] * 3, [f"2024-03-04T09:00:{s}" for s in ("00", "30", "30.000001")])
    assert members(events, SessionWindows(0.5)) == [["e0", "e1", "e2"]]
    late = table(["ann"] * 2, ["2024-03-04T09:00:00", "2024-03-04T09:00:31"])
    assert members(late, SessionWindows(0.5)) == [["e0"], ["e1"]]


def test_sessions_of_users_do_not_touch() -> None:
    times = [f"2024-03-04T{t}" for t in ("09:00", "09:20", "09:40", "10:00")]
    events = table(["ann", "bob", "ann", "bob"], times)
    assert members(events, SessionWindows(30)) == [["e0"], ["e1"], ["e2"], ["e3"]]
    assert members(events, SessionWindows(40)) == [["e0", "e2"], ["e1", "e3"]]


def test_sessions_that_the_log_names() -> None:
    events = table(
        ["ann", "ann", "bob", "ann", "ann"],
        [f"2024-03-{d:02d}T09:00" for d in (1, 9, 9, 9, 9)],
        logon=[7, 7, 7, 8, None],
    )
    window = SessionWindows(column="logon")
    assert members(events, window) == [["e0", "e1"], ["e2"], ["e3"], ["e4"]]
    assert window_ids(events, window) == ["ann/7", "ann/8", "ann/none", "bob/7"]


def test_missing_session_column() -> None:
    events = table(["ann"], ["2024-03-04T09:00"], session_id=["x"])
    with pytest.raises(DataError, match=r"'sesion_id'.*window\.column.*mean 'session_id'"):
        members(events, SessionWindows(column="sesion_id"))


def test_named_sessions_of_two_users_never_merge() -> None:
    events = table(
        ["corp", "corp/ann"], ["2024-03-04T09:00", "2024-03-04T09:01"], name=["ann/1", "1"]
    )
    assert members(events, SessionWindows(column="name")) == [["e0"], ["e1"]]


def test_user_day_in_the_users_own_zone() -> None:
    # 22:30 UTC is still the 4th in New York, already the 5th in Tokyo.
    times = ["2024-03-04T12:00", "2024-03-04T22:30"] * 2
    events = table(
        ["kim", "kim", "lee", "lee"],
        times,
        time_zone=["Asia/Tokyo"] * 2 + ["America/New_York"] * 2,
    )
    assert members(events, UserDayWindows()) == [["e0"], ["e1"], ["e2", "e3"]]
    assert window_ids(events, UserDayWindows()) == [
        "kim/2024-03-04",
        "kim/2024-03-05",
        "lee/2024-03-04",
    ]


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (
            ["2024-03-30T22:59", "2024-03-30T23:00", "2024-03-31T21:59", "2024-03-31T22:00"],
            [["e0"], ["e1", "e2"], ["e3"]],
        ),
        (
            ["2024-10-26T21:59", "2024-10-26T22:00", "2024-10-27T22:59", "2024-10-27T23:00"],
            [["e0"], ["e1", "e2"], ["e3"]],
        ),
    ],
    ids=["day-of-23-hours", "day-of-25-hours"],
)
def test_user_day_when_clocks_change(times: list[str], days: list[list[str]]) -> None:
    assert members(table(["ann"] * 4, times), UserDayWindows(), "Europe/Berlin") == days


def test_blocks_with_a_short_last_one() -> None:
    users = ["ann", "bob"] * 4 + ["ann"] * 3
    events = table(users, [ZERO + timedelta(hours=9 * i) for i in range(11)])
    assert sorted(map(len, members(events, BlockWindows(3)))) == [1, 1, 3, 3, 3]
    assert members(events, BlockWindows(3)) == [
        ["e0", "e2", "e4"],
        ["e1", "e3", "e5"],
        ["e10"],
        ["e6", "e8", "e9"],
        ["e7"],
    ]
    assert window_ids(events, BlockWindows(3))[:3] == ["ann/b00000", "ann/b00001", "ann/b00002"]


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match="gap_minutes=0 must be positive"):
        SessionWindows(0)
    with pytest.raises(ConfigError, match="size=0 must be at least 1"):
        BlockWindows(0)


@pytest.mark.parametrize(
    "window", [SessionWindows(90.0, "c"), UserDayWindows(), BlockWindows(7)], ids=lambda w: w.kind
)
def test_settings_make_the_same_rule(window: Windowing) -> None:
    again = WINDOWINGS[window.kind](**window.settings())
    assert type(again) is type(window)
    assert vars(again) == vars(window)


@pytest.mark.parametrize(
    "window", [SessionWindows(60), UserDayWindows(), BlockWindows(5)], ids=lambda w: w.kind
)
def test_order_in_the_file_does_not_matter(window: Windowing) -> None:
    events = random_log(days=5)
    learnt = extractor(window).fit(events)
    expected = learnt.windows(events)
    assert same_windows(learnt.windows(shuffled(events)), expected)
    assert same_windows(learnt.windows(events.reverse()), expected)
    assert same_windows(extractor(window).fit(shuffled(events)).windows(events), expected)


def sessions_by_hand(moments: list[datetime], gap: timedelta) -> list[list[datetime]]:
    ordered = sorted(moments)
    groups = [ordered[:1]]
    for before, now in pairwise(ordered):
        groups.append([now]) if now - before > gap else groups[-1].append(now)
    return groups


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 400)), min_size=1, max_size=30),
    st.integers(1, 60),
)
def test_sessions_against_brute_force(rows: list[tuple[str, int]], gap: int) -> None:
    users, minutes = zip(*rows, strict=True)
    moments = [ZERO + timedelta(minutes=m) for m in minutes]
    windows = (
        extractor(SessionWindows(gap), families={"volume": VolumeFeatures()})
        .fit(events := table(users, moments))
        .windows(events)
    )
    expected = [
        (group[0], user, group[-1], len(group))
        for user in set(users)
        for group in sessions_by_hand(
            [m for u, m in zip(users, moments, strict=True) if u == user], timedelta(minutes=gap)
        )
    ]
    found = windows.keys.select("start", "user_id", "end", "n_events").rows()
    assert found == sorted(expected)
