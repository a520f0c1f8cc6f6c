"""What the columns and values of any log mean: from its own rows to events."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.redaction import shown
from riskml.core.schema import EVENT_SCHEMA, REQUIRED_COLUMNS, TIME_ZONE, is_truth
from riskml.data import quality, quarantine
from riskml.data.log_values import (
    UNUSABLE,
    is_outcome,
    is_time,
    outcomes,
    texts,
    typed,
    with_unusable,
)
from riskml.data.timestamps import (
    MISSING,
    UNPARSABLE,
    WITHOUT_ZONE,
    check_time_zone,
    parse_timestamps,
)

MEANINGS = {
    "timestamp": ("time", "date", "when", "created"),
    "user_id": ("user", "account", "principal", "actor", "employee", "login", "email"),
    "action": ("action", "event", "operation", "activity", "command", "method"),
}
"""Words in the names of columns that often hold what is missing."""


@dataclass(frozen=True)
class EventLog:
    """What a source returns.

    Args:
        events: the columns of `EVENT_SCHEMA`, then those that pass through, by time; events of
            the same time in the order of the log.
        truth: event_id and the truth columns of the same events in the same order, None if the
            log has no truth columns.
        rejected: the unusable rows, columns of `quarantine.REJECTED_SCHEMA`, in the log's order.
        origin: columns file and row of the same events in the same order, None if not known.
    """

    events: pl.DataFrame
    truth: pl.DataFrame | None
    rejected: pl.DataFrame
    origin: pl.DataFrame | None = None

    def only(self, rows: pl.Series) -> EventLog:
        """The log with some of its events, and what is known of these.

        Args:
            rows: positions of the events.
        """
        events, truth = self.events[rows], self.truth
        if truth is not None and len(truth) == len(self.events):
            truth = truth[rows]
        elif truth is not None:  # of some events only
            truth = truth.join(events, on="event_id", how="semi", maintain_order="left")
        origin = None if self.origin is None else self.origin[rows]
        return replace(self, events=events, truth=truth, origin=origin)


@dataclass(frozen=True)
class LogTable:
    """A log as it was read, before its columns are given a meaning.

    Args:
        name: of the log, for messages.
        rows: the log's own columns.
        origin: columns file and row, one for each of `rows`.
        rejected: rows that could not even be read.
    """

    name: str
    rows: pl.DataFrame
    origin: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(frozen=True)
class EventMapping:
    """What the columns of a log mean; every source turns its `LogTable` into events by one.

    The rules for columns: an event column is taken from the column that `columns` names, else
    from the one of the same name. Truth columns are set apart. All others pass through under
    their own names, or as `log_<name>` where an event column already has that name.

    The rules for values: text loses surrounding blanks, and empty text counts as missing. A
    missing event_id is made from file and row number. An outcome that is not in `SUCCESS_WORDS`
    becomes null, and a warning counts such rows.

    Args:
        columns: event column (or `time_zone`) -> column of the log, None if of the same name.
        time_zone: IANA name for timestamps without a zone.
        timestamp_format: strftime format of the timestamps, None to recognise it.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.

    Raises:
        ConfigError: a setting is impossible.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    timestamp_format: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2

    def __post_init__(self) -> None:
        check_time_zone(self.time_zone)
        quarantine.check_share_limit(self.max_rejected_share)
        valid = (*EVENT_SCHEMA, TIME_ZONE)
        for column, named in self.columns.items():
            if column not in valid:
                raise ConfigError(
                    f"columns.{column}: no such event column; {did_you_mean(column, valid)}"
                )
            fits = named is None or isinstance(named, str)
            require(f"columns.{column}", named, fits, "must be the name of a column of the log")
            if named is not None and is_truth(named):
                raise ConfigError(
                    f"columns.{column}={named}: '{named}' is a truth column (its name begins with "
                    "'label' or 'gt_') and must not become an input"
                )

    def resolve(self, log_columns: list[str], name: str) -> dict[str, str]:
        """Event column -> column of the log, for those that the log has.

        Raises:
            DataError: a named column is not there, or a required one is missing.
        """
        found = {}
        for column in (*EVENT_SCHEMA, TIME_ZONE):
            named = self.columns.get(column)
            if named is not None and named not in log_columns:
                raise DataError(
                    f"{name} has no column '{named}' (columns.{column}={named}): "
                    f"{did_you_mean(named, log_columns)}"
                )
            if named is not None or column in log_columns:
                found[column] = named or column
        missing = [column for column in REQUIRED_COLUMNS if column not in found]
        if self.default_action is not None and "action" in missing:
            missing.remove("action")
        if missing:
            free = [column for column in log_columns if column not in found.values()]
            raise DataError(_missing_columns(name, missing, log_columns, free))
        return found

    def apply(self, table: LogTable) -> EventLog:
        """Turn a log into events.

        Raises:
            DataError: columns are missing, no timestamp can be read, or too many rows are bad.
        """
        log = self.read(table)
        n_rows = len(table.rows) + len(table.rejected)
        quarantine.check_rejected_share(log.rejected, n_rows, self.max_rejected_share, table.name)
        return log

    def read(self, table: LogTable, strict: bool = True) -> EventLog:
        """Turn a log or a part of one into events, however many of its rows are bad.

        Args:
            table: the rows.
            strict: refuse rows of which not one has a timestamp that can be read. A small part
                of a good log may be like that.

        Raises:
            DataError: columns are missing, or no timestamp can be read.
        """
        found = self.resolve(table.rows.columns, table.name)
        checked = self._event_columns(table, found, strict)
        rules = quality.broken_rules(checked, datetime.now(UTC))
        zones = table.rows[found[TIME_ZONE]] if TIME_ZONE in found else None
        rules = with_unusable(rules, checked["user_id"], zones)
        rejected = quarantine.rejected_rows(table.origin, rules, table.rows, UNUSABLE)
        if len(table.rejected):
            rejected = pl.concat([table.rejected, rejected])
        if len(rejected):
            rejected = rejected.sort("file", "row", maintain_order=True)
        truth, others = _other_columns(table, found)
        whole = pl.concat([checked.drop("timestamp_problem"), others, truth], how="horizontal")
        origin, usable = table.origin, rules.is_null()
        if not usable.all():
            whole, origin = whole.filter(usable), origin.filter(usable)
        if not whole["timestamp"].is_sorted():
            by_time = whole.select(pl.arg_sort_by("timestamp", maintain_order=True)).to_series()
            whole, origin = whole[by_time], origin[by_time]
        return EventLog(
            events=whole.drop(truth.columns),
            truth=whole.select("event_id", *truth.columns) if truth.width else None,
            rejected=rejected,
            origin=origin,
        )

    def _event_columns(
        self, table: LogTable, found: Mapping[str, str], strict: bool
    ) -> pl.DataFrame:
        """The event schema, unusable values null, and the column `timestamp_problem`."""
        names = [name for name, kind in EVENT_SCHEMA.items() if kind == pl.String]
        as_they_are = {
            name: table.rows[found[name]]
            for name, native in (("timestamp", is_time), ("success", is_outcome))
            if name in found and native(table.rows.schema[found[name]])
        }
        names += [name for name in ("timestamp", "success") if name not in as_they_are]
        named = {name: found.get(name) for name in names}
        columns = texts(table.rows, named, table.name) | as_they_are
        if columns["event_id"].null_count():
            made_ids = table.origin.select(pl.format("{}:{}", "file", "row")).to_series()
            columns["event_id"] = columns["event_id"].fill_null(made_ids)
        if self.default_action is not None:
            columns["action"] = columns["action"].fill_null(self.default_action)
        times = self._timestamps(columns["timestamp"], table.name, found["timestamp"], strict)
        columns["timestamp"] = times["timestamp"]
        if "success" not in as_they_are:
            columns["success"] = outcomes(columns["success"], table.name)
        ordered = {column: columns[column] for column in EVENT_SCHEMA}
        return pl.DataFrame({**ordered, "timestamp_problem": times["problem"]})

    def _timestamps(self, values: pl.Series, name: str, column: str, strict: bool) -> pl.DataFrame:
        form = self.timestamp_format
        times = parse_timestamps(values, self.time_zone, form)
        if not strict:
            return times
        problems = set(times["problem"].unique().to_list())
        first = ", ".join(f"'{shown(value)}'" for value in values.drop_nulls().head(3))
        if problems and problems <= {MISSING, UNPARSABLE}:
            by_format = f" by timestamp_format='{form}'" if form else ""
            raise DataError(
                f"{name}: no value of '{column}' can be read as a timestamp{by_format}; the "
                f"first are {first or 'empty'}. Name another with columns.timestamp=<your column>, "
                "or tell the format, for example timestamp_format='%d/%m/%Y %H:%M:%S'"
            )
        if WITHOUT_ZONE in problems and problems <= {MISSING, UNPARSABLE, WITHOUT_ZONE}:
            raise DataError(
                f"{name}: the timestamps in '{column}' have no time zone; the first are "
                f"{first}. Say which they are in: time_zone=UTC, or for example "
                "time_zone=Europe/Berlin"
            )
        return times


