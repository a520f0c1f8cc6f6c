"""Tables and queries of any database that SQLAlchemy speaks to."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    Select,
    Table,
    create_engine,
    literal_column,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    NoSuchTableError,
    SQLAlchemyError,
)

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import without_quoted
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.event_tables import TIME, UtcTime, is_event_store
from riskml.data.sources.base import MappedSource, no_rejected, origin
from riskml.data.sources.files import not_found
from riskml.data.sources.time_range import TimeRange

EVENTS = "events"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatabaseSource(MappedSource):
    """A table or query of PostgreSQL, MySQL, SQLite or another database.

    Rows come through a cursor on the server, a batch at a time and in the order of time. The
    connection is told to read only. Settings are kept with every run, so a URL with a password
    has to come from an environment variable.

    Args:
        url: SQLAlchemy URL without a password, None to take it from the variable.
        url_variable: environment variable that holds the URL.
        table: to read, `schema.table` for one in another schema; `events` unless that or a query is
            given.
        query: SELECT to read instead of a table; its own order counts.
        columns: event column -> column; the time column is `login_time` where no other is named.
        time_zone: IANA name for times without a zone, of the column and of since and until.
        since: first moment to read, ISO 8601.
        until: moment before which to stop.
        timestamp_format: strftime format of times that are text, None to recognise it.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.

    Raises:
        ConfigError: the URL holds a password, or the settings do not go together.
    """

    url: str | None = None
    url_variable: str = "RISKML_DATABASE_URL"
    table: str | None = None
    query: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    since: str | None = None
    until: str | None = None
    timestamp_format: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2

    def __post_init__(self) -> None:
        table_or_query(self.table, self.query)
        if self.url is not None and _secrets(_parsed(self.url, "url")):
            raise ConfigError(
                "url: must not hold a password, since settings are kept with every run. Put the "
                f"whole URL into the environment variable {self.url_variable} and leave url out"
            )

    def mapping(self) -> EventMapping:
        """What the columns mean; a range that is none is refused here, before the work."""
        self._range()
        return super().mapping()

    def named_columns(self) -> dict[str, str | None]:
        """As set, the time in `login_time` where no other is named."""
        return with_time_column(self.columns)

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows that the range lets through."""
        url = self._url()
        name = table_or_query(self.table, self.query) or "query"
        with _open(url) as connection:
            statement, ordered = self._statement(connection)
            statement = self._in_range(connection, statement, ordered)
            streamed = connection.execution_options(stream_results=True, yield_per=rows)
            result = streamed.execute(statement)
            columns, first = list(result.keys()), 1
            for part in result.partitions(rows):
                place = origin(name, range(first, first + len(part)))
                first += len(part)
                yield LogTable(name, _frame(part, columns), place, no_rejected())
        if first == 1:
            raise DataError(f"{name} has no rows{' between since and until' * self._is_limited()}")

    def _is_limited(self) -> bool:
        return self.since is not None or self.until is not None

    def _range(self) -> TimeRange:
        return TimeRange(self.since, self.until, self.time_zone)

    def _url(self) -> URL:
        if self.url is not None:
            return _parsed(self.url, "url")
        value = os.environ.get(self.url_variable)
        if not value:
            raise ConfigError(
                f"url is not set, nor is the environment variable {self.url_variable}: give one "
                "like postgresql+psycopg://user@host/database or sqlite:///events.db"
            )
        return _parsed(value, self.url_variable)

    def _statement(self, connection: Connection) -> tuple[Select[Any], list[Any]]:
        """What to read, and its order, which makes row numbers the same in every reading."""
        if self.query is not None:
            inner = text(self.query.strip().rstrip(";")).columns().subquery("log")
            return select(literal_column("*")).select_from(inner), []
        schema, _, name = str(table_or_query(self.table, self.query)).rpartition(".")
        found = Table(name, MetaData(), autoload_with=connection, schema=schema or None)
        time = found.columns.get(self._time_column())
        if time is not None and time.name == TIME and is_event_store(connection, found):
            time.type = UtcTime()  # SQLite keeps no zone, but what the store writes is UTC
        keys = list(found.primary_key.columns)
        return select(found), [] if time is None else [time, *(k for k in keys if k is not time)]

    def _time_column(self) -> str:
        return with_time_column(self.columns)["timestamp"] or "timestamp"

    def _in_range(
        self, connection: Connection, statement: Select[Any], ordered: list[Any]
    ) -> Select[Any]:
        name = self._time_column()
        if self._is_limited():
            quoted = connection.dialect.identifier_preparer.quote(name)
            column: Any = ordered[0] if ordered else literal_column(quoted)
            probe = connection.execute(
                statement.with_only_columns(column).where(column.is_not(None)).limit(1)
            ).scalar()
            if probe is not None:
                for operator, bound in self._range().bounds_for(probe, name).items():
                    statement = statement.where(column.op(operator)(bound))
        return statement.order_by(*ordered)


