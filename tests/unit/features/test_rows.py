"""Rows by number, held to what Polars says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from riskml.core.schema import TIMESTAMP
from riskml.features.rows import NEVER, begins, filled, find, instants, micros, put, ranges, rows_of


def test_places_in_a_rising_array() -> None:
    known = np.array([2, 5, 2**64 - 1], np.uint64)
    wanted = np.array([5, 0, 2**64 - 1, 6, 2], np.uint64)
    assert find(known, wanted).tolist() == [1, -1, 2, -1, 0]
    assert find(known[:0], wanted[:2]).tolist() == [-1, -1]


def test_beginnings_and_ranges() -> None:
    assert begins(np.array([3, 3, 1, 3])).tolist() == [True, False, True, True]
    assert begins(np.zeros(0)).tolist() == []
    assert ranges(np.array([4, 0, 9]), np.array([2, 0, 3])).tolist() == [4, 5, 9, 10, 11]
    assert rows_of(np.array([1, 1, 4, 7, 7]), np.array([0, 1, 7])).tolist() == [0, 1, 3, 4]


def test_times_there_and_back() -> None:
    times = pl.Series([datetime(2024, 3, 1, tzinfo=UTC), None], dtype=TIMESTAMP)
    assert micros(times)[1] == NEVER
    assert instants(micros(times)).equals(times, check_dtypes=True)


@pytest.mark.parametrize("dtype", [pl.UInt64, pl.Boolean])
def test_what_is_missing_is_nothing(dtype: type[pl.DataType]) -> None:
    # as float64 the largest hash would be another
    highest = True if dtype == pl.Boolean else 2**64 - 1
    values, there = filled(pl.Series([highest, None], dtype=dtype))
    assert values.tolist() == [highest, 0]
    assert there.tolist() == [True, False]
    assert filled(pl.Series([highest], dtype=dtype))[1].tolist() == [True]


@pytest.mark.parametrize("seed", range(20))
def test_rows_take_the_place_of_others(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some(n: int) -> pl.DataFrame:
        keys = np.sort(rng.integers(0, 8, n)).astype(np.uint64)
        return pl.DataFrame({"key": keys, "value": rng.integers(0, 1000, n)})

    table, rows = some(int(rng.integers(0, 12))), some(int(rng.integers(0, 6)))
    wanted = np.unique(np.append(rows["key"].to_numpy(), rng.integers(0, 8, 2).astype(np.uint64)))
    rest = table.filter(~pl.col("key").is_in(wanted.tolist()))
    expected = pl.concat([rest, rows]).sort("key", maintain_order=True)
    assert_frame_equal(put(table, rows.select("value", "key"), "key", wanted), expected)
    more = put(table, rows.with_columns(new=pl.lit(1)), "key", wanted)
    assert_frame_equal(more.drop("new"), expected)
    assert more["new"].null_count() == len(rest)
