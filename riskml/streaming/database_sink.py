"""Rows of windows into PostgreSQL or SQLite, each window and model once."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import Column, Double, Index, MetaData, Table, Text, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from riskml.core.errors import ConfigError
from riskml.data.database import database_errors, open_engine
from riskml.data.event_tables import DIALECTS, UtcTime
from riskml.serving.score_tables import SCORES
from riskml.serving.stores import CHAMPION
from riskml.streaming.scorer import EARLY, WITHDRAWN

LONGEST_WAIT_S = 10
ROWS = 5_000
METADATA = MetaData()

ALERTS = Table(
    "riskml_stream_alerts",
    METADATA,
    Column("window_id", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("risk", Double, nullable=False),
    Column("raised", Text, nullable=False),
    Column("reasons", Text),
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
        self._insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        with database_errors("--sink refused"):
            METADATA.create_all(self._engine)
            SCORES.create(self._engine, checkfirst=True)

    def write(self, rows: pl.DataFrame) -> None:
        """One transaction, tried again while the database is away."""
        newest = rows.unique(["window_id", "model_version"], keep="last", maintain_order=True)
        raised = newest.filter(pl.col("raised").is_not_null()).with_columns(
            seconds_to_alert=(pl.col("raised_at") - pl.col("arrived_at")).dt.total_microseconds()
            / 1e6
        )
        attempts = Retrying(
            retry=retry_if_exception_type((OperationalError, InterfaceError)),
            wait=wait_random_exponential(max=LONGEST_WAIT_S),
            before_sleep=before_sleep_log(_logger, logging.WARNING),
        )
        with database_errors("--sink refused"):
            attempts(self._write, newest, raised)

    def _write(self, rows: pl.DataFrame, raised: pl.DataFrame) -> None:
        with self._engine.begin() as connection:
            for table, found in ((SCORES, rows), (ALERTS, raised)):
                query: Any = self._insert(table)
                keys = [column.name for column in table.primary_key]
                names = [column.name for column in table.columns]
                others = {name: query.excluded[name] for name in names if name not in keys}
                query = query.on_conflict_do_update(index_elements=keys, set_=others)
                about = {"role": CHAMPION, "scored_at": datetime.now(UTC)}
                about = about if table is SCORES else {}
                there = found.select(name for name in names if name in found.columns)
                for part in there.iter_slices(ROWS) if len(there) else ():
                    connection.execute(query, [{**row, **about} for row in part.to_dicts()])
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
