"""Arrays and data frames as `Windows`: each row is a window of one and the same user."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError, did_you_mean
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.features.numbers import infer_kind

Kinds = Mapping[str, FeatureKind | str]
"""Kind of some columns by name; the others are inferred."""

Columns = dict[str, npt.NDArray[Any]]

FAMILY = "table"
_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)


def as_windows(table: Any, spec: FeatureSpec | None = None, kinds: Kinds | None = None) -> Windows:
    """A table of numbers as windows; windows are given back as they are.

    Args:
        table: `Windows`, or numbers [n, d]: a NumPy array, a nested list, a Polars or a pandas
            frame. Columns of an array are called `feature_0`, `feature_1`, ...
        spec: what a detector was fitted on. Its kinds are kept; a frame's columns are put in its
            order, and an array's are taken to be in it.
        kinds: kinds of columns by name; without them 0/1 is binary, whole numbers that begin at 0
            or 1 and vary as counts do are counts, and all else is continuous.

    Raises:
        DataError: no table of finite numbers, or other columns than those of `spec`.
    """
    if isinstance(table, Windows):
        return table
    if isinstance(getattr(table, "train", None), Windows):
        kind = type(table).__name__
        raise DataError(f"{kind} holds the windows of all periods: give one, such as windows.train")
    columns = _columns(table, spec)
    if spec is not None and list(columns) != spec.names:
        odd = sorted(columns.keys() ^ set(spec.names))[:5]
        raise DataError(f"table: the detector was fitted on other features; not in both: {odd}")
    values = _matrix(columns)
    if spec is None:
        spec = _spec(columns, values, kinds or {})
    _check_binary(values, spec)
    rows = len(values)
    keys = pl.DataFrame({"window_id": pl.int_range(rows, eager=True).cast(pl.String)}).with_columns(
        pl.lit("table").alias("user_id"),
        pl.lit(_MOMENT).dt.cast_time_unit("us").alias("start"),
        pl.lit(_MOMENT).dt.cast_time_unit("us").alias("end"),
        pl.lit(1, pl.Int64).alias("n_events"),
    )
    tokens = np.zeros((rows, 1), np.int32)
    return Windows(keys, values, spec, tokens, np.zeros(rows, np.int32))


def _columns(table: Any, spec: FeatureSpec | None) -> Columns:
    """Columns by name, in the order of `spec`."""
    if isinstance(table, pl.DataFrame):
        columns: Columns = {name: table[name].to_numpy() for name in table.columns}
    elif hasattr(table, "columns") and hasattr(table, "items"):  # pandas, without importing it
        columns = {str(name): np.asarray(column) for name, column in table.items()}
        if len(columns) != len(table.columns):
            raise DataError("table: two columns have one name; rename one")
    else:
        return _array_columns(table, spec)
    if spec is None or columns.keys() != set(spec.names):
        return columns
    return {name: columns[name] for name in spec.names}


def _array_columns(table: Any, spec: FeatureSpec | None) -> Columns:
    try:
        array = np.asarray(table)
    except ValueError as error:
        raise DataError(f"table: its rows differ in length ({error})") from error
    if array.ndim != 2:
        raise DataError(
            f"table: expected rows and columns, got an array of shape {array.shape}; "
            "reshape(-1, 1) makes one column, reshape(1, -1) one row"
        )
    width = array.shape[1]
    names = [f"feature_{i}" for i in range(width)] if spec is None else spec.names
    if len(names) != width:
        raise DataError(f"table: has {width} columns, the detector was fitted on {len(names)}")
    return dict(zip(names, array.T, strict=True))


def _matrix(columns: Columns) -> npt.NDArray[np.float32]:
    """Float32 [n, d], every value finite."""
    if not columns:
        raise DataError("table: has no columns")
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            try:
                columns[name] = column.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"table: column '{name}' is not a number ({error}); encode it or leave it out"
                ) from error
    with np.errstate(over="ignore"):
        values = np.empty((len(next(iter(columns.values()))), len(columns)), np.float32)
        for i, column in enumerate(columns.values()):
            values[:, i] = column
    # column by column: a mask of all would be a quarter of the table
    if not all(np.isfinite(column).all() for column in values.T):
        row, column_index = np.argwhere(~np.isfinite(values))[0]
        name = list(columns)[column_index]
        raise DataError(
            f"table: column '{name}' is not a finite number in row {row} "
            f"({columns[name][row]}); fill missing values in or leave those rows out"
        )
    return values


def _spec(columns: Columns, values: npt.NDArray[np.float32], kinds: Kinds) -> FeatureSpec:
    for name, kind in kinds.items():
        if name not in columns:
            raise DataError(f"kinds: no column '{name}': {did_you_mean(name, columns)}")
        if kind not in list(FeatureKind):
            raise DataError(f"kinds: '{name}' is no '{kind}': {did_you_mean(kind, FeatureKind)}")
    inferred = [infer_kind(column) for column in values.T]
    return FeatureSpec(
        tuple(
            Feature(name, FAMILY, FeatureKind(kinds.get(name, kind)), name)
            for name, kind in zip(columns, inferred, strict=True)
        )
    )


def _check_binary(values: npt.NDArray[np.float32], spec: FeatureSpec) -> None:
    """A likelihood of 0 and 1 says nothing of other values."""
    for index in spec.columns(FeatureKind.BINARY):
        if not np.isin(values[:, index], (0.0, 1.0)).all():
            raise DataError(
                f"table: column '{spec.names[index]}' is binary and holds other values than 0 "
                "and 1; give it another kind and fit again"
            )
