"""Where a scoring job's events come from: files or a table, in order of time, in batches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from riskml.core.errors import DataError
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE
from riskml.data.batch_events import REJECTED_SCHEMA, BatchMaker
from riskml.data.event_mapping import EventMapping
from riskml.data.quality import DUPLICATE_RULE
from riskml.data.sources.base import MappedSource
from riskml.data.sources.csv_file import CsvSource
from riskml.data.sources.json_lines import SUFFIXES as JSON_SUFFIXES
from riskml.data.sources.json_lines import JsonLinesSource
from riskml.data.sources.parquet import ParquetSource
from riskml.data.table_source import Span, TableSource

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
SLICE_ROWS = 100_000


@dataclass(frozen=True)
class NewEvents:
    """Some of a source's rows.

    Args:
        events: usable ones, none earlier than those of the batch before.
        rejected: the others, with rule, reason and record.
        doubled: how many were left out as repeating an id of the same batch.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    doubled: int = 0


class EventSource(Protocol):
    """A log that grows."""

    def check(self) -> str:
        """See that it is there and has what is needed, without reading it; gives its name.

        Raises:
            ConfigError: a setting is impossible.
            DataError: it cannot be read, or lacks a column.
        """
        ...

    def batches(
        self, after: datetime | None, until: datetime, columns: Iterable[str]
    ) -> Iterator[NewEvents]:
        """Events later than `after` and before `until`, in order of time.

        Args:
            after: None: from the first.
            until: this moment is out.
            columns: that are needed, beside the user's time zone.

        Raises:
            DataError: the source cannot be read, or too many of its rows are unusable.
        """
        ...


def open_source(
    where: str, table: str, mapping: EventMapping, rows: int, separator: str | None = None
) -> EventSource:
    """The source that a path or URL means.

    Args:
        where: a file, a folder, a glob, or a SQLAlchemy URL.
        table: of a database.
        mapping: what columns mean.
        rows: in memory at a time.
        separator: of a CSV file, None: as its name tells.

    Raises:
        ConfigError: the URL is not understood.
        DataError: there is no such path.
    """
    if "://" in where:
        return TableEvents(TableSource.of(where, table, mapping), mapping, rows)
    return FileEvents(where, mapping, rows, separator)


class TableEvents:
    """A table, such as the event store of `riskml load`.

    Args:
        source: the table.
        mapping: what its columns mean.
        rows: in memory at a time.
    """

    def __init__(self, source: TableSource, mapping: EventMapping, rows: int) -> None:
        self._source, self._rows = source, rows
        timed = {**mapping.columns, "timestamp": source.time_column}
        self._mapping = EventMapping(
            timed,
            mapping.time_zone,
            default_action=mapping.default_action,
            max_rejected_share=mapping.max_rejected_share,
        )

    def check(self) -> str:
        """By the columns of the table, and a row of it."""
        self._checked()
        self._source.read_a_row()
        return f"table {self._source.name}"

    def _checked(self) -> BatchMaker:
        maker = BatchMaker(self._mapping, self._source.name, self._source.columns)
        self._source.check(maker.event_id)
        return maker

    def batches(
        self, after: datetime | None, until: datetime, columns: Iterable[str]
    ) -> Iterator[NewEvents]:
        """Rows by their time, through a server-side cursor."""
        maker = self._checked()
        with closing(self._source.batches(Span(after, until), self._rows)) as parts:
            for rows in parts:
                batch = maker.make(rows)
                events = batch.events.filter(pl.col("timestamp") < until)
                yield NewEvents(_needed(events, columns), batch.rejected, batch.doubled)


