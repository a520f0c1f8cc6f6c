"""The tables of a scoring job, in PostgreSQL or SQLite."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from riskml.data.database import one_at_a_time
from riskml.data.event_tables import UtcTime

METADATA = MetaData()
ROWS = 5_000
"""In one statement."""


def alert_columns() -> list[Column[Any]]:
    """What every table of alerts says of a window."""
    return [
        Column("window_id", Text, primary_key=True),
        Column("model_version", Text, primary_key=True),
        Column("user_id", Text, nullable=False),
        Column("window_start", UtcTime, nullable=False),
        Column("window_end", UtcTime, nullable=False),
        Column("score", Double, nullable=False),
        Column("p_value", Double, nullable=False),
        Column("risk", Double, nullable=False),
    ]


SCORES = Table(
    "riskml_scores",
    METADATA,
    Column("window_id", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("n_events", BigInteger, nullable=False),
    Column("score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("risk", Double, nullable=False),
    Column("alert", Boolean, nullable=False),
    Column("learning", Boolean, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("reasons", Text),
    Column("event_ids", Text),
    Column("scored_at", UtcTime, nullable=False),
    Index("riskml_scores_user", "user_id", "window_start"),
    Index("riskml_scores_end", "model_version", "window_end"),
)

ALERTS = Table(
    "riskml_alerts",
    METADATA,
    *alert_columns(),
    Column("reasons", Text),
    Column("event_ids", Text),
    Column("raised_at", UtcTime, nullable=False),
    Index("riskml_alerts_raised", "raised_at"),
)

QUARANTINE = Table(
    "riskml_score_quarantine",
    METADATA,
    Column("model_version", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("event_id", Text),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("noticed", UtcTime, nullable=False),
)

STATE = Table(
    "riskml_score_state",
    METADATA,
    Column("model_version", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("updated", UtcTime, nullable=False),
)

STATE_FILES = Table(
    "riskml_score_state_files",
    METADATA,
    Column("model_version", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)


def make_tables(connection: Connection, *tables: Table) -> None:
    """Make tables that are missing, and columns that may be empty in those of an older riskml."""
    one_at_a_time(connection, "riskml_score")  # two who find no table would both make it
    for table in tables:
        table.create(connection, checkfirst=True)
        there = {each["name"] for each in inspect(connection).get_columns(table.name)}
        name = connection.dialect.identifier_preparer.format_table(table)
        for column in table.columns:
            if column.name not in there and column.nullable:
                clause = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {clause}")


def inserting(connection: Connection, table: Table) -> Any:
    """An insertion that may say what happens to rows that are there."""
    postgres = connection.dialect.name == "postgresql"
    return (postgresql if postgres else sqlite).insert(table)


def upsert(connection: Connection, table: Table, rows: pl.DataFrame, about: dict[str, Any]) -> None:
    """Write rows, with some values the same in all, in place of those of the same key."""
    if rows.is_empty():
        return
    query = inserting(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: query.excluded[c.name] for c in table.columns if c.name not in keys}
    query = query.on_conflict_do_update(index_elements=keys, set_=others)
    for part in rows.iter_slices(ROWS):
        connection.execute(query, [{**row, **about} for row in part.to_dicts()])
