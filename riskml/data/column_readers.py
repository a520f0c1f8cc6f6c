"""How values of a database's columns become those of Polars."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy import types as sql

from riskml.core.schema import TIMESTAMP


def reader_of(kind: sql.TypeEngine[Any], exact: bool) -> tuple[Any, Callable[[Any], Any]]:
    """The polars type of a column and what makes its values fit; the same for every batch.

    Args:
        kind: of the column.
        exact: read exact numbers as they are written.
    """
    if isinstance(kind, sql.Boolean):
        return pl.Boolean, _maybe(bool)
    if isinstance(kind, sql.Integer):
        return pl.Int64, _same
    if isinstance(kind, sql.Float) or (isinstance(kind, sql.Numeric) and not exact):
        return pl.Float64, _maybe(float)
    if isinstance(kind, sql.DateTime):
        if getattr(kind, "timezone", False):
            return TIMESTAMP, _maybe(_in_utc)
        return pl.Datetime("us"), _same
    if isinstance(kind, sql.Date):
        return pl.Date, _same
    return pl.String, _maybe(_written)


def _same(value: Any) -> Any:
    return value


def _maybe(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)
