"""Frames of pandas as those of Polars."""

from __future__ import annotations

from typing import Any

import polars as pl

from riskml.core.errors import DataError

NAME = "frame"
"""What a frame is called in ids and messages."""


def is_frame(table: object) -> bool:
    """Whether it is a frame of Polars or pandas."""
    of_pandas = hasattr(table, "columns") and hasattr(table, "iloc")
    return isinstance(table, pl.DataFrame) or of_pandas


def as_frame(frame: Any) -> pl.DataFrame:
    """A Polars frame of a Polars or a pandas one, without its index.

    Raises:
        DataError: two columns have one name.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{NAME} has two columns '{name}': rename or drop one of them")
    parts = (frame.iloc[:, i] for i in range(len(names)))
    return pl.DataFrame({name: _column(part) for name, part in zip(names, parts, strict=True)})


def _column(values: Any) -> pl.Series:
    try:
        return _series(values)
    except (TypeError, ValueError):  # values of several types are text, as in a file
        return _series(values.astype(str).where(values.notna(), None))


def _series(values: Any) -> pl.Series:
    column: Any = pl.from_pandas(values)
    return pl.Series(column)
