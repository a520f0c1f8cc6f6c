"""The rows of one batch: brought to the event schema, then held to rules by Pandera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from riskml.core.schema import EVENT_SCHEMA, TIMESTAMP
from riskml.data.log_values import SUCCESS_WORDS
from riskml.data.quality import DUPLICATE_RULE, RowRule, row_rules
from riskml.data.timestamps import parse_timestamps

if TYPE_CHECKING:
    import pandera.polars as pa

WRONG_TYPE, TEXT_LENGTH, LEAP = "wrong_type", "text_length", "clock_leap"
FLAGS = ("timestamp_problem", WRONG_TYPE, TEXT_LENGTH, LEAP)
"""Columns beside the event schema that the rules look at."""


@dataclass(frozen=True)
class ConformedRows:
    """A batch in the event schema.

    Args:
        columns: the event columns that the batch has (event_id always), each of its type.
        problem: why there is no timestamp, as of `parse_timestamps`.
        wrong_type: rows with a value that cannot be of its column's type.
        unknown_outcomes: rows whose outcome is no known word, and so left empty.
    """

    columns: pl.DataFrame
    problem: pl.Series
    wrong_type: pl.Series
    unknown_outcomes: int


def conform(events: pl.DataFrame, made_ids: pl.Series) -> ConformedRows:
    """Give every event column its type, as `EventMapping` would; what does not fit is null.

    Args:
        events: the batch, its columns of any type.
        made_ids: ids for the rows that have none.
    """
    columns: dict[str, pl.Series] = {}
    wrong = pl.repeat(False, len(events), eager=True)
    problem = pl.Series([None], dtype=pl.String).new_from_index(0, len(events))
    unknown = 0
    for name in (name for name in EVENT_SCHEMA if name in events.columns):
        values = events[name]
        plain = _is_plain(values.dtype) or (name == "timestamp" and values.dtype.is_temporal())
        if not plain or values.dtype in (pl.Duration, pl.Time):
            wrong |= values.is_not_null()
            columns[name] = pl.Series([None], dtype=EVENT_SCHEMA[name]).new_from_index(
                0, len(values)
            )
        elif name == "timestamp":
            times = parse_timestamps(_time_values(values))
            columns[name], problem = times["timestamp"], times["problem"]
        elif name == "success":
            columns[name] = _outcomes(values)
            unknown = columns[name].null_count() - _text(values).null_count()
        else:
            columns[name] = _text(values)
    columns["event_id"] = columns.get("event_id", made_ids).fill_null(made_ids)
    ordered = {name: columns[name] for name in EVENT_SCHEMA if name in columns}
    return ConformedRows(pl.DataFrame(ordered), problem, wrong, unknown)


def _is_plain(kind: pl.DataType) -> bool:
    text = kind in (pl.String, pl.Categorical, pl.Enum)
    return text or kind.is_integer() or kind.is_float() or kind in (pl.Boolean, pl.Null)


def _time_values(values: pl.Series) -> pl.Series:
    native = values.dtype.is_temporal() or values.dtype.is_numeric()
    return values if native else _text(values)


def _text(values: pl.Series) -> pl.Series:
    if values.dtype.is_float():
        whole = values.is_finite() & (values % 1 == 0)
        number = values.cast(pl.Int64, strict=False).cast(pl.String)
        values = number.zip_with(whole.fill_null(False), values.cast(pl.String))
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _outcomes(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    words = _text(values).str.to_lowercase()
    return words.replace_strict(SUCCESS_WORDS, default=None, return_dtype=pl.Boolean)


def batch_rules(now: datetime, max_text_length: int) -> tuple[RowRule, ...]:
    """The rules for the rows of a batch, in the order in which they are named.

    Args:
        now: as in `quality.row_rules`.
        max_text_length: characters that a text may have.
    """
    return (
        RowRule(
            WRONG_TYPE,
            "a value is of a type that its column cannot hold, such as a list or bytes",
            pl.col(WRONG_TYPE),
        ),
        *row_rules(now),
        RowRule(
            "text_too_long",
            f"a text has more than {max_text_length:,} characters; "
            "if that is usual, raise data.quality.max_text_length",
            pl.col(TEXT_LENGTH) > max_text_length,
        ),
        RowRule(
            LEAP,
            "the clock leaps ahead of the rows before and after, and back again; "
            "if that is right, set data.quality.max_clock_leap_days=null",
            pl.col(LEAP),
        ),
    )


def longest_text(columns: pl.DataFrame) -> pl.Series:
    """Characters of the longest text in each row."""
    lengths = [pl.col(name).str.len_chars() for name in columns.columns if _is_text(columns, name)]
    return columns.select(pl.max_horizontal(*lengths, pl.lit(0)).alias(TEXT_LENGTH)).to_series()


def _is_text(columns: pl.DataFrame, name: str) -> bool:
    return columns.schema[name] == pl.String


def broken_by_row(rows: pl.DataFrame, rules: Sequence[RowRule]) -> pl.Series:
    """Name of the first rule that each row breaks, null for good rows.

    Args:
        rows: event columns and `FLAGS`.
        rules: in the order in which they are named; duplicates are judged after them all.
    """
    broken = _first_failures(rows, rules)
    good = rows.with_row_index("position").filter(broken.is_null())
    copies = good.filter(DUPLICATE_RULE.broken)["position"]
    return broken.scatter(copies, DUPLICATE_RULE.name) if len(copies) else broken


def _first_failures(rows: pl.DataFrame, rules: Sequence[RowRule]) -> pl.Series:
    from pandera.errors import SchemaErrors  # takes a second to import

    broken = pl.Series("rule", [None], dtype=pl.String).new_from_index(0, len(rows))
    if rows.is_empty():
        return broken
    try:
        event_schema(rules, rows.columns).validate(rows, lazy=True)
    except SchemaErrors as errors:
        failures: pl.DataFrame = errors.failure_cases
        if failures["index"].null_count():
            raise  # about a column, not a row: `conform` has not done its work
    else:
        return broken
    first = (
        failures.sort("check_number").unique("index", keep="first", maintain_order=True)
    ).select("index", "check")
    return broken.scatter(first["index"], first["check"])


def event_schema(rules: Sequence[RowRule], columns: Sequence[str]) -> pa.DataFrameSchema:
    """The Pandera schema of a conformed batch: a type for each column, a check for each rule."""
    import pandera.polars as pa

    kinds: dict[str, Any] = {
        **EVENT_SCHEMA,
        "timestamp": TIMESTAMP,
        "timestamp_problem": pl.String(),
        WRONG_TYPE: pl.Boolean(),
        LEAP: pl.Boolean(),
    }
    return pa.DataFrameSchema(
        {name: pa.Column(kinds[name], nullable=True) for name in columns if name in kinds},
        checks=[pa.Check(partial(_holds, rule=rule), error=rule.name) for rule in rules],
    )


def _holds(data: Any, rule: RowRule) -> pl.LazyFrame:
    frame: pl.LazyFrame = data.lazyframe
    return frame.select(~rule.broken.fill_null(False))
