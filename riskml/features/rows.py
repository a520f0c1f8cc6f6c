"""Rows by number: found in sorted columns, gathered, put among others.

A call of Polars that works out an expression costs a tenth of a millisecond however few rows there
are, a call of NumPy a hundredth of that. What is asked of every micro-batch is asked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.schema import TIMESTAMP

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
NEVER, FOREVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""A missing time, in microseconds, and one that is later than all."""


def index(rows: Array) -> pl.Series:
    """Row numbers as Polars keeps them: `frame[index(rows)]` goes through no expression."""
    return pl.Series(rows.astype(np.uint32))


def begins(values: Array) -> Flags:
    """Which values are not the one before."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def find(known: Array, wanted: Array) -> Array:
    """Places in a rising array, −1 where not there."""
    if not len(known):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: Array = np.where(known[at] == wanted, at, -1)
    return found


def ranges(first: Array, counts: Array) -> Array:
    """So many numbers from each first one on, one range after the other."""
    before = np.cumsum(counts) - counts
    rows: Array = np.arange(counts.sum()) + np.repeat(first - before, counts)
    return rows


def micros(times: pl.Series) -> Array:
    """Datetimes [us] as int64 microseconds since 1970, `NEVER` where missing."""
    found: Array = times.to_numpy().view(np.int64)
    return found


def instants(micros: Array) -> pl.Series:
    """The times (UTC) that `micros` gave, null for `NEVER`."""
    times, missing = pl.Series(micros).cast(TIMESTAMP), micros == NEVER
    return times.set(pl.Series(missing), None) if missing.any() else times


def filled(column: pl.Series) -> tuple[Array, Flags]:
    """Whole numbers or flags, 0 where missing, and which are there."""
    if not column.null_count():
        return column.to_numpy(), np.ones(len(column), bool)
    zero = False if column.dtype == pl.Boolean else 0
    value = pl.col("value")
    frame = column.to_frame("value").select(value.fill_null(zero), there=value.is_not_null())
    return frame["value"].to_numpy(), frame["there"].to_numpy()


def rows_of(keys: Array, wanted: Array) -> Array:
    """Row numbers where a rising column holds one of some values, which rise too."""
    first, end = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
    return ranges(first, end - first)


def put(table: pl.DataFrame, rows: pl.DataFrame, key: str, wanted: Array) -> pl.DataFrame:
    """The table with `rows` in place of all those whose key is one of some values.

    Args:
        table: in order of the key.
        rows: likewise, in the table's columns, and perhaps more.
        key: the name of a column.
        wanted: rising values; those of `rows` are among them.
    """
    kept = np.ones(len(table), bool)
    kept[rows_of(table[key].to_numpy(), wanted)] = False
    left, keys = np.flatnonzero(kept), rows[key].to_numpy()
    if not len(left):
        return pl.concat([table.clear(), rows], how="diagonal")
    first = np.flatnonzero(begins(keys))
    at = np.searchsorted(table[key].to_numpy()[left], keys[first])
    place = np.repeat(at, np.diff(np.append(first, len(keys)))) + np.arange(len(keys))
    order = np.empty(len(left) + len(keys), np.int64)
    others = np.ones(len(order), bool)
    others[place] = False
    order[others], order[place] = left, len(table) + np.arange(len(keys))
    # a column that the older rows do not have is null there
    return pl.concat([table, rows], how="diagonal")[index(order)]