def with_time_column(columns: Mapping[str, str | None]) -> dict[str, str | None]:
    """The columns that are set, the time in `login_time` where no other is named."""
    return {**columns, "timestamp": columns.get("timestamp") or TIME}


def table_or_query(table: str | None, query: str | None) -> str | None:
    """The table to read, `EVENTS` where neither is given; None for the query.

    Raises:
        ConfigError: both are given.
    """
    if table is not None and query is not None:
        raise ConfigError(f"table={table} and query are both given: leave one out")
    return EVENTS if table is None and query is None else table


def _parsed(url: str, setting: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # the text may hold a password, so neither it nor the cause is shown
        raise ConfigError(
            f"{setting} is no database URL: write it as dialect+driver://user@host/database"
        ) from None
    if "@" in (parsed.host or ""):
        raise ConfigError(f"{setting} has a second @: write one in a password as %40")
    return parsed


def _secrets(url: URL) -> list[str]:
    """What must not be shown of a URL."""
    values = [value for key, value in url.query.items() if "pass" in key.lower()]
    flat = [one for value in values for one in ([value] if isinstance(value, str) else value)]
    return [secret for secret in (str(url.password or ""), *flat) if secret]


@contextmanager
def _open(url: URL) -> Iterator[Connection]:
    """A connection that only reads; whatever goes wrong is told without the password."""
    try:
        with _engine(url).connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
                connection.execute(text("SET TIME ZONE 'UTC'"))
            elif connection.dialect.name == "sqlite":
                connection.execute(text("PRAGMA query_only = ON"))
            yield connection
    except NoSuchTableError as error:
        raise DataError(f"{_shown(url)} has no table '{error}'") from error
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        told = f"{type(error).__name__}: {without_quoted(reason)}"
        raise DataError(f"{_shown(url)}: {told}") from None


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        file = Path(str(url.database))
        if not file.exists() and not str(url.database).startswith("file:"):
            raise DataError(not_found(file))
    try:
        return create_engine(url)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the driver {url.drivername} is not installed: {error} "
            "(PostgreSQL: postgresql+psycopg://...)"
        ) from error


def _shown(url: URL) -> str:
    """The URL without what is secret."""
    return url.set(query={}).render_as_string(hide_password=True)


def _frame(rows: Sequence[Any], columns: Sequence[str]) -> pl.DataFrame:
    values = zip(*rows, strict=True)
    return pl.DataFrame(
        [_column(name, list(column)) for name, column in zip(columns, values, strict=True)]
    )


def _column(name: str, values: list[Any]) -> pl.Series:
    """One column: types that Polars knows stay, anything else becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {dict, list}:
        return pl.Series(name, [_json(value) for value in values], dtype=pl.String)
    known = {str, bool, int, float, datetime, date, Decimal}
    if kinds <= known and len(kinds) <= 1:
        if kinds == {datetime} and any(value is not None and value.tzinfo for value in values):
            return pl.Series(name, values, dtype=pl.Datetime("us", "UTC"))
        return pl.Series(name, values, strict=False)
    if kinds == {int, float}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str)
