"""Names as 64-bit numbers: the same in every process and release, unlike Polars' own hash."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh


def hashed(column: str) -> pl.Expr:
    """The xxHash64 of a column's text; missing stays null."""
    text = plh.col(column).cast(pl.String)
    value: pl.Expr = text.nchash.xxhash64()  # type: ignore[attr-defined]
    return pl.when(pl.col(column).is_not_null()).then(value).alias(column)


def hash_one(value: str) -> int:
    """The hash of one name."""
    return int(pl.DataFrame({"value": [value]}).select(hashed("value")).item())


def order_by_user(user: pl.Series) -> npt.NDArray[np.int64]:
    """Indices that bring the events of a user together, users by hash, and keep their order.

    The first bits of the hash and the row number make one number to sort, which is several times
    faster than sorting rows; should two users share those bits, rows are sorted after all.
    """
    bits = np.uint64(max(len(user) - 1, 1).bit_length())
    hashes = user.to_numpy()
    rows = np.arange(len(user), dtype=np.uint64)
    packed = pl.Series(hashes >> bits << bits | rows).sort().to_numpy()
    order = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    ordered = hashes[order]
    if (ordered[1:] < ordered[:-1]).any():
        order = np.argsort(hashes, kind="stable")
    return order
