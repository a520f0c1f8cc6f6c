"""First times are the least of all, whatever the order in which they come."""

from __future__ import annotations

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from riskml.features.first_times import EVERYBODY, KEYS, MOST_GROUPS, FirstTimes, earliest

SCHEMA = {"group": pl.Int32(), "column": pl.UInt8(), "slot": pl.UInt32(), "first": pl.Int64()}


def random_times(seed: int, n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    groups = np.array([EVERYBODY, 0, 3, MOST_GROUPS - 1])
    slots = np.array([0, 1, 2**32 - 1])
    drawn = {
        "group": groups[rng.integers(0, 4, n)],
        "column": rng.integers(0, 3, n),
        "slot": slots[rng.integers(0, 3, n)],
        "first": rng.integers(-5, 1000, n),
    }
    return pl.DataFrame(drawn).cast(SCHEMA).unique(KEYS)  # type: ignore[arg-type]


def test_the_earlier_of_two_tables_in_any_order() -> None:
    for seed in range(10):
        one, two = random_times(2 * seed), random_times(2 * seed + 1, 5)
        expected = pl.concat([one, two]).group_by(KEYS).agg(pl.col("first").min()).sort(KEYS)
        assert_frame_equal(earliest(one, two), expected)
        assert_frame_equal(earliest(two, one), expected)
        assert_frame_equal(earliest(expected, expected.clear()), expected)


def test_times_are_found_again() -> None:
    table = random_times(0)
    times = FirstTimes.of(table)
    assert_frame_equal(times.table(), table.sort(KEYS))
    assert (times.at(times.key[::-1]) == times.time[::-1]).all()
    assert len(FirstTimes.of(None).table()) == 0
    assert FirstTimes.of(None).table().schema == SCHEMA
