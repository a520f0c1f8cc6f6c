"""What a pipeline writes beside the events: its watermark, the quarantine, what came too late."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError, DataError
from riskml.data.batch_reference import BatchReference
from riskml.data.database import exclusively, one_at_a_time
from riskml.data.event_store import EventStore, find_ids
from riskml.data.event_tables import (
    COUNTERS,
    DIALECTS,
    TIME,
    late_table,
    pipeline_table,
    quarantine_table,
    watermark_table,
)


class PipelineBusyError(DataError):
    """Another process is loading the same pipeline."""


@dataclass(frozen=True)
class Watermark:
    """How far a pipeline has come.

    Args:
        last_run: time of the newest event that was loaded, None before the first.
        ingested: arrival of the newest row that a complete run has seen, None where the source
            does not say.
    """

    last_run: datetime | None
    ingested: datetime | None


class LoadLedger:
    """The tables of one pipeline in the event store; every method works in a caller's transaction.

    Args:
        store: with the events.
        pipeline: its name.
        source: name of the table that it reads.

    Raises:
        ConfigError: the store's database is neither PostgreSQL nor SQLite.
    """

    def __init__(self, store: EventStore, pipeline: str, source: str) -> None:
        if store.engine.dialect.name not in DIALECTS:
            raise ConfigError(
                f"events can be loaded into PostgreSQL or SQLite, not into "
                f"{store.engine.dialect.name}; give the URL of one of these"
            )
        self.store = store
        self.pipeline = pipeline
        self._source = source
        self._marks = watermark_table()
        self._quarantine = quarantine_table(store.name)
        self._late = late_table(store.name)
        self._pipelines = pipeline_table()

    def prepare(self, connection: Connection, key_marks: Sequence[str] = ()) -> None:
        """Make the tables and the pipeline's rows, if they are not there.

        Args:
            connection: in a transaction.
            key_marks: of the key and the store that pseudonyms are made with; none without
                pseudonyms.

        Raises:
            DataError: the pipeline has been reading another table, or storing other ids.
        """
        if not self.store.is_postgresql:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        one_at_a_time(connection, "riskml")  # two who find no table would both make it
        self.store.prepare(connection)
        for table in (self._marks, self._quarantine, self._late, self._pipelines):
            table.metadata.create_all(connection)
        row = {"pipeline": self.pipeline, "source": self._source, "updated": datetime.now(UTC)}
        self._insert_new(connection, self._marks, [row])
        source = connection.execute(
            select(self._marks.c.source).where(self._marks.c.pipeline == self.pipeline)
        ).scalar_one()
        if source != self._source:
            raise DataError(
                f"pipeline '{self.pipeline}' reads the table '{source}', not '{self._source}'; "
                "give another table its own pipeline"
            )
        self._check_key(connection, key_marks)

    def _check_key(self, connection: Connection, key_marks: Sequence[str]) -> None:
        """Ids made in two ways would let every event in twice, and give users two names."""
        mine = self._pipelines.c.pipeline == self.pipeline
        begun = self.read(connection).last_run is not None
        old = connection.execute(select(self._pipelines.c.key_mark).where(mine)).scalar()
        if begun and old not in (key_marks or (None,)):
            before = "without pseudonyms"
            if old is not None:
                before = "with pseudonyms of another key or store (--pseudonym-store)"
            raise DataError(
                f"pipeline '{self.pipeline}' has been loading {before}: events would be stored "
                "twice, or users have two names. Load as before, or into another table by another "
                "pipeline"
            )
        key_mark = key_marks[0] if key_marks else None
        row = {"pipeline": self.pipeline, "key_mark": key_mark}
        if not self._insert_new(connection, self._pipelines, [row]):
            connection.execute(update(self._pipelines).where(mine).values(key_mark=key_mark))

    def exclusively(self, wait: timedelta) -> AbstractContextManager[None]:
        """No other run of this pipeline until the end, on PostgreSQL.

        SQLite has no such lock; there two runs take turns by the batch, which is correct but work
        done twice.

        Raises:
            PipelineBusyError: another run still has it after `wait`.
        """
        busy = PipelineBusyError(
            f"pipeline '{self.pipeline}' is being loaded by another process; wait for it, or give "
            "this run more patience with --wait"
        )
        return exclusively(self.store.engine, f"{self.store.name}/{self.pipeline}", busy, wait)

    def read(self, connection: Connection) -> Watermark:
        """The watermark as it stands."""
        row = connection.execute(
            select(self._marks.c.last_run, self._marks.c.ingested).where(
                self._marks.c.pipeline == self.pipeline
            )
        ).one()
        return Watermark(row.last_run, row.ingested)

    def lock(self, connection: Connection) -> Watermark:
        """The watermark, held against other runs until the transaction ends.

        An UPDATE locks the row where SELECT ... FOR UPDATE does, and in SQLite, which has none.
        """
        self._update(connection, {"updated": datetime.now(UTC)})
        return self.read(connection)

    def advance(
        self,
        connection: Connection,
        counts: Mapping[str, int],
        last_run: datetime | None = None,
        ingested: datetime | None = None,
    ) -> None:
        """Move the locked watermark on, never back, and add to the counters."""
        old = self.read(connection)
        values: dict[str, Any] = {
            "last_run": max(filter(None, (old.last_run, last_run)), default=None),
            "ingested": max(filter(None, (old.ingested, ingested)), default=None),
            **{name: self._marks.c[name] + counts.get(name, 0) for name in COUNTERS},
        }
        self._update(connection, values)

    def reference(self, connection: Connection) -> BatchReference | None:
        """What this pipeline's batches were like; None before the first that was checked.

        Raises:
            DataError: it is damaged.
        """
        mine = self._pipelines.c.pipeline == self.pipeline
        kept = connection.execute(select(self._pipelines.c.reference).where(mine)).scalar()
        if kept is None:
            return None
        where = f"riskml_pipelines, column reference, of pipeline '{self.pipeline}'"
        return BatchReference.from_json(kept, where)

    def keep_reference(self, connection: Connection, reference: BatchReference) -> None:
        """Keep it for the next batch, in the transaction of this one."""
        mine = self._pipelines.c.pipeline == self.pipeline
        kept = {"reference": reference.to_json()}
        connection.execute(update(self._pipelines).where(mine).values(**kept))

    def quarantine(self, connection: Connection, rejected: pl.DataFrame) -> int:
        """Keep unusable rows, each once.

        Args:
            connection: in the transaction of their batch.
            rejected: columns event_id, rule, reason and record (JSON).

        Returns:
            How many were not there yet.
        """
        now = datetime.now(UTC)
        rows = {}
        for row in rejected.select("event_id", "rule", "reason", "record").to_dicts():
            digest = hashlib.sha256(f"{row['rule']}\n{row['record']}".encode()).hexdigest()
            rows[digest] = {**row, "pipeline": self.pipeline, "digest": digest, "noticed": now}
        return self._insert_new(connection, self._quarantine, list(rows.values()))

    def unknown(self, connection: Connection, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of some rows (with event_id) that are neither stored nor in quarantine."""
        ids = rows["event_id"].unique().to_list()
        known = self.store.known_ids(connection, ids)
        rest = [event_id for event_id in ids if event_id not in known]
        known |= find_ids(connection, self._quarantine, rest)
        return rows.filter(~pl.col("event_id").is_in(list(known)))

    def note_late(self, connection: Connection, rows: pl.DataFrame) -> int:
        """Keep which rows came too late.

        Args:
            connection: in a transaction.
            rows: their event_id and timestamp.

        Returns:
            How many were not known yet.
        """
        now = datetime.now(UTC)
        late = rows.unique("event_id", keep="first", maintain_order=True)
        return self._insert_new(
            connection,
            self._late,
            [
                {"pipeline": self.pipeline, "event_id": event_id, TIME: when, "noticed": now}
                for event_id, when in late.select("event_id", "timestamp").iter_rows()
            ],
        )

    def count_late(self, connection: Connection) -> int:
        """How many rows are known to have come too late and are still not stored."""
        mine = self._late.c.pipeline == self.pipeline
        stored = select(self.store.ids.c.event_id)
        connection.execute(
            delete(self._late).where(mine, self._late.c.event_id.in_(stored)),
        )
        counted = select(func.count()).select_from(self._late).where(mine)
        return int(connection.execute(counted).scalar_one())

    def _update(self, connection: Connection, values: Mapping[str, Any]) -> None:
        connection.execute(
            update(self._marks).where(self._marks.c.pipeline == self.pipeline).values(**values)
        )

    def _insert_new(self, connection: Connection, table: Any, rows: list[dict[str, Any]]) -> int:
        if not rows:
            return 0
        insert = postgresql.insert if self.store.is_postgresql else sqlite.insert
        key = list(table.primary_key.columns)
        query = insert(table).on_conflict_do_nothing().returning(key[0])
        return len(connection.execute(query, rows).all())
