"""Scores in a database: a batch's scores, alerts, quarantine and state in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError
from riskml.data.database import database_errors, exclusively, open_engine
from riskml.data.event_tables import DIALECTS
from riskml.serving.score_tables import (
    ALERTS,
    METADATA,
    QUARANTINE,
    ROWS,
    SCORES,
    STATE,
    STATE_FILES,
    inserting,
    make_tables,
    upsert,
)
from riskml.serving.standing import Files
from riskml.serving.stores import ALERT_COLUMNS, CHAMPION, JobBusyError, Output

REFUSED = "the score store refused"


class DatabaseStore:
    """The tables `riskml_scores`, `riskml_alerts` and those of the state; made where missing.

    Args:
        url: SQLAlchemy URL of a PostgreSQL or SQLite database.

    Raises:
        ConfigError: the URL is not understood, or of another database.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, "--out")
        self._dialect = self._engine.dialect.name
        if self._dialect not in DIALECTS:
            raise ConfigError(
                f"scores can be written to PostgreSQL or SQLite, not to {self._dialect}; give the "
                "URL of one of these, or a folder"
            )
        self._written: dict[tuple[str, str], str] = {}

    @contextmanager
    def alone(self, version: str, wait: timedelta) -> Iterator[None]:
        """By an advisory lock of PostgreSQL. In SQLite the number of the batch keeps others out."""
        busy = JobBusyError(
            f"another job scores with model {version}; wait for it, or give this one more patience "
            "with --wait"
        )
        name = f"riskml_score/{version}"
        with database_errors(REFUSED), exclusively(self._engine, name, busy, wait):
            self._prepare()
            yield

    def standing(self, version: str) -> Files | None:
        """The files of the last batch."""
        files, place = STATE_FILES.c, self._engine.url.database
        if self._dialect == "sqlite" and place and not Path(place).exists():
            return None  # looking into it would make it
        with database_errors(REFUSED), self._engine.connect() as connection:
            if not self._engine.dialect.has_table(connection, STATE.name):
                return None
            mine = files.model_version == version
            rows = connection.execute(select(files.name, files.content).where(mine))
            found = {name: bytes(content) for name, content in rows}
        self._written = {(version, name): _digest(found[name]) for name in found}
        return found or None

    def write(self, version: str, role: str, output: Output) -> int:
        """One transaction."""
        now = datetime.now(UTC)
        about = {"model_version": version, "role": role, "scored_at": now}
        with database_errors(REFUSED), self._engine.begin() as connection:
            self._next(connection, version, output.batch, now)
            upsert(connection, SCORES, output.rows, about)
            if output.open_rows is not None:
                stale = (SCORES.c.model_version == version) & SCORES.c.open
                connection.execute(delete(SCORES).where(stale))
                upsert(connection, SCORES, output.open_rows, about)
            if role == CHAMPION:
                alerts = output.rows.filter("alert").select(ALERT_COLUMNS)
                raised = {"model_version": version, "raised_at": now}
                upsert(connection, ALERTS, alerts, raised)
            new = self._set_apart(connection, version, output.quarantine, now)
            written = self._keep(connection, version, output.files)
        self._written.update(written)
        return new

    def _prepare(self) -> None:
        with self._engine.begin() as connection:
            make_tables(connection, *METADATA.sorted_tables)

    def _next(self, connection: Connection, version: str, batch: int, now: datetime) -> None:
        """Count the batch, and hold the row against others until the transaction ends."""
        values = {"model_version": version, "batch": batch, "updated": now}
        if batch == 1:
            made = inserting(connection, STATE).values(values).on_conflict_do_nothing()
            counted = connection.execute(made.returning(STATE.c.batch)).all()
        else:
            mine = (STATE.c.model_version == version) & (STATE.c.batch == batch - 1)
            moved = update(STATE).where(mine).values(values).returning(STATE.c.batch)
            counted = connection.execute(moved).all()
        if not counted:
            raise JobBusyError(
                f"another job with model {version} has written batch {batch} meanwhile; "
                "run again to go on from there"
            )

    def _set_apart(
        self, connection: Connection, version: str, rows: pl.DataFrame, now: datetime
    ) -> int:
        if rows.is_empty():
            return 0
        query = (
            inserting(connection, QUARANTINE)
            .on_conflict_do_nothing()
            .returning(QUARANTINE.c.digest)
        )
        about = {"model_version": version, "noticed": now}
        return sum(
            len(connection.execute(query, [{**row, **about} for row in part.to_dicts()]).all())
            for part in rows.iter_slices(ROWS)
        )

    def _keep(
        self, connection: Connection, version: str, files: Files
    ) -> dict[tuple[str, str], str]:
        """Replace the files that changed."""
        digests = {(version, name): _digest(content) for name, content in files.items()}
        changed = [
            name for name in files if self._written.get((version, name)) != digests[version, name]
        ]
        mine = STATE_FILES.c.model_version == version
        gone = mine & STATE_FILES.c.name.not_in([name for name in files if name not in changed])
        connection.execute(delete(STATE_FILES).where(gone))
        rows = [
            {"model_version": version, "name": name, "content": files[name]} for name in changed
        ]
        if rows:
            connection.execute(insert(STATE_FILES), rows)
        return digests


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
