"""Names as 64-bit numbers: the same in every process and release, unlike Polars' own hash."""

from __future__ import annotations

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
