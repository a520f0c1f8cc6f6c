"""What is carried between calls: late events, bounds, files, and forgetting."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from event_tables import (
    ZERO,
    all_families,
    assert_equal_windows,
    column,
    extractor,
    random_log,
    table,
    worldly_log,
)
from polars.testing import assert_frame_equal

from riskml.core.errors import BundleError, DataError
from riskml.features.extractor import FeatureExtractor
from riskml.features.family import FeatureFamily
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import SEEN, NoveltyFeatures
from riskml.features.profile import USER, Profile
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import BlockWindows, SessionWindows, UserDayWindows, Windowing

WINDOWS = [SessionWindows(45), UserDayWindows(), BlockWindows(10)]


def only(*families: FeatureFamily) -> dict[str, FeatureFamily | None]:
    return {family.name: family for family in families}


def minutes(*values: float) -> list[object]:
    return [ZERO + timedelta(minutes=value) for value in values]


# ---- late events


def test_late_events_are_left_out_counted_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    made = extractor(SessionWindows(30), families=only(VolumeFeatures()))
    made.fit(random_log(days=2))
    first, profile = made.transform(table(["ann", "bob"], minutes(0, 120)), Profile())  # type: ignore[arg-type]
    assert first.keys["user_id"].to_list() == ["ann"]
    late = table(["ann", "ann", "eve"], minutes(20, 80, 5))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        second, profile = made.transform(late, profile)
    assert profile.late == 1
    assert "1 of 3 events came after their window was closed" in caplog.text
    assert "features.lateness_minutes" in caplog.text
    # ann's session of minute 80 lies in the past too, but no window there was closed
    assert second.keys.select("user_id", "n_events").rows() == [("eve", 1), ("ann", 1)]
    _, again = made.transform(late, profile)
    assert again.late == 3 + 1, "a second time, all of them are late"


def test_lateness_keeps_windows_open() -> None:
    made = extractor(SessionWindows(30), families=only(VolumeFeatures()), lateness_minutes=120)
    made.fit(random_log(days=2))
    first, profile = made.transform(table(["ann", "bob"], minutes(0, 120)), Profile())  # type: ignore[arg-type]
    assert len(first) == 0
    _, profile = made.transform(table(["ann"], minutes(20)), profile)  # type: ignore[arg-type]
    assert profile.late == 0
    closed, profile = made.transform(table(["bob"], minutes(171)), profile)  # type: ignore[arg-type]
    assert closed.keys.select("user_id", "n_events").rows() == [("ann", 2)]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.kind)
@pytest.mark.parametrize("seed", range(3))
def test_events_that_come_within_lateness_count_as_if_in_order(
    window: Windowing, seed: int
) -> None:
    events, rng = random_log(users=5, seed=seed), np.random.default_rng(seed)
    # of novelty alone the order of arrival is the order
    families = all_families() | {"novelty": None}
    made = extractor(window, families=families, lateness_minutes=60).fit(events)
    expected = made.windows(events)
    delay = pl.duration(minutes=pl.Series(rng.integers(0, 60, len(events))))
    order = events.select(pl.arg_sort_by(pl.col("timestamp") + delay)).to_series()
    arriving = events[order]
    assert not arriving["timestamp"].is_sorted()
    windows, profile = [], Profile()
    for at in range(0, len(events), 23):
        closed, profile = made.transform(arriving[at : at + 23], profile)
        windows.append(closed)
    last, profile = made.transform(events.clear(), profile, open_windows=True)
    assert profile.late == 0
    assert_equal_windows([*windows, last], expected)


def test_a_late_event_makes_nothing_younger() -> None:
    made = extractor(
        SessionWindows(30), families=only(NoveltyFeatures(("resource",))), lateness_minutes=6000
    )
    made.fit(random_log(days=2))
    days = [ZERO + timedelta(days=day) for day in (0, 3, 1, 4)]
    profile, found = Profile(), []
    for group in (days[:2], days[2:]):
        events = table(["ann"] * len(group), group, resource=["f"] * len(group))
        windows, profile = made.transform(events, profile, open_windows=True)
        found.append(windows)
    assert column(found[1], "absence_resource") == [0, 0, 3, 1]


# ---- bounds


def test_names_of_a_user_take_no_more_than_the_slots() -> None:
    slots, n = 2**12, 300_000
    made = extractor(
        BlockWindows(1000), families=only(NoveltyFeatures(("resource",), ("user",), slots=slots))
    )
    made.fit(random_log(days=2))
    events = table(
        ["ann"] * n,
        [ZERO + timedelta(seconds=i) for i in range(n)],
        resource=[f"file{i}" for i in range(n)],
    )
    windows, profile = made.transform(events[:1000], Profile())
    taken = 0
    for at in range(1000, 5000, 200):
        taken = len(profile.tables[SEEN])
        _, profile = made.transform(events[at : at + 200], profile, open_windows=True)
        new = len(profile.tables[SEEN]) - taken
        middle = (taken + len(profile.tables[SEEN])) / 2
        assert 1 - new / 200 == pytest.approx(middle / slots, abs=0.12)
    # as many as balls in bins: a new name is taken for a known one with (places taken / slots)
    expected = slots * (1 - (1 - 1 / slots) ** 5000)
    assert len(profile.tables[SEEN]) == pytest.approx(expected, rel=0.02)
    windows, profile = made.transform(events[5000:], profile)
    assert len(profile.tables[SEEN]) <= slots
    assert sum(column(windows, "new_resource_to_user")[1:]) < slots


def test_remembered_windows_are_bounded() -> None:
    families = only(VolumeFeatures(), HistoryFeatures(days=1000, max_windows=7))
    made = extractor(SessionWindows(5), families=families).fit(random_log(days=2))
    _, profile = made.transform(random_log(days=20), Profile())
    n = profile.tables["history.windows"].group_by(USER).len()["len"]
    assert n.to_list() == [7, 7, 7]
    short = only(VolumeFeatures(), HistoryFeatures(days=2, short_days=1))
    made = extractor(UserDayWindows(), families=short).fit(random_log(days=2))
    _, profile = made.transform(random_log(days=20), Profile())
    assert profile.tables["history.windows"].group_by(USER).len()["len"].max() <= 3


def test_many_users_over_many_years() -> None:
    """More microseconds, user after user, than 64 bits hold."""
    users, years = 32_000, 12 * 365
    days = [0, years, years + 1, years + 1]
    events = table(
        [f"user{i}" for _ in days for i in range(users)],
        [ZERO + timedelta(days=day) for day in days for _ in range(users)],
    )
    made = extractor(UserDayWindows(), families=only(VolumeFeatures(0), HistoryFeatures()))
    windows = made.fit(events[-users:]).windows(events)
    change = np.array(column(windows, "change_events")).reshape(3, users)
    assert not change[:2].any()
    np.testing.assert_allclose(change[2], np.log(3 / 2), rtol=1e-6)


def test_an_account_that_never_rests_is_cut() -> None:
    n = 1000
    events = table(
        ["robot"] * n,
        [ZERO + timedelta(seconds=i // 3) for i in range(n)],
        logon=["x"] * n,
    )
    families = only(VolumeFeatures())
    made = extractor(SessionWindows(30, max_events=50), families=families).fit(events)
    windows, profile = made.transform(events, Profile())
    assert profile.open is not None
    assert len(profile.open) < 2 * 50
    # 50 and those of the same moment
    assert windows.keys["n_events"].unique().to_list() == [51]
    assert windows.keys["window_id"].is_unique().all()
    forever = extractor(SessionWindows(column="logon", max_events=50), families=families)
    windows, profile = forever.fit(events).transform(events, Profile())
    assert len(windows) == 0
    assert profile.open is not None
    assert len(profile.open) == n, "the documented exception"
    crowd = events.with_columns(timestamp=pl.lit(ZERO).dt.cast_time_unit("us"))
    assert made.windows(crowd).keys["n_events"].to_list() == [n]


# ---- whose it is


@pytest.fixture(scope="module")
def known() -> tuple[FeatureExtractor, Profile]:
    made = extractor(UserDayWindows()).fit(worldly_log(seed=1))
    return made, made.transform(worldly_log(seed=2), Profile())[1]


def users_of(profile: Profile) -> set[int]:
    frames = [profile.users, profile.open, *profile.tables.values()]
    return {
        user
        for frame in frames
        if frame is not None and USER in frame.columns
        for user in frame[USER]
    }


def test_of_some_and_without_some(known: tuple[FeatureExtractor, Profile]) -> None:
    _, profile = known
    everybody = users_of(profile)
    assert len(everybody) == 12
    part, rest = profile.of(["user1", "nobody"]), profile.without(["user1", "nobody"])
    assert len(users_of(part)) == 1
    assert users_of(rest) == everybody - users_of(part)
    assert part.tables["novelty.first"].equals(profile.tables["novelty.first"])
    assert rest.tables["novelty.first"].equals(profile.tables["novelty.first"])
    again = rest.merge(part)
    assert users_of(again) == everybody
    assert len(again.tables[SEEN]) == len(profile.tables[SEEN])


def test_tables_stand_in_order_of_user(known: tuple[FeatureExtractor, Profile]) -> None:
    made, profile = known
    later = worldly_log(seed=2).with_columns(pl.col("timestamp") + timedelta(days=30))
    part = made.transform(later[:99], profile.of(later["user_id"][:99]))[1]
    for after in (profile, part, profile.without(["user1"]), profile.merge(part)):
        for frame in (after.users, after.names, after.open, *after.tables.values()):
            assert frame is not None
            assert USER not in frame.columns or frame[USER].is_sorted()


def test_tables_in_another_order_are_put_in_order(
    known: tuple[FeatureExtractor, Profile],
) -> None:
    made, profile = known
    ids = profile.names["user_id"].to_list()
    swapped = [profile.of(ids[3:]), profile.of(ids[:3])]
    mixed = replace(
        profile,
        users=pl.concat([part.users for part in swapped]),
        names=pl.concat([part.names for part in swapped]),
        tables={
            name: pl.concat([part.tables[name] for part in swapped])
            if USER in rows.columns
            else rows
            for name, rows in profile.tables.items()
        },
    )
    assert not mixed.users[USER].is_sorted()
    later = worldly_log(seed=2).with_columns(pl.col("timestamp") + timedelta(days=30))
    some = ids[2:5]
    for one, other in (
        (profile, mixed),
        (profile.of(some), mixed.of(some)),
        (profile.without(some), mixed.without(some)),
        (profile.merge(profile.of(some)), mixed.merge(mixed.of(some))),
    ):
        windows, after = made.transform(later, other)
        expected, then = made.transform(later, one)
        assert_equal_windows([windows], expected)
        assert after.tables.keys() == then.tables.keys()
        assert all(after.tables[name].equals(rows) for name, rows in then.tables.items())
        assert made.late(worldly_log(seed=2), other).equals(made.late(worldly_log(seed=2), one))


def test_who_is_forgotten_is_new_again(known: tuple[FeatureExtractor, Profile]) -> None:
    made, profile = known
    later = worldly_log(seed=2).with_columns(pl.col("timestamp") + timedelta(days=60))
    mine = later.filter(pl.col("user_id") == "user1")
    forgotten, remembered = (
        windows.take((windows.keys["user_id"] == "user1").to_numpy())
        for windows in (
            made.transform(mine, before, open_windows=True)[0]
            for before in (profile.without(["user1"]), profile)
        )
    )
    forgotten, remembered = (
        windows.take((windows.keys["start"] > ZERO + timedelta(days=50)).to_numpy())
        for windows in (forgotten, remembered)
    )
    new = "new_resource_to_user"
    assert sum(column(remembered, new)) == 0 < sum(column(forgotten, new))
    assert column(forgotten, "idle_hours")[0] == 0
    assert column(remembered, "idle_hours")[0] > 24 * 30


def test_files(known: tuple[FeatureExtractor, Profile], tmp_path: Path) -> None:
    _, profile = known
    files = profile.save(tmp_path / "profile")
    assert sorted(files) == sorted((tmp_path / "profile").iterdir())
    assert {path.suffix for path in files} == {".json", ".parquet"}
    assert all(path.suffix == ".json" or path.read_bytes()[:4] == b"PAR1" for path in files)
    loaded = Profile.load(tmp_path / "profile")
    assert (loaded.watermark, loaded.late) == (profile.watermark, profile.late)
    for name, rows in profile.tables.items():
        ordered = rows.sort(USER, maintain_order=True) if USER in rows.columns else rows
        assert_frame_equal(loaded.tables[name], ordered)
    part = Profile.load(tmp_path / "profile", ["user3", "user4"])
    chosen = profile.of(["user3", "user4"])
    assert users_of(part) == users_of(chosen)
    assert len(part.tables[SEEN]) == len(chosen.tables[SEEN])
    assert Profile.load(tmp_path / "profile", []).users.is_empty()


def test_row_groups_are_read_by_user(
    known: tuple[FeatureExtractor, Profile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskml.features.profile.ROWS_A_GROUP", 16)
    known[1].save(tmp_path)
    import pyarrow.parquet as pq

    groups = pq.ParquetFile(tmp_path / f"profile.{SEEN}.parquet").metadata
    ends = [groups.row_group(i).column(0).statistics for i in range(groups.num_row_groups)]
    assert len(ends) > 5
    assert all(a.max <= b.min for a, b in pairwise(ends))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "profile.json").unlink(),
        lambda folder: (folder / "profile.json").write_text("{}"),
        lambda folder: (folder / "profile.json").write_text('{"format": 99}'),
        lambda folder: (folder / "profile.users.parquet").unlink(),
        lambda folder: (folder / f"profile.{SEEN}.parquet").write_bytes(b"PAR1"),
    ],
    ids=["no-json", "other-json", "other-format", "no-users", "cut-table"],
)
def test_damaged_files(
    damage: Callable[[Path], None], known: tuple[FeatureExtractor, Profile], tmp_path: Path
) -> None:
    known[1].save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=r"profile\.json is missing, damaged"):
        Profile.load(tmp_path)


def test_a_profile_of_other_features_is_refused(known: tuple[FeatureExtractor, Profile]) -> None:
    fewer = only(VolumeFeatures(0), HistoryFeatures())
    other = extractor(UserDayWindows(), families=fewer).fit(random_log(days=2))
    for profile in (known[1], replace(known[1], open=None)):
        with pytest.raises(DataError, match="the profile was made with other features"):
            other.transform(worldly_log(seed=3), profile, open_windows=True)


# ---- open windows


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.kind)
def test_which_windows_may_still_grow(window: Windowing) -> None:
    log = random_log(days=3)
    made = extractor(window, families=only(VolumeFeatures())).fit(log)
    everything, profile = made.transform(log, Profile(), open_windows=True)
    closed, _ = made.transform(log, Profile())
    ids = everything.keys.filter(~profile.still_open(everything.keys))["window_id"]
    assert sorted(ids) == sorted(closed.keys["window_id"])
    assert 0 < len(closed) < len(everything)
    assert not Profile().still_open(everything.keys).any()
