"""What a row must be to count as an event, and where the others go."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import shown
from riskml.core.schema import TIMESTAMP
from riskml.data import timestamps

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
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(days=1)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowRule:
    """One thing that makes a row unusable.

    Args:
        name: short name, in the quarantine's column `rule`.
        explanation: one line for people, with the remedy where there is one.
        broken: true for the rows that break the rule; null counts as false.
    """

    name: str
    explanation: str
    broken: pl.Expr = field(compare=False, repr=False)


TEXT_RULES = (
    RowRule("invalid_utf8", "the line holds bytes that are not UTF-8 text", ~pl.col("valid_utf8")),
    RowRule(
        "broken_quoting",
        'a quote is not closed, or stands inside a field without being doubled ("")',
        pl.col("fields").is_null(),
    ),
    RowRule(
        "too_few_fields",
        "the row has fewer fields than the header",
        pl.col("fields") < pl.col("expected_fields"),
    ),
    RowRule(
        "too_many_fields",
        "the row has more fields than the header; quote values that hold the separator",
        pl.col("fields") > pl.col("expected_fields"),
    ),
)
"""For lines of text: valid_utf8 (bool), fields (int or null if quotes are broken) and
expected_fields."""

DUPLICATE_RULE = RowRule(
    "duplicate_event_id",
    "an earlier usable row has the same event_id",
    ~pl.col("event_id").is_first_distinct(),
)
"""Judged last, among the rows that break no other rule, so that one good copy stays."""


def row_rules(now: datetime) -> tuple[RowRule, ...]:
    """The rules for rows in the event schema with `timestamp_problem` from `parse_timestamps`.

    Args:
        now: with a zone; a timestamp more than a day later is nonsense.
    """
    problem, time = pl.col("timestamp_problem"), pl.col("timestamp")
    return (
        RowRule("missing_timestamp", "the row has no timestamp", problem == timestamps.MISSING),
        RowRule(
            "unparsable_timestamp",
            "the timestamp cannot be read; if many are alike, set timestamp_format=",
            problem == timestamps.UNPARSABLE,
        ),
        RowRule(
            "timestamp_without_zone",
            "the timestamp has no time zone; set time_zone=UTC or your own",
            problem == timestamps.WITHOUT_ZONE,
        ),
        RowRule(
            "timestamp_non_existent",
            "there was no such local time, clocks went forward; is time_zone= right?",
            problem == timestamps.NON_EXISTENT,
        ),
        RowRule(
            "timestamp_out_of_range",
            "the timestamp is before 1990 or more than a day in the future; is its unit right?",
            (time < EARLIEST) | (time > now + CLOCK_TOLERANCE),
        ),
        RowRule("missing_user", "the row names no user", pl.col("user_id").is_null()),
        RowRule("missing_action", "the row names no action", pl.col("action").is_null()),
    )


def first_broken(rules: Iterable[RowRule]) -> pl.Expr:
    """Name of the first rule that a row breaks, null for a good row."""
    return pl.coalesce(
        *(pl.when(rule.broken).then(pl.lit(rule.name)) for rule in rules),
        pl.lit(None, pl.String),
    )


def broken_rules(checked: pl.DataFrame, now: datetime) -> pl.Series:
    """Name of the rule that each row breaks, null for good rows.

    Args:
        checked: rows in the event schema with `timestamp_problem`, in the log's order.
        now: as in `row_rules`.
    """
    if _nothing_broken(checked, now):
        rule = pl.Series("rule", [None], dtype=pl.String).new_from_index(0, len(checked))
    else:
        rule = checked.select(rule=first_broken(row_rules(now))).to_series()
    good = rule.is_null()
    ids = checked["event_id"] if good.all() else checked["event_id"].filter(good)
    if all_differ(ids):
        return rule
    usable = good.arg_true()
    copies = ids.to_frame("event_id").select(DUPLICATE_RULE.broken).to_series()
    return rule.scatter(usable.filter(copies), DUPLICATE_RULE.name)


def _nothing_broken(checked: pl.DataFrame, now: datetime) -> bool:
    """Whether no row breaks one of `row_rules`, without a look at each rule and row."""
    # as numbers: a log may name years that Python has no dates for
    times = checked["timestamp"].cast(pl.Int64)
    limits = pl.Series([EARLIEST, now + CLOCK_TOLERANCE], dtype=TIMESTAMP).cast(pl.Int64)
    in_range = not times.count() or (times.min() >= limits[0] and times.max() <= limits[1])
    problems = checked["timestamp_problem"]
    named = checked["user_id"].null_count() + checked["action"].null_count() == 0
    return in_range and named and problems.null_count() == len(problems)


def all_differ(ids: pl.Series) -> bool:
    """Whether no text comes twice: true only if it is so, and much sooner said than which one."""
    return ids.hash().n_unique() == len(ids)


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
        more_rules: those that `rules` may name besides the ones of this module.

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


def check_enough(events: pl.DataFrame, single_user: bool = False) -> None:
    """Refuse events that nothing can be learnt from.

    Args:
        events: frame in the event schema.
        single_user: the log is known to be of one user, or of one machine.

    Raises:
        DataError: there are no events, a single user, or one event per user only.
    """
    if events.is_empty():
        raise DataError(
            "the log has no usable events: look into the quarantine, or at the dates you selected"
        )
    if events["user_id"].n_unique() == 1 and not single_user:
        raise DataError(
            f"all {events.height:,} events are of the user '{shown(events['user_id'][0])}'. Risk "
            "is judged against other users too, so at least two are needed: give a wider log, or "
            "another column with columns.user_id=<your column>"
        )
    if not events["user_id"].is_duplicated().any():
        raise DataError(
            f"each of the {events.height:,} users has one event only. Risk is judged against a "
            "user's own habits, so most users need several events: give a longer log, or another "
            "column with columns.user_id=<your column>"
        )
