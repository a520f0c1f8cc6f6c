"""Events in a database: one table, by month and indexed by user and time where PostgreSQL is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Engine,
    Index,
    MetaData,
    Table,
    Text,
    create_engine,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from riskml.core.errors import ConfigError, DataError

TIME = "login_time"
BATCH = 10_000
KEYS = ("event_id", TIME)


class EventStore:
    """The table `events` of a database.

    Time stamps are in `login_time`. In PostgreSQL the table is partitioned by month; everywhere
    it is indexed on (user_id, login_time), and an event id is stored once however often it comes.

    Args:
        url: SQLAlchemy URL, e.g. postgresql+psycopg://user@host/database or sqlite:///events.db.
        table: its name.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed.
    """

    def __init__(self, url: str, table: str = "events") -> None:
        self.name = table
        try:
            self.engine: Engine = create_engine(url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"cannot use the database URL: {error}; write it as "
                "dialect+driver://user@host/name and install the driver "
                "(PostgreSQL: pip install 'riskml[postgres]')"
            ) from error

    @property
    def is_postgresql(self) -> bool:
        """Whether partitions can be used."""
        return self.engine.dialect.name == "postgresql"

    def append(self, events: pl.DataFrame) -> int:
        """Store events in one transaction; those already there are left as they are.

        Args:
            events: event schema and pass-through columns; `timestamp` becomes `login_time`.

        Returns:
            How many were new.

        Raises:
            DataError: the database refused; nothing of this call is stored.
        """
        frame = events.rename({"timestamp": TIME})
        table = self._table(frame)
        try:
            with self.engine.begin() as connection:
                self._create(connection, table, frame)
                before = self._count(connection)
                if self.is_postgresql:
                    self._copy(connection, table, frame)
                else:
                    for rows in frame.iter_slices(BATCH):
                        connection.execute(self._insert(table), rows.to_dicts())
                return self._count(connection) - before
        except SQLAlchemyError as error:
            raise DataError(
                f"the database refused the events ({type(error).__name__}): "
                f"{str(error).splitlines()[0]}"
            ) from error

    def _table(self, frame: pl.DataFrame) -> Table:
        required = {*KEYS, "user_id", "action"}
        columns = [
            Column(name, _sql_type(kind), primary_key=name in KEYS, nullable=name not in required)
            for name, kind in frame.schema.items()
        ]
        options: dict[str, Any] = {}
        if self.is_postgresql:
            options["postgresql_partition_by"] = f"RANGE ({TIME})"
        return Table(
            self.name,
            MetaData(),
            *columns,
            Index(f"{self.name}_user_time", "user_id", TIME),
            **options,
        )

    def _create(self, connection: Connection, table: Table, frame: pl.DataFrame) -> None:
        table.metadata.create_all(connection)
        if not self.is_postgresql:
            return
        quote = self.engine.dialect.identifier_preparer.quote
        months = frame.select(pl.col(TIME).dt.truncate("1mo").unique().sort()).to_series()
        for month in months.to_list():
            name = quote(f"{self.name}_{month:%Y_%m}")
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {quote(self.name)} "
                    f"FOR VALUES FROM ('{month.isoformat()}') TO ('{_next(month).isoformat()}')"
                )
            )

    def _copy(self, connection: Connection, table: Table, frame: pl.DataFrame) -> None:
        """COPY into a temporary table, then take over what is new: many times faster."""
        quote = self.engine.dialect.identifier_preparer.quote
        name, columns = quote(self.name), ", ".join(map(quote, frame.columns))
        connection.execute(text(f"CREATE TEMPORARY TABLE staged (LIKE {name}) ON COMMIT DROP"))
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY staged ({columns}) FROM STDIN (FORMAT csv)") as copy:
            for rows in frame.iter_slices(BATCH):
                # quoted is a value, be it empty; not quoted and empty is null
                copy.write(rows.write_csv(include_header=False, quote_style="non_numeric"))
        connection.execute(
            text(
                f"INSERT INTO {name} ({columns}) SELECT {columns} FROM staged "
                "ON CONFLICT DO NOTHING"
            )
        )

    def _insert(self, table: Table) -> Any:
        if self.engine.dialect.name == "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        return table.insert()  # elsewhere a second copy is refused by the primary key

    def _count(self, connection: Connection) -> int:
        quote = self.engine.dialect.identifier_preparer.quote
        return int(
            connection.execute(text(f"SELECT count(*) FROM {quote(self.name)}")).scalar_one()
        )


def _sql_type(kind: pl.DataType) -> TypeEngine[Any]:
    if kind == pl.Boolean:
        return Boolean()
    if kind.is_integer():
        return BigInteger()
    if kind.is_float():
        return Double()
    if kind.is_temporal():
        return DateTime(timezone=True)
    return Text()


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
