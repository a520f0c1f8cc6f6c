"""What a row must be to count as an event, and a log to be learnt from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from riskml.core.errors import DataError
from riskml.core.redaction import shown
from riskml.core.schema import TIMESTAMP
from riskml.data import timestamps

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(days=1)


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
