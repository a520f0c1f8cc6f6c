"""What every source shares: tables of a log in, events out, whole or in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from riskml.core.errors import DataError, require
from riskml.data.event_mapping import EventLog, EventMapping, LogTable
from riskml.data.quality import RowRule
from riskml.data.quarantine import REJECTED_SCHEMA, too_many_rejected

READ_ROWS = 200_000
"""Rows that `load` reads at a time."""

CHECK_ROWS = 1_000
"""Rows that `check` reads at most, where a format can be read in parts."""

ENOUGH_TO_JUDGE = 1_000
"""Rows of a first batch from which on it shows whether the time stamps can be read at all."""


class Source(Protocol):
    """Anything that reads a log."""

    def load(self) -> EventLog:
        """Events, truth and rejected rows."""
        ...


class LogSource(ABC):
    """A log that can be read whole, or in batches of which one is in memory at a time."""

    @abstractmethod
    def mapping(self) -> EventMapping:
        """What the columns of `tables` mean.

        Raises:
            ConfigError: a setting is impossible.
        """

    @abstractmethod
    def tables(self, rows: int) -> Iterator[LogTable]:
        """The log in its own order, about `rows` rows at a time.

        Raises:
            DataError: there is no such log, or it is of another kind.
        """

    def finish(self, log: EventLog) -> EventLog:
        """What is left to do for events that are mapped."""
        return log

    def check(self) -> str:
        """See by its first rows that the log is there and has what is needed; gives its name.

        Raises:
            ConfigError: a setting is impossible.
            DataError: there is no such log, it is of another kind, or lacks a column.
        """
        first = next(iter(self.tables(CHECK_ROWS)), None)
        if first is None:
            raise DataError("the log holds no rows")
        self.mapping().resolve(first.rows.columns, first.name)
        return first.name

    def load(self) -> EventLog:
        """Read the whole log: `events` and `rejected` together are all its rows.

        Raises:
            ConfigError: a setting is impossible.
            DataError: there is no such log, it is of another kind, required columns are missing,
                no timestamp can be read, or too many rows are unusable.
        """
        mapping = self.mapping()
        return self.finish(mapping.apply(concat_tables(list(self.tables(READ_ROWS)))))

    def batches(self, rows: int) -> Iterator[EventLog]:
        """Read the log in its own order, `rows` rows a batch and only one batch in memory.

        Together the batches hold the events of `load` with the same ids. Each is sorted by time
        in itself. Two rows with one event id are noticed within a batch only, and the share of
        unusable rows is judged after the last batch.

        Args:
            rows: of a batch, usable or not by their values; unreadable lines come on top.

        Raises:
            ConfigError: a setting is impossible.
            DataError: as `load`.
        """
        require("rows", rows, rows >= 1, "must be at least 1")
        mapping = self.mapping()
        n_rows, by_rule, name = 0, Counter[str](), ""
        examples: dict[str, dict[str, Any]] = {}
        for table in rebatched(self.tables(rows), rows):
            judge = n_rows == 0 and len(table.rows) >= ENOUGH_TO_JUDGE
            log = mapping.read(table, strict=judge)
            name, n_rows = table.name, n_rows + len(table.rows) + len(table.rejected)
            by_rule.update(log.rejected["rule"].to_list())
            for row in log.rejected.unique("rule", keep="first").iter_rows(named=True):
                examples.setdefault(row["rule"], row)
            yield self.finish(log)
        bad, limit = by_rule.total(), mapping.max_rejected_share
        if bad > limit * n_rows:
            common = by_rule.most_common()
            counts = ", ".join(f"{rule}: {count:,}" for rule, count in common)
            raise too_many_rejected(bad, n_rows, limit, name, counts, examples[common[0][0]])


class MappedSource(LogSource):
    """A source whose columns mean what its settings say."""

    columns: Mapping[str, str | None]
    time_zone: str | None
    timestamp_format: str | None
    default_action: str | None
    max_rejected_share: float

    def mapping(self) -> EventMapping:
        """What the columns mean."""
        return EventMapping(
            columns=self.named_columns(),
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            default_action=self.default_action,
            max_rejected_share=self.max_rejected_share,
        )

    def named_columns(self) -> dict[str, str | None]:
        """Event column -> column of the log, as set."""
        return dict(self.columns)


def concat_tables(tables: Sequence[LogTable]) -> LogTable:
    """One table of several; a column that some lack is null there.

    Raises:
        DataError: the same column has types that do not go together.
    """
    if len(tables) == 1:
        return tables[0]
    name = tables[0].name
    try:
        rows = pl.concat([table.rows for table in tables], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{name}: the same column has types that do not go together: {error}"
        ) from error
    return LogTable(
        name,
        rows,
        pl.concat([table.origin for table in tables], how="vertical_relaxed"),
        pl.concat([table.rejected for table in tables]),
    )


def rebatched(tables: Iterable[LogTable], rows: int) -> Iterator[LogTable]:
    """Tables of any size as tables of `rows` rows, the last one shorter."""
    waiting: list[LogTable] = []
    count = 0
    for table in tables:
        rest = table
        while count + len(rest.rows) >= rows:
            head, rest = split_table(rest, rows - count)
            yield concat_tables([*waiting, head])
            waiting, count = [], 0
        if len(rest.rows) or len(rest.rejected):
            waiting.append(rest)
            count += len(rest.rows)
    if waiting:
        yield concat_tables(waiting)


def split_table(table: LogTable, rows: int) -> tuple[LogTable, LogTable]:
    """The first rows, with all that could not be read, and the others."""
    head = LogTable(table.name, table.rows[:rows], table.origin[:rows], table.rejected)
    none = table.rejected.clear()
    return head, LogTable(table.name, table.rows[rows:], table.origin[rows:], none)


def origin(file: str, rows: pl.Series | range) -> pl.DataFrame:
    """Where rows stand: the columns file and row."""
    return pl.DataFrame({"row": pl.Series(rows, dtype=pl.Int64)}).select(
        file=pl.lit(file, pl.String), row="row"
    )


def no_rejected() -> pl.DataFrame:
    """An empty quarantine."""
    return pl.DataFrame(schema=REJECTED_SCHEMA)


def set_apart(lines: pl.DataFrame, file: str, rule: RowRule) -> pl.DataFrame:
    """Quarantine for lines that are no records at all.

    Args:
        lines: row and text.
        file: that they stand in.
        rule: what is wrong with all of them.
    """
    return lines.select(
        file=pl.lit(file, pl.String),
        row=pl.col("row").cast(pl.Int64),
        rule=pl.lit(rule.name, pl.String),
        reason=pl.lit(rule.explanation, pl.String),
        record=pl.struct(line="text").struct.json_encode(),
    )
