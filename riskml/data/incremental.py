"""Incremental load: what is new in a source table, into the event store, each event once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError, require
from riskml.core.redaction import hiding_values
from riskml.data.batch_checks import BatchChecks, RowsBeside
from riskml.data.batch_events import FEW_REJECTED, Batch, BatchMaker
from riskml.data.batch_reference import BatchReference
from riskml.data.database import database_errors
from riskml.data.event_mapping import EventMapping
from riskml.data.event_store import EventStore
from riskml.data.load_ledger import LoadLedger, PipelineBusyError
from riskml.data.pseudonymous import PseudonymousBatches, PseudonymousLog
from riskml.data.table_source import Span, TableSource

__all__ = ["IncrementalLoader", "LoadReport", "PipelineBusyError"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What a run did; read = loaded + duplicates + rejected.

    Args:
        pipeline: its name.
        read: rows of the source that the run looked at.
        loaded: new events in the store.
        duplicates: rows that the store or its quarantine had already; most of them are the
            overlap, read once more.
        rejected: new rows in quarantine.
        too_late: rows first noticed by this run that came after their time had left the overlap.
        missing: all such rows that are not in the store, earlier runs' included.
        last_run: time of the newest event, the watermark.
        warnings: what the checks found, a line a rule.
    """

    pipeline: str
    read: int = 0
    loaded: int = 0
    duplicates: int = 0
    rejected: int = 0
    too_late: int = 0
    missing: int = 0
    last_run: datetime | None = None
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for people."""
        until = f"{self.last_run:%Y-%m-%d %H:%M:%S} UTC" if self.last_run else "nothing"
        line = (
            f"{self.pipeline}: {self.loaded:,} loaded, {self.duplicates:,} duplicates, "
            f"{self.rejected:,} rejected, {self.too_late:,} too late; up to {until}"
        )
        if self.missing:
            line += (
                f". {self.missing:,} rows came later than the overlap and are not stored; a run "
                "with a wider overlap loads them"
            )
        return line


Progress = Callable[[LoadReport, float], None]
"""Told after each batch what is done so far and which share of the time span that is."""


class IncrementalLoader:
    """Loads what is new in a table, again and again.

    A run reads the rows with `login_time > last_run - overlap` in the order of their times and
    stores them batch by batch; the watermark `last_run` moves in the transaction that stores the
    batch. So a run can die at any point and the next one goes on: nothing is lost, and since the
    store keeps every event id once, nothing is doubled. What arrives later than the overlap is
    noticed, counted and kept in a list.

    Args:
        source: the table, in any database.
        store: where the events go, PostgreSQL or SQLite.
        pipeline: name under which the watermark is kept; one pipeline reads one table.
        mapping: what the table's columns mean.
        overlap: how late a row may arrive, against the newest event, and still be loaded.
        look_back: how far beyond the overlap each run compares ids to notice what came too
            late; zero turns it off. Not used where the source has an ingestion column.
        batch_rows: rows in memory, and in a transaction.
        checks: what the new events of each batch are held to. What the batches were like is kept
            in the store, in the transaction of the batch.
        pseudonyms: take out names before anything is stored. All users whom the table names are
            asked for first, so that one is known before his own rows come. Event ids become keyed
            hashes, and messages show no values.
        wait: how long to wait for another run of the pipeline to end.
        until: rows from this moment on are left to a later run; None: none are.

    Raises:
        ConfigError: a setting is impossible.
    """

    def __init__(
        self,
        source: TableSource,
        store: EventStore,
        pipeline: str,
        mapping: EventMapping,
        overlap: timedelta = timedelta(hours=2),
        look_back: timedelta = timedelta(days=7),
        batch_rows: int = 10_000,
        checks: BatchChecks | None = None,
        pseudonyms: PseudonymousLog | None = None,
        wait: timedelta = timedelta(seconds=10),
        until: datetime | None = None,
    ) -> None:
        require("pipeline", repr(pipeline), bool(pipeline.strip()), "must be a name")
        require("overlap", overlap, overlap > timedelta(0), "must be longer than nothing")
        require("look_back", look_back, look_back >= timedelta(0), "must not be negative")
        require("batch_rows", batch_rows, batch_rows >= 1, "must be at least 1")
        if source.engine.url == store.engine.url and source.name == store.name:
            raise ConfigError(
                f"table={source.name}: source and store are the same table; name another"
            )
        self._source = source
        self._store = store
        # the column that is read by time is the one that events get theirs from
        timed = {**mapping.columns, "timestamp": source.time_column}
        self._mapping = replace(mapping, columns=timed)
        self._overlap = overlap
        self._look_back = look_back
        self._size = batch_rows
        self._checks = checks
        self._pseudonyms = pseudonyms
        self._wait = wait
        # a span holds its last moment, too
        self._last = None if until is None else until - timedelta(microseconds=1)
        self._ledger = LoadLedger(store, pipeline, source.name)
        self._report = LoadReport(pipeline)
        self._warnings: dict[str, str] = {}
        self._warned = Counter[str]()

    def run(self, progress: Progress | None = None) -> LoadReport:
        """Load what is new.

        Args:
            progress: told after each batch.

        Raises:
            ConfigError: the key of the pseudonyms is missing.
            PipelineBusyError: another run of this pipeline is under way.
            DataError: a database or the checks refused. The batches before are stored, the
                refused one is not, and the next run begins with it.
        """
        self._report = LoadReport(self._ledger.pipeline)
        self._warnings, self._warned = {}, Counter()
        hide = None if self._pseudonyms is None else self._pseudonyms.batches()
        with hiding_values(hide is not None):
            self._run(hide, progress)
        _logger.info("%s", self._report.summary())
        return self._report

    def _run(self, hide: PseudonymousBatches | None, progress: Progress | None) -> None:
        maker = BatchMaker(self._mapping, self._source.name, self._source.columns, hide)
        self._source.check(maker.event_id)
        with database_errors("the event store cannot be used"), self._store.engine.begin() as begun:
            self._ledger.prepare(begun, () if hide is None else hide.marks())
        with (
            database_errors("the event store refused the rows"),
            self._ledger.exclusively(self._wait),
        ):
            if hide is not None:
                for users in self._source.distinct(maker.user_id, self._size):
                    hide.meet(users)
            self._load(maker, progress)
        times = {rule: f"{n} batches: " if n > 1 else "" for rule, n in self._warned.items()}
        warnings = tuple(f"{times[rule]}{line}" for rule, line in self._warnings.items())
        self._report = replace(self._report, warnings=warnings)

    def _load(self, maker: BatchMaker, progress: Progress | None) -> None:
        with self._store.engine.connect() as connection:
            begun_at = self._ledger.read(connection)
        after = None if begun_at.last_run is None else begun_at.last_run - self._overlap
        # asked before the rows are read: what arrives meanwhile counts as not yet seen
        arrived = self._source.newest(ingested=True) if self._source.ingested_column else None
        end = self._source.newest() if progress else None
        if end is not None and self._last is not None:
            end = min(end, self._last)
        with closing(self._source.without_time(self._size)) as batches:
            for rows in batches:
                self._store_batch(maker, maker.without_time(rows), len(rows))
        start = after
        with closing(self._source.batches(Span(after, self._last), self._size)) as batches:
            for rows in batches:
                batch = maker.make(rows)
                self._store_batch(maker, batch, len(rows))
                if progress and end and not batch.events.is_empty():
                    reached = _newest(batch.events)
                    start = start or reached
                    progress(self._report, _share(start, reached, end))
        if after is not None:
            self._notice_late(maker, after, begun_at.ingested)
        with self._store.engine.begin() as connection:
            self._ledger.lock(connection)
            self._ledger.advance(connection, {}, ingested=arrived)
            missing = self._ledger.count_late(connection)
            reached_at = self._ledger.read(connection).last_run
        self._report = replace(self._report, missing=missing, last_run=reached_at)

    def _store_batch(self, maker: BatchMaker, batch: Batch, read: int) -> None:
        """Rows, quarantine, reference, watermark and counters: all of them, or nothing."""
        with self._store.engine.begin() as connection:
            self._ledger.lock(connection)
            loaded, newest = 0, None
            if self._checks is not None and not batch.events.is_empty():
                batch = self._checked(connection, self._checks, maker, batch)
            if not batch.events.is_empty():
                loaded = self._store.add(connection, batch.events)
                # a clock that is ahead must not carry the window away from what is yet to come
                newest = min(_newest(batch.events), datetime.now(UTC))
            rejected = self._ledger.quarantine(connection, batch.rejected)
            counts = {
                "read": read,
                "loaded": loaded,
                "rejected": rejected,
                "duplicates": read - loaded - rejected,
            }
            self._ledger.advance(connection, counts, last_run=newest)
        self._count(counts)

    def _checked(
        self, connection: Connection, checks: BatchChecks, maker: BatchMaker, batch: Batch
    ) -> Batch:
        """A batch without what is stored already and what breaks a rule.

        The reference counts each event once, since only those that are new reach it.
        """
        known = self._store.known_ids(connection, batch.events["event_id"])
        new = batch.events.filter(~pl.col("event_id").is_in(list(known)))
        beside = RowsBeside(batch.rejected, len(known), FEW_REJECTED)
        reference = self._ledger.reference(connection)
        report = checks.check(new, reference, beside=beside)
        reference = (reference or BatchReference()).updated(report.accepted)
        self._ledger.keep_reference(connection, reference)
        for line in report.warnings:
            rule = line.partition(":")[0]
            self._warnings.setdefault(rule, line)
            self._warned[rule] += 1
        rejected = maker.judged(report.rejected, new)
        return replace(
            batch, events=report.accepted, rejected=pl.concat([batch.rejected, rejected])
        )

    def _notice_late(self, maker: BatchMaker, after: datetime, ingested: datetime | None) -> None:
        """Look among the rows before the window for those that were never read."""
        if self._source.ingested_column and ingested is not None:
            # arrival is stamped before a row can be seen, so go back a little
            span = Span(until=after, arrived_after=ingested - self._overlap)
        elif self._look_back:
            span = Span(after=after - self._look_back, until=after)
        else:
            return
        with closing(self._source.ids(maker.event_id, span, self._size)) as batches:
            for rows in batches:
                rows = maker.hidden_ids(rows)
                with self._store.engine.connect() as connection:
                    rows = self._ledger.unknown(connection, rows)
                if rows.is_empty():
                    continue
                with self._store.engine.begin() as connection:
                    self._ledger.lock(connection)
                    late = self._ledger.note_late(connection, rows)
                    self._ledger.advance(connection, {"too_late": late})
                self._count({"too_late": late})

    def _count(self, counts: Mapping[str, int]) -> None:
        so_far = asdict(self._report)
        self._report = replace(
            self._report, **{name: so_far[name] + n for name, n in counts.items()}
        )


def _newest(events: pl.DataFrame) -> datetime:
    newest = events["timestamp"].max()
    assert isinstance(newest, datetime)  # events have times
    return newest


def _share(start: datetime, reached: datetime, end: datetime) -> float:
    whole = (end - start).total_seconds()
    return min(1.0, (reached - start).total_seconds() / whole) if whole > 0 else 1.0
