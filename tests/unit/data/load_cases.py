"""A source table and a store in SQLite files, for the tests of the incremental load."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from riskml.data.database import open_engine
from riskml.data.event_mapping import EventMapping
from riskml.data.event_store import EventStore
from riskml.data.incremental import IncrementalLoader
from riskml.data.table_source import TableSource

START = datetime(2024, 1, 30, tzinfo=UTC)
MAPPING = EventMapping(
    columns={"timestamp": "login_time", "user_id": "employee", "resource": "document"},
    time_zone="UTC",
)
SOURCE_DDL = (
    "CREATE TABLE logins (event_id TEXT, employee TEXT, login_time TIMESTAMP, action TEXT, "
    "document TEXT, success BOOLEAN, amount NUMERIC, ingested_at TIMESTAMP)"
)


class Case:
    """A source that rows arrive in, and a store that they are loaded into."""

    def __init__(self, folder: Path) -> None:
        self.source_url = f"sqlite:///{folder / 'source.db'}"
        self.store_url = f"sqlite:///{folder / 'store.db'}"
        self.source = open_engine(self.source_url)
        self.store = open_engine(self.store_url)
        self._arrived = START
        with self.source.begin() as connection:
            connection.execute(text(SOURCE_DDL))

    def arrive(self, hours: Iterable[float], prefix: str = "e", **values: Any) -> None:
        """Rows of those hours after START; each call is an hour later than the one before."""
        self._arrived += timedelta(hours=1)
        rows = [
            {
                "event_id": f"{prefix}{hour:g}",
                "employee": f"u{int(hour) % 3}",
                "login_time": written(START + timedelta(hours=hour)),
                "action": "login",
                "document": None,
                "success": True,
                "amount": 1.5,
                "ingested_at": written(self._arrived),
                **values,
            }
            for hour in hours
        ]
        columns = ", ".join(f":{name}" for name in rows[0])
        with self.source.begin() as connection:
            connection.execute(text(f"INSERT INTO logins VALUES ({columns})"), rows)

    def loader(
        self, ingested_column: str | None = None, mapping: EventMapping = MAPPING, **settings: Any
    ) -> IncrementalLoader:
        source = TableSource.of(self.source_url, "logins", mapping, ingested_column)
        settings = {"overlap": timedelta(hours=2), "batch_rows": 7, **settings}
        return IncrementalLoader(source, EventStore(self.store_url), "p", mapping, **settings)

    def stored(self, columns: str = "event_id", table: str = "events") -> list[Any]:
        return query(self.store, f"SELECT {columns} FROM {table} ORDER BY 1")


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def query(engine: Engine, sql: str) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(text(sql)).all()
    return [row[0] if len(row) == 1 else tuple(row) for row in rows]
