"""Rows of windows into PostgreSQL or SQLite, each window and model once."""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime

import polars as pl
from sqlalchemy import Column, Double, Index, MetaData, Table, Text, bindparam, inspect, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import Retrying, before_sleep_log, retry_if_exception, wait_random_exponential

from riskml.core.errors import ConfigError, DataError
from riskml.data.database import database_errors, open_engine
from riskml.data.event_tables import DIALECTS, UtcTime
from riskml.serving.score_tables import ROWS, SCORES, alert_columns, make_tables, upsert
from riskml.serving.stores import CHAMPION
from riskml.streaming.scorer import EARLY, WITHDRAWN

LONGEST_WAIT_S = 10
METADATA = MetaData()

ALERTS = Table(
    "riskml_stream_alerts",
    METADATA,
    *alert_columns(),
    Column("raised", Text, nullable=False),
    Column("reasons", Text),
    Column("event_ids", Text),
    Column("arrived_at", UtcTime),
    Column("raised_at", UtcTime, nullable=False),
    Column("seconds_to_alert", Double),
    Index("riskml_stream_alerts_raised", "raised_at"),
)

_logger = logging.getLogger(__name__)


class DatabaseSink:
    """The tables `riskml_scores`, which the scoring job has, too, and `riskml_stream_alerts`.

    A database that is away is waited for.

    Args:
        url: SQLAlchemy URL of a PostgreSQL or SQLite database.

    Raises:
        ConfigError: the URL is not understood, or of another database.
        DataError: the database refuses.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, "--sink")
        dialect = self._engine.dialect.name
        if dialect not in DIALECTS:
            raise ConfigError(
                f"--sink: scores can be written to PostgreSQL or SQLite, not to {dialect}"
            )
        with database_errors("--sink refused"), self._engine.begin() as connection:
            make_tables(connection, SCORES, ALERTS)
            for table in (SCORES, ALERTS):
                there = {each["name"] for each in inspect(connection).get_columns(table.name)}
                missing = [column.name for column in table.columns if column.name not in there]
                if missing:
                    raise DataError(
                        f"--sink: the table {table.name} has no column {missing[0]}: another "
                        "program made it; give another database"
                    )

    def write(self, rows: pl.DataFrame) -> None:
        """One transaction, tried again while the database is away."""
        newest = rows.unique(["window_id", "model_version"], keep="last", maintain_order=True)
        raised = newest.filter(pl.col("raised").is_not_null()).with_columns(
            seconds_to_alert=(pl.col("raised_at") - pl.col("arrived_at")).dt.total_microseconds()
            / 1e6
        )
        attempts = Retrying(
            retry=retry_if_exception(_is_away),
            wait=wait_random_exponential(max=LONGEST_WAIT_S),
            before_sleep=before_sleep_log(_logger, logging.WARNING),
        )
        with database_errors("--sink refused"):
            attempts(self._write, newest, raised)

    def _write(self, rows: pl.DataFrame, raised: pl.DataFrame) -> None:
        with self._engine.begin() as connection:
            about = {"role": CHAMPION, "scored_at": datetime.now(UTC)}
            for table, found, more in ((SCORES, rows, about), (ALERTS, raised, {})):
                own = found.select(c.name for c in table.columns if c.name in found.columns)
                upsert(connection, table, own, more)
            self._withdraw(connection, rows)

    def _withdraw(self, connection: Connection, rows: pl.DataFrame) -> None:
        """Early alerts of closed windows that are none.

        Whoever told of one may have been killed before it noted that, so the rows may not know.
        """
        closed = rows.filter(~pl.col("open") & ~pl.col("alert"))["window_id"].to_list()
        is_early = (ALERTS.c.raised == EARLY) & (ALERTS.c.model_version == bindparam("version"))
        query = update(ALERTS).where(
            is_early & ALERTS.c.window_id.in_(bindparam("ids", expanding=True))
        )
        for start in range(0, len(closed), ROWS):
            some = {"ids": closed[start : start + ROWS], "version": rows["model_version"][0]}
            connection.execute(query.values(raised=WITHDRAWN), some)

    def settle(self) -> None:
        """All is committed already."""

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _is_away(error: BaseException) -> bool:
    """Whether the database may answer later; a statement that it refuses, it refuses for good."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    of_sqlite = isinstance(error.orig, sqlite3.Error)
    return not of_sqlite or any(word in str(error.orig) for word in ("locked", "busy"))
