"""Where rows go that count as no events, and how many of them a log may have."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import shown
from riskml.data.quality import DUPLICATE_RULE, TEXT_RULES, RowRule, row_rules

REJECTED_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.String(),
    "row": pl.Int64(),
    "rule": pl.String(),
    "reason": pl.String(),
    "record": pl.String(),
}
"""Columns of the quarantine. `row` counts from 1 as an editor would (in CSV the header is line 1);
`record` is the row as it was read, in JSON."""

QUARANTINE_FILE = "quarantine.csv"

_logger = logging.getLogger(__name__)


def rejected_rows(
    origin: pl.DataFrame,
    rules: pl.Series,
    records: pl.DataFrame,
    more_rules: Iterable[RowRule] = (),
) -> pl.DataFrame:
    """The quarantine for the rows whose entry in `rules` names a broken rule.

    Args:
        origin: columns file and row, one row a record.
        rules: name of the broken rule or null, one entry a record.
        records: the rows as they were read.
        more_rules: those that `rules` may name besides the ones of `quality`.

    Returns:
        Frame with the columns of `REJECTED_SCHEMA`.
    """
    bad = rules.is_not_null()
    if not bad.any():
        return pl.DataFrame(schema=REJECTED_SCHEMA)
    every_rule = (*TEXT_RULES, *row_rules(datetime.now(UTC)), DUPLICATE_RULE, *more_rules)
    reasons = {rule.name: rule.explanation for rule in every_rule}
    texts = [
        json.dumps(record, default=str, ensure_ascii=False)
        for record in records.filter(bad).iter_rows(named=True)
    ]
    return (
        origin.filter(bad)
        .with_columns(rule=rules.filter(bad), record=pl.Series(texts, dtype=pl.String))
        .with_columns(reason=pl.col("rule").replace_strict(reasons, return_dtype=pl.String))
        .select(pl.col(name).cast(kind) for name, kind in REJECTED_SCHEMA.items())
    )


def check_share_limit(limit: float) -> None:
    """Refuse a limit that is no share.

    Raises:
        ConfigError: `limit` is not between 0 and 1.
    """
    if not 0.0 <= limit <= 1.0:
        raise ConfigError(f"max_rejected_share={limit}: must be a share between 0 and 1")


def check_rejected_share(rejected: pl.DataFrame, n_rows: int, limit: float, name: str) -> None:
    """Refuse a log as a whole when too many of its rows are unusable.

    Args:
        rejected: quarantine of the log.
        n_rows: rows of the log, good and bad.
        limit: largest share that is tolerated, 0 to 1.
        name: of the log, for the message.

    Raises:
        DataError: with the commonest rules, an example and the ways out.
    """
    share = rejected.height / n_rows if n_rows else 0.0
    if share > limit:
        common = _by_rule(rejected)["rule"][0]
        example = rejected.row(rejected["rule"].index_of(common) or 0, named=True)
        raise too_many_rejected(rejected.height, n_rows, limit, name, _counts(rejected), example)


def too_many_rejected(
    bad: int, n_rows: int, limit: float, name: str, counts: str, example: Mapping[str, Any]
) -> DataError:
    """Says which rules unusable rows break, with an example and the ways out.

    Args:
        bad: unusable rows.
        n_rows: rows of the log, good and bad.
        limit: largest share that is tolerated, 0 to 1.
        name: of the log.
        counts: of rows by rule, for people.
        example: a row of the quarantine.
    """
    share = bad / n_rows
    return DataError(
        f"{name}: {bad:,} of {n_rows:,} rows ({share:.1%}) cannot be used, more than "
        f"max_rejected_share={limit:g} allows. {counts}. For example "
        f"{shown(example['file'])} row {example['row']}, {example['rule']} "
        f"({example['reason']}): "
        f"{shown(example['record'])}. Correct the log or the settings, or go on without these "
        f"rows with max_rejected_share={min(1.0, int(share * 100 + 1) / 100):g}"
    )


def _by_rule(rejected: pl.DataFrame) -> pl.DataFrame:
    return rejected.group_by("rule").len().sort(["len", "rule"], descending=[True, False])


def _counts(rejected: pl.DataFrame) -> str:
    return ", ".join(f"{rule}: {count:,}" for rule, count in _by_rule(rejected).iter_rows())


def summarise(rejected: pl.DataFrame) -> str:
    """One line for people: how many rows are in quarantine, and by which rule."""
    if rejected.is_empty():
        return "no rows in quarantine"
    return f"{rejected.height:,} rows in quarantine ({_counts(rejected)})"


def write_quarantine(rejected: pl.DataFrame, folder: Path) -> Path | None:
    """Write the unusable rows to `quarantine.csv`, and log their counts by rule.

    The file appears whole or not at all. Without bad rows none is written, and one that an
    earlier run left in the folder is removed, so that the file always belongs to the last run.

    Args:
        rejected: frame with the columns of `REJECTED_SCHEMA`.
        folder: made if it is not there.

    Returns:
        Path of the file, None if there are no bad rows.
    """
    target = Path(folder) / QUARANTINE_FILE
    if rejected.is_empty():
        target.unlink(missing_ok=True)
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".part")
    rejected.write_csv(unfinished)
    unfinished.replace(target)
    _logger.info("%s: %s", summarise(rejected), target)
    return target
