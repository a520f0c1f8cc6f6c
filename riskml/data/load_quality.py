"""Whether what was loaded of a span of time is fit to be scored: asked of the store, at any time.

The answer is the same whenever it is asked, since it does not look at what one run did.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Table, func, inspect, select
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.schema import EVENT_SCHEMA
from riskml.data.batch_checks import ACTIONS, IGNORE, REFUSE, WARN
from riskml.data.batch_reference import BatchReference, odd_whole_days
from riskml.data.database import database_errors
from riskml.data.event_store import EventStore
from riskml.data.event_tables import (
    TIME,
    event_table,
    late_table,
    pipeline_table,
    quarantine_table,
    watermark_table,
)


@dataclass(frozen=True)
class SpanLimits:
    """What a span of time is held to.

    Args:
        max_rejected_share: of its rows that may lie in quarantine, 0 to 1.
        max_late_share: of its rows that may have come too late to be loaded, 0 to 1.
        least_events: that there must be.
        volume: what a day with far more or far fewer events than that weekday had does: ignore,
            warn or refuse.
        volume_weeks: weeks before that a day is compared with.

    Raises:
        ConfigError: a setting is impossible.
    """

    max_rejected_share: float = 0.05
    max_late_share: float = 0.05
    least_events: int = 1
    volume: str = ACTIONS["volume"]
    volume_weeks: int = 8

    def __post_init__(self) -> None:
        for name in ("max_rejected_share", "max_late_share"):
            share = getattr(self, name)
            require(name, share, 0 <= share <= 1, "must be a share between 0 and 1")
        require("least_events", self.least_events, self.least_events >= 0, "must be 0 or more")
        require("volume_weeks", self.volume_weeks, self.volume_weeks >= 1, "must be at least 1")
        if self.volume not in (IGNORE, WARN, REFUSE):
            hint = did_you_mean(self.volume, (IGNORE, WARN, REFUSE))
            raise ConfigError(f"volume={self.volume}: {hint}")


@dataclass(frozen=True)
class SpanQuality:
    """What was found.

    Args:
        pipeline: that loaded the span.
        since: its first moment.
        until: the moment after it.
        events: of all pipelines that are in the store.
        rejected: rows of the span in quarantine. One without a usable time counts where it was
            noticed.
        late: rows that came too late and are not stored.
        faults: why it is not fit to be scored.
        warnings: what should be looked at.
    """

    pipeline: str
    since: datetime
    until: datetime
    events: int
    rejected: int
    late: int
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it is fit to be scored."""
        return not self.faults

    def summary(self) -> str:
        """One line for people."""
        fit = "fit to be scored" if self.passed else "not fit to be scored"
        return (
            f"{self.pipeline}: {self.events:,} events, {self.rejected:,} rejected, "
            f"{self.late:,} too late from {self.since:%F %H:%M} to {self.until:%F %H:%M} UTC; {fit}"
        )


