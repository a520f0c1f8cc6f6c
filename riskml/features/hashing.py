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


def order_by_user(user: pl.Series) -> npt.NDArray[np.int64]:
    """Indices that bring the events of a user together, users by hash, and keep their order."""
    # the first bits of a hash nearly always tell users apart
    bits = np.uint64(_bits(len(user)))
    hashes = user.to_numpy()
    order = _packed_order(hashes >> bits, bits)
    ordered = hashes[order]
    return stable_order(user) if (ordered[1:] < ordered[:-1]).any() else order


def stable_order(keys: pl.Series) -> npt.NDArray[np.int64]:
    """Indices that sort unsigned keys, equal ones in their order."""
    bits = _bits(len(keys))
    highest = keys.max()
    if isinstance(highest, int) and highest.bit_length() + bits <= 64:
        return _packed_order(keys.to_numpy(), np.uint64(bits))
    frame = pl.DataFrame({"key": keys}).with_row_index("at")
    order: npt.NDArray[np.int64] = (
        frame.sort("key", maintain_order=True)["at"].to_numpy().astype(np.int64)
    )
    return order


def _packed_order(keys: npt.NDArray[np.uint64], bits: np.uint64) -> npt.NDArray[np.int64]:
    """Sort key and row number as one number, several times faster than sorting rows."""
    packed = keys << bits
    packed |= np.arange(len(keys), dtype=np.uint64)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    ordered = pl.Series(packed).sort().to_numpy()
    return (ordered & mask).astype(np.int64)


def _bits(n: int) -> int:
    return max(n - 1, 1).bit_length()
