"""However a history is cut into calls, the same windows come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from event_tables import all_families, assert_equal_windows, extractor, table, worldly_log
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from riskml.core.types import Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.profile import USER, Profile
from riskml.features.windows import BlockWindows, SessionWindows, UserDayWindows, Windowing

WINDOWS: dict[str, Windowing] = {
    "session": SessionWindows(30, max_events=11),
    "named": SessionWindows(column="logon"),
    "named-with-gap": SessionWindows(300, "logon", max_events=5),
    "user_day": UserDayWindows(),
    "block": BlockWindows(9),
}


@cache
def fitted(window: str) -> FeatureExtractor:
    # few slots, so that names fall on each other; roles in the log, so that some have no group
    families = all_families() | {"novelty": NoveltyFeatures(slots=2**6)}
    peers = PeerGroups("role") if window == "session" else PeerGroups()
    made = extractor(
        WINDOWS[window], families=families, peers=peers, max_tokens=8, event_times=True
    )
    return made.fit(worldly_log(seed=1, n=400))


Cut = Callable[[pl.DataFrame, np.random.Generator], Iterator[pl.DataFrame]]
Run = Callable[[FeatureExtractor, Iterator[pl.DataFrame]], tuple[list[Windows], Profile]]


def daily(events: pl.DataFrame, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    day = pl.col("timestamp").dt.date()
    return (part for _, part in events.group_by(day, maintain_order=True))


def micro_batches(events: pl.DataFrame, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    while len(events):
        n = int(rng.integers(1, 500) if rng.random() < 0.5 else rng.integers(1, 20))
        yield events[:n]
        events = events[n:]


def in_memory(
    made: FeatureExtractor, parts: Iterator[pl.DataFrame]
) -> tuple[list[Windows], Profile]:
    profile, windows = Profile(), []
    for part in parts:
        closed, profile = made.transform(part, profile)
        windows.append(closed)
    return windows, profile


def through_files(
    made: FeatureExtractor, parts: Iterator[pl.DataFrame]
) -> tuple[list[Windows], Profile]:
    windows = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "profile"
        Profile().save(folder)
        for part in parts:
            closed, profile = made.transform(part, Profile.load(folder))
            profile.save(folder)
            windows.append(closed)
        return windows, Profile.load(folder)


def of_users_at_hand(
    made: FeatureExtractor, parts: Iterator[pl.DataFrame]
) -> tuple[list[Windows], Profile]:
    """Only the profiles of users with new events are read; then they go back to the others."""
    windows = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "profile"
        Profile().save(folder)
        for part in parts:
            known = Profile.load(folder, part["user_id"].unique())
            closed, known = made.transform(part, known)
            Profile.load(folder).merge(known).save(folder)
            windows.append(closed)
        return windows, Profile.load(folder)


QUICK: list[tuple[Cut, Run]] = [(micro_batches, in_memory), (micro_batches, of_users_at_hand)]
every_window = pytest.mark.parametrize("window", list(WINDOWS))


@every_window
@pytest.mark.parametrize(("cut", "run"), QUICK)
@settings(max_examples=1, deadline=None)
@given(seed=st.integers(1, 10_000))
def test_equal_however_cut(window: str, cut: Cut, run: Run, seed: int) -> None:
    check_cut(window, cut, run, seed)


@pytest.mark.slow
@every_window
@pytest.mark.parametrize(("cut", "run"), [(daily, through_files), *QUICK])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equal_however_cut_at_length(window: str, cut: Cut, run: Run, seed: int) -> None:
    check_cut(window, cut, run, seed)


def check_cut(window: str, cut: Cut, run: Run, seed: int) -> None:
    made, events = fitted(window), worldly_log(seed)
    expected, end = made.transform(events, Profile(), open_windows=True)
    assert_equal_windows([made.windows(events)], expected)
    windows, profile = run(made, cut(events, np.random.default_rng(seed)))
    last, profile = made.transform(events.clear(), profile, open_windows=True)
    assert_equal_windows([*windows, last], expected)
    assert_same_profile(profile, end)


def assert_same_profile(a: Profile, b: Profile) -> None:
    """But for the order of rows, and for tables without any."""
    assert (a.watermark, a.late) == (b.watermark, b.late)
    tables, others = (
        {name: rows for name, rows in profile.tables.items() if len(rows)} for profile in (a, b)
    )
    assert tables.keys() == others.keys()
    for name, mine in tables.items():
        other = others[name]
        # of a user's windows the order counts
        by = [USER] if "values" in mine.columns else mine.columns[:-1]
        assert_frame_equal(mine.sort(by, maintain_order=True), other.sort(by, maintain_order=True))
    assert_frame_equal(a.users.sort(USER), b.users.sort(USER))


@pytest.mark.slow
@pytest.mark.parametrize("window", list(WINDOWS))
def test_one_event_at_a_time(window: str) -> None:
    made, events = fitted(window), worldly_log(seed=7, n=40, users=2, days=3)
    expected = made.windows(events)
    windows, profile = in_memory(made, (events[i : i + 1] for i in range(len(events))))
    last, _ = made.transform(events.clear(), profile, open_windows=True)
    assert_equal_windows([*windows, last], expected)


@pytest.mark.parametrize("window", list(WINDOWS))
def test_open_windows_stay_open(window: str) -> None:
    made, events = fitted(window), worldly_log(seed=3)
    first, later = events[:350], events[350:]
    closed, without = made.transform(first, Profile())
    every, given = made.transform(first, Profile(), open_windows=True)
    assert len(every) > len(closed)
    assert_same_profile(given, without)
    assert given.open is not None
    assert without.open is not None
    assert given.open.equals(without.open)
    among = every.keys["window_id"].is_in(closed.keys["window_id"].implode()).to_numpy()
    assert_equal_windows([every.take(among)], closed)
    assert_equal_windows([made.transform(later, given)[0]], made.transform(later, without)[0])


def test_a_day_that_a_flight_makes_longer_or_shorter() -> None:
    """West over midnight stays in the day that has begun; east ends the day early."""
    events = table(
        ["ann"] * 6,
        [
            "2024-03-04T14:30",  # 23:30 in Tokyo
            "2024-03-04T16:00",  # 08:00 in Los Angeles on the same day: by Tokyo's clock the next
            "2024-03-04T23:00",  # 15:00
            "2024-03-05T09:30",  # 01:30 the next day
            "2024-03-05T15:30",  # 07:30
            "2024-03-05T15:40",  # 00:40 in Tokyo, the day after
        ],
        time_zone=["Asia/Tokyo", *["America/Los_Angeles"] * 4, "Asia/Tokyo"],
    )
    made = fitted("user_day")
    one_by_one = in_memory(made, (events[i : i + 1] for i in range(6)))[1]
    days = made.assign(events)["window_id"].to_list()
    assert days == [f"ann/2024-03-0{day}" for day in (4, 5, 5, 5, 5, 6)]
    last = made.transform(events.clear(), one_by_one, open_windows=True)[0]
    assert last.keys["window_id"].to_list()[-1] == "ann/2024-03-06"


def test_parts_by_user_come_together_again() -> None:
    made, events = fitted("user_day"), worldly_log(seed=5)
    _, whole = made.transform(events[:500], Profile())
    names = sorted(events["user_id"].unique())
    half = [names[::2], names[1::2]]
    parts = [
        made.transform(events[500:].filter(pl.col("user_id").is_in(part)), whole.of(part))[1]
        for part in half
    ]
    merged = whole.merge(parts[0]).merge(parts[1])
    _, expected = made.transform(events[500:], whole)
    assert merged.users[USER].is_unique().all()
    for name in ("novelty.seen", "novelty.first"):
        columns = expected.tables[name].columns
        assert_frame_equal(merged.tables[name].sort(columns), expected.tables[name].sort(columns))
