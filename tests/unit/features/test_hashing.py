"""Sorting by user: the packed order is that of a plain stable sort, whatever the hashes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from riskml.features.hashing import by_user, hashed, stable_order


@pytest.mark.parametrize(
    "hashes",
    [
        [5, 2**63 + 1, 5, 0, 2**63 + 1, 2**64 - 1, 5],
        # the first bits are those of one user: only the whole hash tells them apart
        [2**40 + 1, 2**40, 2**40 + 1, 2**40, 2**40 + 3, 2**40],
        [7],
        [],
    ],
)
def test_events_of_a_user_come_together_in_their_order(hashes: list[int]) -> None:
    events = pl.DataFrame({"user": pl.Series(hashes, dtype=pl.UInt64)}).with_row_index("at")
    ordered, row = by_user(events, "user")
    expected = events.sort("user", maintain_order=True)
    assert_frame_equal(ordered, expected)
    assert row.tolist() == expected["at"].to_list()


@pytest.mark.parametrize("highest", [10, 2**64 - 1])
def test_stable_order_is_a_stable_sort(highest: int) -> None:
    keys = np.random.default_rng(0).integers(0, highest, 500, dtype=np.uint64, endpoint=True) // 7
    keys[::3] = keys[0]
    kept = keys.copy()
    order = stable_order(pl.Series(keys))
    assert order.tolist() == np.argsort(kept, kind="stable").tolist()
    assert keys.tolist() == kept.tolist()


def test_what_is_missing_has_no_hash() -> None:
    names = pl.DataFrame({"name": ["ann", None, "", "ann"]}).select(hashed("name"))["name"]
    assert names.is_null().to_list() == [False, True, False, False]
    assert names[0] == names[3] != names[2]
    assert names.dtype == pl.UInt64