class FileEvents:
    """Parquet, CSV or JSON-lines files; they may be in any order of time.

    They are read once into temporary files, so that a log with too many bad rows is refused
    before anything is scored, and sorted there by slices of time where they need it.

    Args:
        where: a file, a folder, or a glob.
        mapping: what columns mean.
        rows: in memory at a time.
        separator: of a CSV file, None: as its name tells.
    """

    def __init__(
        self, where: str, mapping: EventMapping, rows: int, separator: str | None = None
    ) -> None:
        self._source, self._rows = _of_suffix(where, mapping, separator), rows

    def check(self) -> str:
        """By the first rows of the files."""
        return self._source.check()

    def batches(
        self, after: datetime | None, until: datetime, columns: Iterable[str]
    ) -> Iterator[NewEvents]:
        """The files' events, sorted."""
        with tempfile.TemporaryDirectory(prefix="riskml-score-") as folder:
            spool = _Spool(Path(folder))
            for log in self._source.batches(max(self._rows, SLICE_ROWS)):
                doubled = log.rejected["rule"] == DUPLICATE_RULE.name
                bad = log.rejected.filter(~doubled)
                if len(bad) or doubled.any():
                    none = log.events.clear()
                    rejected = bad.with_columns(event_id=pl.lit(None, pl.String))
                    yield NewEvents(none, rejected, int(doubled.sum()))
                events = log.events.filter(pl.col("timestamp") < until)
                if after is not None:
                    events = events.filter(pl.col("timestamp") > after)
                spool.add(_needed(events, columns))
            for events in spool.sorted(max(self._rows, SLICE_ROWS)):
                yield NewEvents(events, pl.DataFrame(schema=REJECTED_SCHEMA))


class _Spool:
    """Batches of events on disk, and their times in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._spans: list[tuple[datetime, datetime]] = []
        self._times: list[pl.Series] = []

    def add(self, events: pl.DataFrame) -> None:
        """Keep a batch, which is sorted by time in itself."""
        if events.is_empty():
            return
        path = self._folder / f"{len(self._files):06d}.parquet"
        events.write_parquet(path, compression="lz4", row_group_size=SLICE_ROWS)
        self._files.append(path)
        times = events["timestamp"]
        self._spans.append((times[0], times[-1]))
        self._times.append(times)

    def sorted(self, rows: int) -> Iterator[pl.DataFrame]:
        """All events in order of time, about `rows` at a time; those of one moment together."""
        in_order = all(
            before[1] < after[0]
            for before, after in zip(self._spans, self._spans[1:], strict=False)
        )
        if in_order:
            self._times.clear()
            for file in self._files:
                yield pl.read_parquet(file, glob=False)
            return
        cuts = pl.concat(self._times).sort().gather_every(rows)[1:].unique().to_list()
        self._times.clear()
        for start, end in zip([None, *cuts], [*cuts, None], strict=True):
            parts = [
                pl.scan_parquet(file, glob=False).filter(*_within(start, end))
                for file, (first, last) in zip(self._files, self._spans, strict=True)
                if (end is None or first < end) and (start is None or last >= start)
            ]
            yield pl.concat(parts, how="vertical_relaxed").collect().sort("timestamp")


def _within(start: datetime | None, end: datetime | None) -> list[pl.Expr]:
    time = pl.col("timestamp")
    found = [] if start is None else [time >= start]
    return found if end is None else [*found, time < end]


def _needed(events: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    wanted = [*EVENT_SCHEMA, *columns, TIME_ZONE]
    return events.select(name for name in dict.fromkeys(wanted) if name in events.columns)


def _of_suffix(where: str, mapping: EventMapping, separator: str | None) -> MappedSource:
    path = Path(where).expanduser()
    settings: dict[str, Any] = {
        "columns": dict(mapping.columns),
        "time_zone": mapping.time_zone,
        "timestamp_format": mapping.timestamp_format,
        "default_action": mapping.default_action,
        "max_rejected_share": mapping.max_rejected_share,
    }
    name = path.name.lower()
    if path.is_dir():
        inside = [file.name.lower() for file in sorted(path.rglob("*")) if file.is_file()]
        name = next((n for n in inside if n.endswith((".parquet", ".pq", *JSON_SUFFIXES))), name)
    if name.endswith(CSV_SUFFIXES):
        usual = "\t" if ".tsv" in name else ","
        return CsvSource(path, separator=separator or usual, **settings)
    if name.endswith(JSON_SUFFIXES):
        return JsonLinesSource(path, **settings)
    if name.endswith((".parquet", ".pq")) or path.is_dir():
        return ParquetSource(path, **settings)
    raise DataError(
        f"--source {where}: its name tells no kind; give .parquet, .csv or .jsonl files, a folder "
        "of Parquet or JSON files, or a database URL"
    )