def _other_columns(table: LogTable, found: Mapping[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The truth columns, and those that pass through under the names that they will have."""
    columns = table.rows.columns
    truth = pl.DataFrame([typed(table.rows[column]) for column in columns if is_truth(column)])
    names = {found[TIME_ZONE]: TIME_ZONE} if TIME_ZONE in found else {}
    for column in columns:
        if column not in found.values() and not is_truth(column):
            taken = column in EVENT_SCHEMA or column in found
            names[column] = f"log_{column}" if taken else column
    doubled = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if doubled:
        raise DataError(
            f"{table.name}: column '{doubled[0].removeprefix('log_')}' is to pass through as "
            f"'{doubled[0]}', but the log has such a column already; rename one of them"
        )
    return truth, pl.DataFrame([table.rows[old].alias(new) for old, new in names.items()])


def _missing_columns(name: str, missing: list[str], log_columns: list[str], free: list[str]) -> str:
    """The message: which are missing, which there are, and what to type."""
    remedies = []
    for column in missing:
        near = next(iter(_nearest_columns(column, free)), None)
        hint = f" (perhaps columns.{column}={near})" if near else ""
        free = [name for name in free if name != near]
        remedies.append(f"columns.{column}=<your column>{hint}")
    quoted = ", ".join(f"'{column}'" for column in missing)
    login = ", or default_action=login if every row is a login" if "action" in missing else ""
    return (
        f"{name} has no column {quoted}. Its columns are: {', '.join(log_columns)}. "
        f"Say which to use: {' '.join(remedies)}{login}"
    )


def _nearest_columns(column: str, free: list[str]) -> list[str]:
    """Columns that may be meant: by words in their names first, then by spelling."""
    by_length = sorted(free, key=len)
    meant = [name for word in MEANINGS[column] for name in by_length if word in name.lower()]
    by_key = {name.lower(): name for name in free}
    return meant + [by_key[key] for key in difflib.get_close_matches(column, by_key)]