class SpanGate:
    """Judges spans of time that a pipeline has loaded.

    Args:
        store: with the events.
        pipeline: that filled it.
        limits: what a span is held to.
        time_column: of the source, as rows in quarantine have it.
        time_zone: of times there without a zone.
    """

    def __init__(
        self,
        store: EventStore,
        pipeline: str,
        limits: SpanLimits,
        time_column: str = TIME,
        time_zone: str | None = None,
    ) -> None:
        self._store, self._pipeline, self._limits = store, pipeline, limits
        self._time_column, self._zone = time_column, ZoneInfo(time_zone or "UTC")

    def judge_days(
        self, since: datetime, until: datetime, accepted: Collection[date] = ()
    ) -> SpanQuality:
        """Look at each day (UTC) of a span by itself: a bad one must not hide among good ones.

        Days before the first event of the store are left out.

        Args:
            since: the first moment.
            until: the moment after the last.
            accepted: days that somebody has looked at, whose faults count as warnings.

        Raises:
            ConfigError: the span has no length.
            DataError: the store cannot be read, or nothing was loaded by this pipeline.
        """
        whole = self.judge(since, until)
        first = self._first()
        begin = since if first is None else max(since, _midnight(first))
        faults, warnings = list[str](), list[str]()
        while begin < until:
            end = min(_midnight(begin) + timedelta(days=1), until)
            day = self.judge(begin, end)
            told = faults if begin.date() not in accepted else warnings
            told += [f"{begin:%F}: {fault}" for fault in day.faults]
            warnings += day.warnings
            begin = end
        return replace(whole, faults=tuple(faults), warnings=tuple(warnings))

    def judge(self, since: datetime, until: datetime) -> SpanQuality:
        """Look at a span as a whole; nothing is written.

        Args:
            since: its first moment.
            until: the moment after it.

        Raises:
            ConfigError: it has no length.
            DataError: the store cannot be read, or nothing was loaded by this pipeline.
        """
        if since >= until:
            raise ConfigError("--since must be before --until")
        with (
            database_errors("the event store cannot be read"),
            self._store.engine.connect() as connection,
        ):
            self._check_pipeline(connection)
            events = self._events(connection, since, until)
            late = self._late(connection, since, until)
            rejected = self._rejected(connection, since, until)
            reference = self._reference(connection)
        faults, warnings = self._shares(events, rejected, late), list[str]()
        odd = self._odd(reference, since, until)
        (faults if self._limits.volume == REFUSE else warnings).extend(odd)
        found = (events, rejected, late, tuple(faults), tuple(warnings))
        return SpanQuality(self._pipeline, since, until, *found)

    def _check_pipeline(self, connection: Connection) -> None:
        marks = watermark_table()
        names: list[str] = []
        if inspect(connection).has_table(marks.name):
            names = list(connection.execute(select(marks.c.pipeline)).scalars())
        if self._pipeline not in names:
            told = did_you_mean(self._pipeline, names) if names else "it has loaded nothing yet"
            raise DataError(f"the store knows no pipeline '{self._pipeline}': {told}")

    @property
    def _table(self) -> Table:
        schema = {TIME if name == "timestamp" else name: k for name, k in EVENT_SCHEMA.items()}
        return event_table(self._store.name, schema, self._store.is_postgresql)

    def _first(self) -> datetime | None:
        """Time of the first event of the store."""
        table = self._table
        with self._store.engine.connect() as connection:
            if not inspect(connection).has_table(table.name):
                return None
            found = connection.execute(select(func.min(table.c[TIME]))).scalar()
        return None if found is None else _in_utc(found, UTC)

    def _events(self, connection: Connection, since: datetime, until: datetime) -> int:
        table = self._table
        if not inspect(connection).has_table(table.name):
            return 0  # all rows so far went to quarantine
        return self._count(connection, table, _within(table, TIME, since, until))

    def _late(self, connection: Connection, since: datetime, until: datetime) -> int:
        table = late_table(self._store.name)
        stored = select(self._store.ids.c.event_id)
        mine = (table.c.pipeline == self._pipeline) & table.c.event_id.not_in(stored)
        return self._count(connection, table, mine & _within(table, TIME, since, until))

    def _count(self, connection: Connection, table: Table, which: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(table).where(which)
        return int(connection.execute(query).scalar_one())

    def _rejected(self, connection: Connection, since: datetime, until: datetime) -> int:
        """Rows of the span in quarantine; none was noticed before it began."""
        table = quarantine_table(self._store.name)
        mine = (table.c.pipeline == self._pipeline) & (table.c.noticed >= since)
        rows = connection.execute(select(table.c.record, table.c.noticed).where(mine))
        times = (self._time(record) or noticed for record, noticed in rows)
        return sum(since <= time < until for time in times)

    def _time(self, record: str) -> datetime | None:
        """Of a row in quarantine; None where it has none, or where names were taken out."""
        try:
            found: Any = json.loads(record)
            time = datetime.fromisoformat(found.get(self._time_column) or found["timestamp"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return _in_utc(time, self._zone)

    def _reference(self, connection: Connection) -> BatchReference:
        table = pipeline_table()
        mine = table.c.pipeline == self._pipeline
        kept = connection.execute(select(table.c.reference).where(mine)).scalar()
        where = f"riskml_pipelines, column reference, of pipeline '{self._pipeline}'"
        return BatchReference() if kept is None else BatchReference.from_json(kept, where)

    def _shares(self, events: int, rejected: int, late: int) -> list[str]:
        limits, rows = self._limits, events + rejected + late
        faults = []
        if events < limits.least_events:
            faults.append(
                f"{events:,} events, fewer than least_events={limits.least_events} asks for"
            )
        for count, what, name in (
            (rejected, "lie in quarantine", "max_rejected_share"),
            (late, "came too late and are not stored", "max_late_share"),
        ):
            limit = getattr(limits, name)
            if count > limit * rows:
                share = f"{count:,} of {rows:,} rows ({count / rows:.1%})"
                faults.append(f"{share} {what}, more than {name}={limit:g} allows")
        return faults

    def _odd(self, reference: BatchReference, since: datetime, until: datetime) -> list[str]:
        """Whole UTC days of the span with an odd number of events."""
        if self._limits.volume == IGNORE:
            return []
        first = (since + timedelta(days=1, microseconds=-1)).date()
        last = until.date() - timedelta(days=1)
        return [
            f"{odd.day:%A %F} has {odd.events:,} events; by the last {self._limits.volume_weeks} "
            f"weeks {odd.low:,} to {odd.high:,} are usual (volume={self._limits.volume})"
            for odd in odd_whole_days(reference, first, last, self._limits.volume_weeks)
        ]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _in_utc(moment: datetime, zone: tzinfo) -> datetime:
    """A moment that has no zone is of this one."""
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)


def _within(table: Table, column: str, since: datetime, until: datetime) -> ColumnElement[bool]:
    time: ColumnElement[datetime] = table.c[column]
    return (time >= since) & (time < until)
