"""The tables of an event store and the SQL that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Index,
    MetaData,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeDecorator, TypeEngine

from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.schema import EVENT_SCHEMA

TIME = "login_time"
KEYS = ("event_id", TIME)
COUNTERS = ("read", "loaded", "duplicates", "rejected", "too_late")
DIALECTS = {"postgresql": postgresql.dialect, "sqlite": sqlite.dialect}


class UtcTime(TypeDecorator[datetime]):
    """A time stamp with zone, also where the database keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC, where the zone was lost."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def event_table(name: str, schema: Mapping[str, pl.DataType], partitioned: bool) -> Table:
    """The table of events.

    A partitioned table's primary key must hold the time, so it alone cannot keep an event id
    from coming twice; `id_table` does.

    Args:
        name: of the table.
        schema: columns and types, with `login_time` for `timestamp`.
        partitioned: by month, as PostgreSQL can.
    """
    required = {*KEYS, "user_id", "action"}
    columns = [
        Column(column, _sql_type(kind), primary_key=column in KEYS, nullable=column not in required)
        for column, kind in schema.items()
    ]
    options: dict[str, Any] = {"postgresql_partition_by": f"RANGE ({TIME})"} if partitioned else {}
    return Table(
        name,
        MetaData(),
        *columns,
        Index(f"{name}_user_time", "user_id", TIME),
        Index(f"{name}_time", TIME),
        **options,
    )


def id_table(name: str) -> Table:
    """Every event id of the table of events `name`, once and whatever its time."""
    return Table(f"{name}_ids", MetaData(), Column("event_id", Text, primary_key=True))


def is_event_store(connection: Connection, table: Table) -> bool:
    """Whether a table of events is one of `EventStore`: its ids have a table beside it."""
    return inspect(connection).has_table(id_table(table.name).name, schema=table.schema)


def quarantine_table(name: str) -> Table:
    """The rows that cannot be events; `digest` is of rule and record, so each is kept once."""
    return Table(
        f"{name}_quarantine",
        MetaData(),
        Column("pipeline", Text, primary_key=True),
        Column("digest", Text, primary_key=True),
        Column("event_id", Text),
        Column("rule", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("record", Text, nullable=False),
        Column("noticed", UtcTime, nullable=False),
        Index(f"{name}_quarantine_event", "event_id"),
    )


def late_table(name: str) -> Table:
    """Rows that reached the source after their time had left the overlap window."""
    return Table(
        f"{name}_late",
        MetaData(),
        Column("pipeline", Text, primary_key=True),
        Column("event_id", Text, primary_key=True),
        Column(TIME, UtcTime, nullable=False),
        Column("noticed", UtcTime, nullable=False),
    )


def watermark_table() -> Table:
    """How far each pipeline has come, and its counts over all runs."""
    return Table(
        "riskml_watermarks",
        MetaData(),
        Column("pipeline", Text, primary_key=True),
        Column("source", Text, nullable=False),
        Column("last_run", UtcTime),
        Column("ingested", UtcTime),
        *(Column(counter, BigInteger, nullable=False, default=0) for counter in COUNTERS),
        Column("updated", UtcTime, nullable=False),
    )


def pipeline_table() -> Table:
    """What a pipeline remembers beside its watermark.

    `key_mark` tells one key of pseudonyms from another and is null without pseudonyms;
    `reference` is what its batches were like, for the checks.
    """
    return Table(
        "riskml_pipelines",
        MetaData(),
        Column("pipeline", Text, primary_key=True),
        Column("key_mark", Text),
        Column("reference", Text),
    )


def partition_sql(name: str, month: date, quote: Any) -> str:
    """The statement that makes one month's partition of a table.

    Args:
        name: of the table.
        month: any day of it.
        quote: of the dialect, for names.
    """
    first = month.replace(day=1)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return (
        f"CREATE TABLE IF NOT EXISTS {quote(partition_name(name, month))} "
        f"PARTITION OF {quote(name)} FOR VALUES "
        f"FROM ('{first:%Y-%m-%d} 00:00:00+00') TO ('{after:%Y-%m-%d} 00:00:00+00')"
    )


def partition_name(name: str, month: date) -> str:
    """`events_2024_01`."""
    return f"{name}_{month:%Y_%m}"


def ddl(name: str = "events", dialect: str = "postgresql", months: Iterable[date] = ()) -> str:
    """The statements that make a store, for those who make their tables themselves.

    Args:
        name: of the table of events.
        dialect: postgresql or sqlite.
        months: for a partition each; the loader makes those that are missing.

    Raises:
        ConfigError: there is no such dialect.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"dialect={dialect}: {did_you_mean(dialect, DIALECTS)}")
    spoken: Dialect = DIALECTS[dialect]()
    partitioned = dialect == "postgresql"
    schema = {TIME if column == "timestamp" else column: k for column, k in EVENT_SCHEMA.items()}
    tables = (
        event_table(name, schema, partitioned),
        *(make(name) for make in (id_table, quarantine_table, late_table)),
        watermark_table(),
        pipeline_table(),
    )
    statements: list[str] = []
    for table in tables:
        statements.append(str(CreateTable(table).compile(dialect=spoken)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            statements.append(str(CreateIndex(index).compile(dialect=spoken)))
    if partitioned:
        quote = spoken.identifier_preparer.quote
        statements += [partition_sql(name, month, quote) for month in months]
    return "\n\n".join(f"{_tidy(statement)};" for statement in statements) + "\n"


def _tidy(statement: str) -> str:
    lines = (line.replace("\t", "    ").rstrip() for line in statement.strip().splitlines())
    return "\n".join(line for line in lines if line).replace(")\n PARTITION", ") PARTITION")


def _sql_type(kind: pl.DataType) -> TypeEngine[Any]:
    if kind == pl.Boolean:
        return Boolean()
    if kind.is_integer():
        return BigInteger()
    if kind.is_float():
        return Double()
    if kind == pl.Date:
        return Date()
    if kind.is_temporal():
        return DateTime(timezone=True)
    return Text()
