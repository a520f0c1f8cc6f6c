"""JSON logs: lines, arrays or wrapped arrays, in one file or many."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl

from riskml.core.errors import DataError
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE, is_truth
from riskml.data.event_mapping import LogTable
from riskml.data.sources.base import MappedSource, origin
from riskml.data.sources.files import find_files
from riskml.data.sources.json_records import (
    MAX_FIELDS,
    FieldReader,
    Records,
    find_fields,
    read_records,
    unreadable,
)

SUFFIXES = tuple(
    f".{name}{packed}" for name in ("json", "jsonl", "ndjson") for packed in ("", ".gz")
)
SAMPLE = 10_000
"""Records at the beginning of a log that show which fields it has."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JsonLinesSource(MappedSource):
    """JSON records, one a line, plain or gzipped: one file, a folder or a pattern.

    Fields inside others are named with dots (`userIdentity.arn`, `resources.0.ARN`), in `columns`
    as in the events. A file may also be an array of records, or an object around one. The fields
    that pass through are those of the first 10,000 records; name others with `keep`.

    Args:
        path: of the file or folder, or a pattern with `*`, `**` or `?`.
        columns: event column -> field, see `EventMapping` for all rules.
        time_zone: IANA name for timestamps without a zone.
        timestamp_format: strftime format of the timestamps, None to recognise it.
        default_action: action of records that name none.
        max_rejected_share: largest share of unusable records that is tolerated, 0 to 1.
        list_key: field whose array holds the records, where an object is around them.
        keep: fields that pass through, None for all.
    """

    path: str | Path
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    timestamp_format: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2
    list_key: str | None = None
    keep: Sequence[str] | None = None

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The records, their fields as columns of text."""
        path = Path(self.path).expanduser()
        reader = FieldReader(self._fields(path))
        for records in json_files(path, rows, self.list_key):
            yield json_table(path, records, reader.read(records.lines["text"]))

    def _fields(self, path: Path) -> list[str]:
        texts: list[pl.Series] = []
        rejected: list[pl.DataFrame] = []
        for records in json_files(path, SAMPLE, self.list_key):
            texts.append(records.lines["text"][:SAMPLE])
            rejected.append(records.rejected[:1])
            if sum(map(len, texts)) >= SAMPLE:
                break
        if not any(map(len, texts)):  # else the message would be about columns
            first = pl.concat(rejected).row(0, named=True)
            raise DataError(
                f"{path.name} holds no JSON record: {first['file']} row {first['row']}, "
                f"{first['rule']} ({first['reason']}); give a JSON object a line, or an "
                "array of them"
            )
        found = find_fields(pl.concat(texts))
        named = [name for name in self.columns.values() if name is not None]
        if self.keep is None:
            wanted = found
            if len(wanted) > MAX_FIELDS:
                _logger.warning(
                    "%s has %d fields; the first %d pass through. Say which you need: keep=[a,b.c]",
                    path.name,
                    len(found),
                    MAX_FIELDS,
                )
                wanted = found[:MAX_FIELDS]
        else:
            wanted = list(self.keep)
        own = [name for name in found if name in (*EVENT_SCHEMA, TIME_ZONE) or is_truth(name)]
        # A field that is an object in whole may be named too, though only its parts are found.
        known = [name for name in named if name in found or _is_above(name, found)]
        return list(dict.fromkeys([*wanted, *own, *known]))


def _is_above(name: str, found: Sequence[str]) -> bool:
    parts = name.split(".")
    is_element = any(part.isdigit() for part in parts)
    return is_element or any(other.startswith(f"{name}.") for other in found)


def json_files(path: Path, rows: int, list_key: str | None) -> Iterator[Records]:
    """The records of all files; a damaged one of many is set apart as a whole.

    Raises:
        DataError: there is no file, or the only one is damaged, or none holds a record.
    """
    root, files = find_files(path, SUFFIXES, "JSON")
    found = False
    with duckdb.connect() as connection:
        for file in files:
            name = file.relative_to(root).as_posix()
            try:
                for records in read_records(connection, file, name, rows, list_key):
                    found |= len(records.lines) + len(records.rejected) > 0
                    yield records
            except DataError as error:
                if len(files) == 1:
                    raise
                _logger.warning("%s", error)
                yield unreadable(name, error)
    if not found:
        raise DataError(f"{path} holds no records")


def json_table(path: Path, records: Records, rows: pl.DataFrame) -> LogTable:
    """Records with their columns."""
    return LogTable(path.name, rows, origin(records.file, records.lines["row"]), records.rejected)
