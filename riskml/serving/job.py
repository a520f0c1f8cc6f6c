"""The scoring job: what is new in a log, scored once, with alerts, in steps that a kill spares."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from riskml.core.errors import ConfigError, require
from riskml.core.schema import time_span
from riskml.data.batch_events import REJECTED_SCHEMA
from riskml.data.quality import all_differ
from riskml.export.bundle import Bundle
from riskml.monitoring.tracing import each, span
from riskml.serving.batching import in_batches
from riskml.serving.database_store import DatabaseStore
from riskml.serving.events import EventSource, NewEvents
from riskml.serving.folder_store import FolderStore
from riskml.serving.scoring import (
    LATE,
    SCORE_SCHEMA,
    Closer,
    Scored,
    close_here,
    close_until,
    open_rows,
    score_events,
)
from riskml.serving.standing import Standing, known_until, version_of
from riskml.serving.stores import CHAMPION, Output, ScoreStore, with_digest
from riskml.serving.summary import Summary

Progress = Callable[[Summary], None]
"""Told after each batch what is done so far."""

Told = Callable[[pl.DataFrame, Standing], None]
"""Told of the rows of each batch once they are kept, and where the job stands after it."""


@dataclass(frozen=True)
class JobSettings:
    """How a run goes.

    Args:
        since: where the first run begins; None: after what the bundle knows from training. Later
            runs go on after the one before.
        until: events before this moment have all arrived: only they are read, and windows that
            can then get no more are closed. None: all up to now, and none is closed by it.
        overlap: how late an event may come, against the newest one, and still be looked for.
        batch_events: events in a batch, and so in memory and in a transaction.
        open_windows: also score windows that may still grow.
        dry_run: write nothing.
        wait: how long to wait for another job with the same model to end.

    Raises:
        ConfigError: a setting is impossible.
    """

    since: datetime | None = None
    until: datetime | None = None
    overlap: timedelta = timedelta(hours=2)
    batch_events: int = 50_000
    open_windows: bool = False
    dry_run: bool = False
    wait: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        require("--overlap", self.overlap, self.overlap >= timedelta(0), "must not be negative")
        require("--batch", self.batch_events, self.batch_events >= 1, "must be at least 1")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigError("--since must be before --until")
        if self.until is not None and self.until > datetime.now(UTC):
            # windows would be closed before their events can have come
            raise ConfigError(f"--until {self.until.isoformat()} lies in the future")


@dataclass
class ScoreJob:
    """One model over one source into one store.

    Args:
        bundle: the model.
        source: of events.
        store: of scores.
        settings: how.
        role: champion or challenger.
        close: what turns events into scored windows, such as `buckets.Buckets`.
        told: of each batch.
    """

    bundle: Bundle
    source: EventSource
    store: ScoreStore
    settings: JobSettings = field(default_factory=JobSettings)
    role: str = CHAMPION
    close: Closer = close_here
    told: Told | None = None

    def __post_init__(self) -> None:
        self.version = version_of(self.bundle.manifest)
        self._began = time.perf_counter()
        self._done = Summary(self.version, self.role)
        self._rejected = pl.DataFrame(schema=REJECTED_SCHEMA)

    def run(self, progress: Progress | None = None) -> Summary:
        """Score what is new.

        Raises:
            ConfigError: `since` lies before what the bundle knows.
            DataError: the source or the store cannot be used; the batches before are kept.
            JobBusyError: another job works with this model in this store.
        """
        self._began = time.perf_counter()
        self._done = Summary(self.version, self.role, dry_run=self.settings.dry_run)
        with span("riskml score", **{"riskml.model_version": self.version}):
            if self.settings.dry_run:
                self._run(progress)
            else:
                with self.store.alone(self.version, self.settings.wait):
                    self._run(progress)
        return self._done

    def _run(self, progress: Progress | None) -> None:
        standing = self._begin()
        for events in in_batches(self._new(standing), self.settings.batch_events):
            scored = score_events(standing, events, self.settings.overlap, self.close)
            first = self._done.first_event or events["timestamp"][0]
            unknown = standing.bundle.extractor.vocabulary.unknown(events["action"])
            self._add(
                events_new=len(events) - len(scored.late),
                events_late=len(scored.late),
                unknown_actions=unknown,
            )
            self._done = replace(self._done, first_event=first)
            self._keep(scored, _set_apart(scored.late))
            standing = scored.standing
            if progress is not None:
                progress(self._done)
        standing = self._finish(standing)
        self._done = replace(self._done, last_event=standing.last)
        self._time()

    def _begin(self) -> Standing:
        files = self.store.standing(self.version)
        if files is not None:
            return Standing.read(self.bundle, files, f"the state of model {self.version}")
        since, known = self.settings.since, known_until(self.bundle)
        if since is not None and known is not None and since <= known:
            raise ConfigError(
                f"--since {since.isoformat()}: the bundle knows the events up to "
                f"{known.isoformat()} from training; begin after that, or leave --since out"
            )
        # what is read is later than the start
        start = known if since is None else since - timedelta(microseconds=1)
        return Standing.of(self.bundle, start)

    def _new(self, standing: Standing) -> Iterator[pl.DataFrame]:
        """Events that were not scored before; what is no event is put by."""
        settings = self.settings
        known = standing.recent
        after = standing.start
        if standing.last is not None:
            after = max(filter(None, (after, standing.last - settings.overlap)))
        until = settings.until or datetime.now(UTC)
        reads = standing.bundle.extractor.reads()
        for part in each("load", self.source.batches(after, until, reads)):
            events, doubled = self._unknown(part, known)
            known = pl.concat([known, events.select(known.columns)])
            if len(events):
                newest = time_span(events["timestamp"], events["timestamp"])[1]
                known = known.filter(pl.col("timestamp") > newest - settings.overlap)
            read = len(part.events) + len(part.rejected) + part.doubled
            self._add(
                events_read=read, events_duplicate=doubled, events_rejected=len(part.rejected)
            )
            self._rejected = pl.concat([self._rejected, part.rejected.select(*REJECTED_SCHEMA)])
            yield events

    def _unknown(self, part: NewEvents, known: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        events = part.events
        if not all_differ(events["event_id"]):
            events = events.unique("event_id", keep="first", maintain_order=True)
        events = events.filter(~pl.col("event_id").is_in(known["event_id"].implode()))
        return events, len(part.events) - len(events) + part.doubled

    def _keep(
        self, scored: Scored, quarantine: pl.DataFrame, opened: pl.DataFrame | None = None
    ) -> None:
        rows = scored.rows
        self._add(windows_closed=len(rows), alerts=int(rows["alert"].sum()))
        apart = pl.concat([self._rejected.select(*APART), quarantine])
        self._rejected = self._rejected.clear()
        if not self.settings.dry_run:
            standing = scored.standing
            output = Output(rows, with_digest(apart), standing.files(), standing.batches, opened)
            with span("keep", windows=len(rows)):
                quarantined = self.store.write(self.version, self.role, output)
            self._add(quarantined=quarantined, batches=1)
            if self.told is not None:
                self.told(rows, standing)
        self._time()

    def _finish(self, standing: Standing) -> Standing:
        """Close what can be closed, look at what is open, and keep what was put by."""
        scored = Scored(pl.DataFrame(schema=SCORE_SCHEMA), pl.DataFrame(), standing)
        if self.settings.until is not None:
            scored = close_until(standing, self.settings.until, self.close)
        else:
            moved = replace(standing, batches=standing.batches + 1)
            scored = replace(scored, standing=moved)
        opened = pl.DataFrame(schema=SCORE_SCHEMA)
        if self.settings.open_windows:
            opened = open_rows(scored.standing, self.close)
        elif not (len(scored.rows) or self._done.events_new or len(self._rejected)):
            return standing
        self._add(windows_open=len(opened))
        self._keep(scored, _set_apart(None), opened)
        return scored.standing

    def _add(self, **counts: int) -> None:
        before = asdict(self._done)
        self._done = replace(self._done, **{name: before[name] + n for name, n in counts.items()})

    def _time(self) -> None:
        seconds = time.perf_counter() - self._began
        rate = self._done.events_new / seconds
        self._done = replace(
            self._done, seconds=round(seconds, 3), events_per_second=round(rate, 1)
        )


APART = ("event_id", "rule", "reason", "record")


def open_store(where: str) -> ScoreStore:
    """The store that a path or URL means.

    Raises:
        ConfigError: the URL is not understood.
        DataError: a file stands in the place of the folder.
    """
    return DatabaseStore(where) if "://" in where else FolderStore(Path(where))


def _set_apart(late: pl.DataFrame | None) -> pl.DataFrame:
    """Late events for the quarantine."""
    rows = [] if late is None else list(late.iter_rows(named=True))
    records = [json.dumps(row, default=str, ensure_ascii=False) for row in rows]
    return pl.DataFrame(
        {
            "event_id": [row["event_id"] for row in rows],
            "rule": [LATE[0]] * len(rows),
            "reason": [LATE[1]] * len(rows),
            "record": records,
        },
        schema=dict.fromkeys(APART, pl.String),
    )
