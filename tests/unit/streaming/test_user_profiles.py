"""Profiles in layers: the newest of each user counts, in memory or on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.core.errors import BundleError
from riskml.features.profile import NAMES_SCHEMA, USER, USERS_SCHEMA, Profile
from riskml.streaming.user_profiles import UserProfiles

MARK = datetime(2024, 3, 1, tzinfo=UTC)


def part(values: dict[int, int], shared: int = 0) -> Profile:
    """Users with so many rows of so much, and a table that belongs to all."""
    users = sorted(values)
    counts = pl.DataFrame({USER: users, "n_events": [values[u] for u in users]})
    rows = [(u, values[u] * 10 + i) for u in users for i in range(u % 3)]
    return Profile(
        users=counts.select(
            pl.col(USER).cast(pl.UInt64),
            pl.col("n_events").cast(pl.Int64),
            time_zone=pl.lit("UTC"),
            closed_until=pl.lit(None, USERS_SCHEMA["closed_until"]),
        ),
        names=counts.select(pl.col(USER).cast(pl.UInt64), user_id=pl.format("u{}", USER)).cast(
            NAMES_SCHEMA  # type: ignore[arg-type]
        ),
        tables={
            "a.rows": pl.DataFrame(
                rows, schema={USER: pl.UInt64(), "value": pl.Int64()}, orient="row"
            ),
            "a.all": pl.DataFrame({"group": [1], "first": [shared]}),
        },
        watermark=MARK,
    )


def of(profiles: UserProfiles, users: list[int]) -> dict[int, tuple[int, list[int]]]:
    found = profiles.of(np.array(users, np.uint64))
    rows = found.tables["a.rows"]
    return {
        int(user): (count, rows.filter(pl.col(USER) == user)["value"].to_list())
        for user, count in found.users.select(USER, "n_events").iter_rows()
    }


def expected(values: dict[int, int], users: list[int]) -> dict[int, tuple[int, list[int]]]:
    return {
        u: (values[u], [values[u] * 10 + i for i in range(u % 3)]) for u in users if u in values
    }


def test_whatever_was_put_last_is_found_after_any_number_of_flushes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    now = {u: 1 for u in range(40)}
    base = part(now)
    profiles = UserProfiles(tmp_path, base, watermark=base.watermark)
    for number in range(1, 60):
        chosen = {int(u): number for u in rng.choice(100, rng.integers(1, 20), replace=False)}
        profiles.put(part(chosen, number))
        now |= chosen
        if rng.random() < 0.5:
            profiles.flush(number)
        if rng.random() < 0.2:
            profiles.flush(number)
            profiles = UserProfiles(
                tmp_path, base, profiles.segments, profiles.shared, profiles.watermark
            )
        asked = sorted(map(int, rng.choice(110, 30, replace=False)))
        assert of(profiles, asked) == expected(now, asked)
        assert profiles.common["a.all"]["first"].to_list() == [number]


def test_segments_stay_few_and_hold_each_user_about_once(tmp_path: Path) -> None:
    profiles = UserProfiles(tmp_path, Profile())
    for number in range(1, 200):
        profiles.put(part({u: number for u in range(number % 50, number % 50 + 10)}))
        profiles.flush(number)
        assert len(profiles.segments) <= 8
    rows = sum(len(pl.read_ipc(tmp_path / name / "users.arrow")) for name in profiles.segments)
    assert rows <= 3 * 60


def test_a_table_of_all_users_has_each_ones_newest_rows(tmp_path: Path) -> None:
    profiles = UserProfiles(tmp_path, part({1: 5, 2: 5}))
    profiles.put(part({2: 6, 4: 6}))
    profiles.flush(1)
    profiles.put(part({4: 7, 5: 7}))
    found = profiles.table("a.rows")
    assert found is not None
    values = {int(u): g["value"].to_list() for (u,), g in found.group_by(USER)}
    assert values == {2: [60, 61], 4: [70], 5: [70, 71]}


def test_a_damaged_segment_says_so(tmp_path: Path) -> None:
    profiles = UserProfiles(tmp_path, Profile())
    profiles.put(part({1: 1, 2: 2}))
    profiles.flush(1)
    file = tmp_path / profiles.segments[0] / "users.arrow"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError, match="000000000001 is missing, damaged"):
        UserProfiles(tmp_path, Profile(), profiles.segments)
