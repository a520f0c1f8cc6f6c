"""Values of a log as it was read: text, outcomes, truth, and what nothing could work with."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import polars as pl

from riskml.core.errors import DataError
from riskml.core.redaction import shown
from riskml.data import quality
from riskml.data.timestamps import is_time_zone

SUCCESS_WORDS = {
    **dict.fromkeys(("true", "t", "1", "1.0", "yes", "y", "success", "successful"), True),
    **dict.fromkeys(("succeeded", "ok", "allow", "allowed", "granted", "pass", "passed"), True),
    **dict.fromkeys(("false", "f", "0", "0.0", "no", "n", "failure", "fail", "failed"), False),
    **dict.fromkeys(("error", "deny", "denied", "block", "blocked", "reject", "rejected"), False),
}
"""Outcomes in lower case; any other word counts as unknown."""
_OUTCOMES = pl.Series(list(SUCCESS_WORDS)), pl.Series(list(SUCCESS_WORDS.values()))

NUL = "\0"
MOST_BYTES = 500
"""Of a user's name: databases have limits for what they index."""

LONG_USER = quality.RowRule(
    "unusable_user",
    f"the user's name is longer than {MOST_BYTES} bytes or holds a NUL",
    (pl.col("user_id").str.len_bytes() > MOST_BYTES)
    | pl.col("user_id").str.contains(NUL, literal=True),
)
ZONE = quality.RowRule(
    "unknown_time_zone", "the time zone is no IANA name, such as Europe/Berlin", pl.lit(False)
)  # each name of a log is looked up once, so no expression says it
UNUSABLE = (LONG_USER, ZONE)

_logger = logging.getLogger(__name__)


def is_time(kind: pl.DataType) -> bool:
    """Whether a column of this kind holds times as they are."""
    return kind.is_numeric() or kind in (pl.Datetime, pl.Date)


def is_outcome(kind: pl.DataType) -> bool:
    """Whether a column of this kind holds outcomes as they are."""
    return kind == pl.Boolean


def texts(rows: pl.DataFrame, columns: Mapping[str, str | None], log: str) -> dict[str, pl.Series]:
    """Columns as stripped text, null where it is empty or the log has no such column.

    Args:
        rows: of a log.
        columns: name of the text -> column of the rows.
        log: its name, for messages.

    Raises:
        DataError: a column holds lists or records, or cannot be read as text.
    """
    raw = pl.DataFrame({name: _text(rows, column, log) for name, column in columns.items()})
    found = raw.select(pl.all().str.strip_chars()).to_dict()
    for name, text in found.items():
        empty = text == ""
        if empty.any():
            found[name] = text.set(empty, None)
    return found


def _text(rows: pl.DataFrame, column: str | None, log: str) -> pl.Series:
    if column is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    values = rows[column]
    if values.dtype.is_nested():
        raise DataError(
            f"{log}: column '{column}' holds {values.dtype}, not plain values; "
            "choose or make a column with one value a row"
        )
    try:
        text = values.cast(pl.String)
        if values.dtype.is_float():
            # Whole numbers with gaps are often stored as 7.0: the user is "7".
            text = text.str.replace(r"^(-?\d+)\.0$", "${1}")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{log}: column '{column}' ({values.dtype}) cannot be read as text: {shown(error)}"
        ) from error
    return text


def outcomes(text: pl.Series, log: str) -> pl.Series:
    """Outcomes as booleans, null where unknown."""
    word = pl.col("success").str.to_lowercase()
    success = text.to_frame("success").select(
        word.replace_strict(*_OUTCOMES, default=None, return_dtype=pl.Boolean)
    )["success"]
    if success.null_count() == text.null_count():
        return success
    unknown = text.filter(success.is_null() & text.is_not_null())
    _logger.warning(
        "%s: %d of %d outcomes are not understood and left empty, for example '%s'",
        log,
        len(unknown),
        len(text),
        shown(unknown[0]),
    )
    return success


def typed(values: pl.Series) -> pl.Series:
    """Truth from a text file: numbers become numbers, the rest stays text."""
    if values.dtype != pl.String:
        return values
    filled = values.set(values.str.strip_chars() == "", None)
    if values.name == "label" and not filled.count():
        return filled.cast(pl.Int64)  # a batch may hold nobody whose truth is known
    for kind in (pl.Int64, pl.Float64):
        numbers = filled.str.strip_chars().cast(kind, strict=False)
        if filled.count() and numbers.count() == filled.count():
            return numbers
    return values


def with_unusable(rules: pl.Series, users: pl.Series, zones: pl.Series | None) -> pl.Series:
    """Rows with a value that nothing could work with, among those that break no other rule."""
    long = users.str.len_bytes().max()
    if (isinstance(long, int) and long > MOST_BYTES) or users.str.contains(NUL, literal=True).any():
        rules = rules.set(
            rules.is_null() & users.to_frame("user_id").select(LONG_USER.broken).to_series(),
            LONG_USER.name,
        )
    unknown = []
    if zones is not None and zones.dtype == pl.String:
        unknown = [zone for zone in zones.unique().drop_nulls() if not is_time_zone(zone)]
    if zones is not None and unknown:
        return rules.set(rules.is_null() & zones.is_in(unknown), ZONE.name)
    return rules
