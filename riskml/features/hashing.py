"""Names as 64-bit numbers: the same in every process and release, unlike Polars' own hash."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh

from riskml.features.rows import index

_HALF = 2**32

HashesT = TypeVar("HashesT", pl.Series, pl.Expr)


@lru_cache(maxsize=256)
def hashed(column: str) -> pl.Expr:
    """The xxHash64 of a column's text; missing stays null."""
    value: pl.Expr = plh.col(column).cast(pl.String).nchash.xxhash64()  # type: ignore[attr-defined]
    return value.alias(column)


def bucket_of(hashes: HashesT, buckets: int) -> HashesT:
    """Which of so many ranges a hash lies in, from 0; greater hashes lie in later ranges.

    Args:
        hashes: a series or an expression of unsigned 64-bit numbers.
        buckets: up to 2**32.
    """
    return hashes // _HALF * buckets // _HALF


def by_user(events: pl.DataFrame, user: str) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
    """The events of a user together, in their order, users by hash; and the row of each before.

    Args:
        events: to be sorted.
        user: the column of hashes.
    """
    # the first bits of a hash nearly always tell users apart
    bits = _bits(len(events))
    hashes = events[user].to_numpy()
    order = _packed_order(hashes >> bits << bits, bits)
    ordered = events[index(order)]
    if not ordered[user].is_sorted():
        order = stable_order(events[user])
        ordered = events[index(order)]
    return ordered, order


def stable_order(keys: pl.Series) -> npt.NDArray[np.int64]:
    """Indices that sort unsigned keys, equal ones in their order."""
    bits = _bits(len(keys))
    highest = keys.max()
    if isinstance(highest, int) and highest.bit_length() + int(bits) <= 64:
        return _packed_order(keys.to_numpy() << bits, bits)
    frame = pl.DataFrame({"key": keys}).with_row_index("at")
    order: npt.NDArray[np.int64] = (
        frame.sort("key", maintain_order=True)["at"].to_numpy().astype(np.int64)
    )
    return order


def _packed_order(keys: npt.NDArray[np.uint64], bits: np.uint64) -> npt.NDArray[np.int64]:
    """Sort key and row number as one number, several times faster than sorting rows.

    Args:
        keys: with the lowest bits free; the row numbers are written there.
        bits: how many.
    """
    keys |= np.arange(len(keys), dtype=np.uint64)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    return (pl.Series(keys).sort().to_numpy() & mask).view(np.int64)


def _bits(n: int) -> np.uint64:
    return np.uint64(max(n - 1, 1).bit_length())
