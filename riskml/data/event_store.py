"""Events in a database: one table, by month and indexed by user and time where PostgreSQL is."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from sqlalchemy import ARRAY, Engine, Table, Text, any_, inspect, literal, select, text
from sqlalchemy.engine import Connection

from riskml.core.errors import DataError
from riskml.data.database import database_errors, one_at_a_time, open_engine
from riskml.data.event_tables import TIME, event_table, id_table, partition_name, partition_sql

BATCH = 10_000
IDS_A_QUERY = 500


class EventStore:
    """The table `events` of a database.

    Time stamps are in `login_time`. In PostgreSQL the table is partitioned by month; everywhere
    it is indexed on (user_id, login_time) and on (login_time). An event id is stored once
    however often it comes, also if it comes back with another time: the table `events_ids`
    beside it has every id as its primary key, and the first that came stays.

    Args:
        url: SQLAlchemy URL, e.g. postgresql+psycopg://user@host/database or sqlite:///events.db.
        table: its name.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed.
    """

    def __init__(self, url: str, table: str = "events") -> None:
        self.name = table
        self.engine: Engine = open_engine(url)
        self.ids = id_table(table)
        self._quote = self.engine.dialect.identifier_preparer.quote

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
        with database_errors("the database refused the events"), self.engine.begin() as connection:
            return self.add(connection, events)

    def add(self, connection: Connection, events: pl.DataFrame) -> int:
        """As `append`, inside a transaction of the caller's.

        Raises:
            DataError: the table has no column for one of the events'.
        """
        frame = events.rename({"timestamp": TIME})
        frame = frame.unique("event_id", keep="first", maintain_order=True)
        table = event_table(self.name, frame.schema, self.is_postgresql)
        self._create(connection, table, frame)
        if self.is_postgresql:
            return self._copy(connection, frame)
        stored = self.known_ids(connection, frame["event_id"])
        new = frame.filter(~pl.col("event_id").is_in(list(stored)))
        for rows in new.iter_slices(BATCH):
            connection.execute(self.ids.insert(), rows.select("event_id").to_dicts())
            connection.execute(table.insert(), rows.to_dicts())
        return len(new)

    def prepare(self, connection: Connection) -> None:
        """Make the table of ids if it is not there, from the events if these are."""
        if inspect(connection).has_table(self.ids.name):
            return
        self.ids.create(connection, checkfirst=True)
        if inspect(connection).has_table(self.name):
            ids, name = self._quote(self.ids.name), self._quote(self.name)
            connection.execute(
                text(f"INSERT INTO {ids} (event_id) SELECT DISTINCT event_id FROM {name}")  # noqa: S608  names are quoted
            )

    def known_ids(self, connection: Connection, ids: Iterable[str]) -> set[str]:
        """Those of some event ids that are stored."""
        return find_ids(connection, self.ids, ids)

    def _create(self, connection: Connection, table: Table, frame: pl.DataFrame) -> None:
        self.prepare(connection)
        found = inspect(connection)
        if found.has_table(self.name):
            columns = {column["name"] for column in found.get_columns(self.name)}
            foreign = [column for column in frame.columns if column not in columns]
            if foreign:
                raise DataError(
                    f"the table '{self.name}' has no column '{foreign[0]}' for that of the events; "
                    f"add it (ALTER TABLE {self.name} ADD COLUMN ...) or leave it out"
                )
        else:
            # IF NOT EXISTS alone fails when two make the same table at once
            one_at_a_time(connection, self.name)
            table.metadata.create_all(connection)
        if not self.is_postgresql:
            return
        months = frame.select(pl.col(TIME).dt.truncate("1mo").unique().sort()).to_series()
        missing = [
            month for month in months if not found.has_table(partition_name(self.name, month))
        ]
        if missing:
            one_at_a_time(connection, self.name)
        for month in missing:
            connection.execute(text(partition_sql(self.name, month, self._quote)))

    def _copy(self, connection: Connection, frame: pl.DataFrame) -> int:
        """COPY into a temporary table, then take over what is new: many times faster."""
        name, ids = self._quote(self.name), self._quote(self.ids.name)
        columns = ", ".join(map(self._quote, frame.columns))
        connection.execute(text(f"CREATE TEMPORARY TABLE staged (LIKE {name}) ON COMMIT DROP"))
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY staged ({columns}) FROM STDIN (FORMAT csv)") as copy:
            for rows in frame.iter_slices(BATCH):
                # quoted is a value, be it empty; not quoted and empty is null
                copy.write(rows.write_csv(include_header=False, quote_style="non_numeric"))
        # ordered, so that two who store the same ids cannot wait for each other
        stored = connection.execute(
            text(
                f"WITH fresh AS (INSERT INTO {ids} SELECT event_id FROM staged ORDER BY event_id "  # noqa: S608  names are quoted
                "ON CONFLICT DO NOTHING RETURNING event_id) "
                f"INSERT INTO {name} ({columns}) "
                f"SELECT {columns} FROM staged JOIN fresh USING (event_id)"
            )
        )
        connection.execute(text("DROP TABLE staged"))
        return stored.rowcount


def find_ids(connection: Connection, table: Table, ids: Iterable[str]) -> set[str]:
    """Those of some event ids that a table has in its column event_id."""
    wanted, found = list(ids), set[str]()
    if connection.dialect.name == "postgresql":
        whole = table.c.event_id == any_(literal(wanted, ARRAY(Text)))
        return set(connection.execute(select(table.c.event_id).where(whole)).scalars())
    for start in range(0, len(wanted), IDS_A_QUERY):
        some = wanted[start : start + IDS_A_QUERY]
        query = select(table.c.event_id).where(table.c.event_id.in_(some))
        found.update(connection.execute(query).scalars())
    return found
