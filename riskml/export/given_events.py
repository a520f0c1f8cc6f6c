"""Events as people hand them over, in the columns that a bundle reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from riskml.core.errors import DataError, did_you_mean
from riskml.core.schema import EVENT_SCHEMA, REQUIRED_COLUMNS, TIME_ZONE, TIMESTAMP, is_truth
from riskml.data.frames import as_frame, is_frame
from riskml.data.timestamps import MISSING, WITHOUT_ZONE, parse_timestamps


def read_events(table: Any, reads: Sequence[str]) -> pl.DataFrame:
    """Events of the schema, each column of its kind; optional ones that are not there are null.

    Args:
        table: a Polars or a pandas frame, a row an event; further columns stay as they are,
            truth is left out.
        reads: columns that are needed, as `FeatureExtractor.reads` gives them.

    Raises:
        DataError: it is no frame, or has no events, a column is missing, or a value is not of
            its kind.
    """
    if not is_frame(table):
        raise DataError(
            f"events to score are a Polars or a pandas frame, not {type(table).__name__}: a log "
            "has one in .events, and riskml.data.sources.CsvSource(path).load().events reads a file"
        )
    frame = as_frame(table)
    if frame.is_empty():
        raise DataError("there are no events to score")
    found = []
    for name in (*reads, TIME_ZONE):
        kind = EVENT_SCHEMA.get(name, pl.String() if name == TIME_ZONE else None)
        if name in frame.columns:
            found.append(_column(frame[name], kind))
        elif name in REQUIRED_COLUMNS or kind is None:
            raise DataError(f"events have no column '{name}': {did_you_mean(name, frame.columns)}")
        elif name != TIME_ZONE:
            found.append(pl.repeat(None, len(frame), dtype=kind, eager=True).alias(name))
    return frame.with_columns(found).drop([name for name in frame.columns if is_truth(name)])


def _column(values: pl.Series, kind: pl.DataType | None) -> pl.Series:
    name = values.name
    if kind is None or (values.dtype == kind and name not in REQUIRED_COLUMNS):
        return values
    if kind == TIMESTAMP:
        return _times(values)
    try:
        read = values.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"column '{name}' holds what is not {kind}") from error
    if name in REQUIRED_COLUMNS and read.null_count():
        raise DataError(f"column '{name}' is missing in row {read.is_null().arg_max()}")
    return read


def _times(values: pl.Series) -> pl.Series:
    """Times as a log may have them; one without a zone is no moment."""
    times = parse_timestamps(values)
    bad = times["problem"].is_not_null()
    if bad.any():
        row = bad.arg_max() or 0
        problem, where = times["problem"][row], f"column '{values.name}'"
        if problem == MISSING:
            raise DataError(f"{where} is missing in row {row}")
        without = problem == WITHOUT_ZONE
        lacks = "a time without its zone" if without else "what is no time"
        raise DataError(
            f"{where} holds {lacks} in row {row}: '{values[row]}'; give ISO 8601 with its offset "
            "from UTC, or a datetime with a time zone"
        )
    return times["timestamp"].alias(values.name)
