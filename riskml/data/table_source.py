"""A table of any database as a source: read by time, a batch at a time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from sqlalchemy import ColumnElement, Engine, MetaData, Table, func, inspect, select
from sqlalchemy import types as sql
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql import Select

from riskml.core.errors import DataError, did_you_mean
from riskml.core.redaction import shown
from riskml.core.schema import EVENT_SCHEMA, TIMESTAMP
from riskml.data.column_readers import reader_of
from riskml.data.database import database_errors, open_engine
from riskml.data.event_mapping import EventMapping
from riskml.data.sources.files import not_found

DEFAULT_TIME = "login_time"


@dataclass(frozen=True)
class Span:
    """Which rows of a source to read, by the time of the event and by its arrival.

    Args:
        after: rows later than this, None from the first.
        until: rows up to this, None to the last.
        arrived_after: rows whose ingestion column is later, None for all.
    """

    after: datetime | None = None
    until: datetime | None = None
    arrived_after: datetime | None = None


class TableSource:
    """Rows of one table, in the order of their times, never all of them in memory.

    Args:
        url: SQLAlchemy URL.
        table: its name, with its schema in front if that is not the default: `audit.logins`.
        time_column: date-time column that the table is read by; it should have an index.
        ingested_column: date-time column that says when a row arrived, None if there is none.
        time_zone: IANA name for time columns without a zone.
        texts: columns whose values must come as they are written, such as ids: an exact number
            type is read as text there, elsewhere as floating point.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        table: str,
        time_column: str = DEFAULT_TIME,
        ingested_column: str | None = None,
        time_zone: str | None = None,
        texts: frozenset[str] = frozenset(),
    ) -> None:
        self.name = table
        self.engine: Engine = open_engine(url, "source", writes=False)
        file = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
        if file and not file.startswith((":", "file:")) and not Path(file).exists():
            raise DataError(not_found(Path(file)))  # SQLite would make an empty one
        self.ingested_column = ingested_column
        self.time_column = time_column
        self._zone = time_zone
        self._texts = texts
        self._reflected: Table | None = None

    @classmethod
    def of(
        cls, url: str, table: str, mapping: EventMapping, ingested_column: str | None = None
    ) -> TableSource:
        """The source that a mapping describes: its time, its zone, its ids."""
        named = mapping.columns
        texts = {named.get(column) or column for column in EVENT_SCHEMA}
        time_column = named.get("timestamp") or DEFAULT_TIME
        return cls(url, table, time_column, ingested_column, mapping.time_zone, frozenset(texts))

    @property
    def columns(self) -> list[str]:
        """Names of the table's columns.

        Raises:
            DataError: the database cannot be reached, or there is no such table.
        """
        return [column.name for column in self._table.columns]

    @property
    def _table(self) -> Table:
        if self._reflected is None:
            schema, _, name = self.name.rpartition(".")
            with database_errors(f"the source table '{self.name}' cannot be read"):
                try:
                    table = Table(
                        name,
                        MetaData(),
                        schema=schema or None,
                        autoload_with=self.engine,
                        resolve_fks=False,
                    )
                except NoSuchTableError as error:
                    names = inspect(self.engine).get_table_names(schema or None)
                    raise DataError(
                        f"the source has no table '{self.name}': {did_you_mean(name, names)}"
                    ) from error
            self._reflected = table
        return self._reflected

    def check(self, event_id: str) -> None:
        """Refuse columns that cannot do their work.

        Args:
            event_id: the column that identifies a row.

        Raises:
            DataError: a time column is missing or is no date-time, or the id is no id.
        """
        for name in filter(None, (self.time_column, self.ingested_column)):
            column = self._column(name)
            if not isinstance(column.type, sql.DateTime):
                raise DataError(
                    f"column '{name}' of '{self.name}' is {column.type}, which cannot be read by "
                    "time; name a TIMESTAMP column, or make a view with one"
                )
            if self._zone is None and not _has_zone(column):
                raise DataError(
                    f"column '{name}' of '{self.name}' has no time zone; say which it is in: "
                    "time_zone=UTC, or for example time_zone=Europe/Berlin"
                )
        if isinstance(self._column(event_id).type, sql.Float):
            raise DataError(
                f"column '{event_id}' of '{self.name}' is a floating-point number and cannot "
                "identify events; name a text or integer column with columns.event_id="
            )

    def read_a_row(self) -> None:
        """See that rows may be read: columns are shown also to who may not.

        Raises:
            DataError: they may not.
        """
        with self._errors(), self.engine.connect() as connection:
            connection.execute(select(self._table).limit(1)).first()

    def newest(self, ingested: bool = False) -> datetime | None:
        """The latest time in the time column, or in the ingestion column; None of no rows."""
        column = self._column((self.ingested_column if ingested else None) or self.time_column)
        with self._errors(), self.engine.connect() as connection:
            value = connection.execute(select(func.max(column))).scalar_one()
        return None if value is None else self._utc(value)

    def distinct(self, column: str, size: int) -> Generator[pl.Series]:
        """The values that a column has in the whole table, as text without surrounding blanks."""
        found = self._column(column)
        for rows in self._fetch(select(found).where(found.is_not(None)).distinct(), size):
            values = rows[column].cast(pl.String).str.strip_chars()
            yield values.filter(values != "")

    def batches(self, span: Span, size: int) -> Generator[pl.DataFrame]:
        """Whole rows within a span by time, `size` rows at a time, through a server-side cursor.

        Raises:
            DataError: the database refused.
        """
        yield from self._stream(select(*self._table.columns), span, size)

    def without_time(self, size: int) -> Generator[pl.DataFrame]:
        """Rows that have no time and so are in no span; none if the column allows none."""
        time = self._column(self.time_column)
        if time.nullable:
            query = select(*self._table.columns).where(time.is_(None))
            yield from self._fetch(query, size)

    def ids(self, event_id: str, span: Span, size: int) -> Generator[pl.DataFrame]:
        """Columns `event_id` (text) and `timestamp` (UTC) of the rows within a span."""
        query = select(self._column(event_id), self._column(self.time_column))
        for rows in self._stream(query, span, size):
            ids, times = rows[event_id], rows[self.time_column]
            if times.dtype != TIMESTAMP:
                times = times.dt.replace_time_zone(
                    self._zone, ambiguous="earliest", non_existent="null"
                ).dt.convert_time_zone("UTC")
            yield pl.DataFrame(
                {
                    "event_id": ids.cast(pl.String).str.strip_chars(),
                    "timestamp": times.cast(TIMESTAMP),
                }
            ).filter(pl.col("event_id") != "")

    def query(self, span: Span) -> Select[Any]:
        """What `batches` asks the database."""
        return self._within(select(*self._table.columns), span)

    def _within(self, query: Select[Any], span: Span) -> Select[Any]:
        time = self._column(self.time_column)
        conditions: list[ColumnElement[bool]] = []
        if span.after is not None:
            conditions.append(time > self._native(time, span.after))
        if span.until is not None:
            conditions.append(time <= self._native(time, span.until))
        if span.arrived_after is not None and self.ingested_column is not None:
            arrived = self._column(self.ingested_column)
            conditions.append(arrived > self._native(arrived, span.arrived_after))
        return query.where(time.is_not(None), *conditions).order_by(time)

    def _stream(self, query: Select[Any], span: Span, size: int) -> Generator[pl.DataFrame]:
        return self._fetch(self._within(query, span), size)

    def _fetch(self, query: Select[Any], size: int) -> Generator[pl.DataFrame]:
        columns: list[Any] = [column for column in query.selected_columns]
        readers = [reader_of(column.type, column.name in self._texts) for column in columns]
        with self._errors(), self.engine.connect() as connection:
            rows = connection.execution_options(yield_per=size).execute(query)
            try:
                for part in rows.partitions():
                    yield pl.DataFrame(
                        {
                            column.name: pl.Series(map(convert, values), dtype=kind)
                            for column, (kind, convert), values in zip(
                                columns, readers, zip(*part, strict=True), strict=True
                            )
                        }
                    )
            except (ValueError, TypeError, OverflowError) as error:
                raise DataError(
                    f"the source table '{self.name}' cannot be read: a value does not fit the "
                    f"type of its column, {shown(str(error).splitlines()[0])}; correct it"
                ) from error

    def _errors(self) -> Any:
        return database_errors(f"the source table '{self.name}' cannot be read")

    def _column(self, name: str) -> Any:
        if name not in self._table.columns:
            raise DataError(
                f"the source table '{self.name}' has no column '{name}': "
                f"{did_you_mean(name, self.columns)}"
            )
        return self._table.columns[name]

    def _native(self, column: Any, moment: datetime) -> datetime:
        """A moment as the column writes it."""
        if _has_zone(column):
            return moment
        return moment.astimezone(ZoneInfo(self._zone or "UTC")).replace(tzinfo=None)

    def _utc(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            value = value.replace(tzinfo=ZoneInfo(self._zone or "UTC"))
        return value.astimezone(UTC)


def _has_zone(column: Any) -> bool:
    return bool(getattr(column.type, "timezone", False))
