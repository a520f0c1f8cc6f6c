"""Parquet files: one, a partitioned folder, or a pattern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from riskml.core.errors import DataError
from riskml.data.event_mapping import LogTable
from riskml.data.sources.base import MappedSource, no_rejected, origin
from riskml.data.sources.files import find_files

SUFFIXES = (".parquet", ".pq")
EMPTY_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class ParquetSource(MappedSource):
    """A Parquet file, a folder of them (also partitioned as `key=value/`), or a glob.

    Files of a folder may differ in columns; a missing one is null. Values of partition keys are
    text. Files and folders whose names begin with `_` or `.` are left out.

    Args:
        path: of the file or folder, or a pattern with `*`, `**` or `?`.
        columns: event column -> column of the log, see `EventMapping` for all rules.
        time_zone: IANA name for timestamps without a zone.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.
        timestamp_format: strftime format of timestamps that are text, None to recognise it.
    """

    path: str | Path
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2
    timestamp_format: str | None = None

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows of the files, all with the columns of all, file after file."""
        path = Path(self.path).expanduser()
        root, files = find_files(path, SUFFIXES, "Parquet")
        names = [file.relative_to(root).as_posix() for file in files]
        scans = [_scan(file, name) for file, name in zip(files, names, strict=True)]
        every_column = _every_column(path, scans, names)
        found = False
        for scan, name in zip(scans, names, strict=True):
            first = 1
            for part in _collect(scan, name, rows):
                table = pl.concat([every_column, part], how="diagonal_relaxed")
                place = origin(name, range(first, first + len(part)))
                first += len(part)
                found |= len(part) > 0
                yield LogTable(path.name, table, place, no_rejected())
        if not found:
            raise DataError(f"{path} has columns but no rows")


def _scan(file: Path, name: str) -> pl.LazyFrame:
    """One file and, as text columns, the partition keys in its name."""
    scan = pl.scan_parquet(file, hive_partitioning=False, glob=False)
    columns = _schema(scan, name).names()
    keys = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return scan.with_columns(
        pl.lit(None if value == EMPTY_PARTITION else unquote(value), pl.String).alias(key)
        for key, _, value in keys
        if key not in columns
    )


def _schema(scan: pl.LazyFrame, name: str) -> pl.Schema:
    try:
        return scan.collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(name, error) from error


def _every_column(path: Path, scans: list[pl.LazyFrame], names: list[str]) -> pl.DataFrame:
    """No rows, but the columns of all files with types that hold the values of all."""
    schemas = [_schema(scan, name) for scan, name in zip(scans, names, strict=True)]
    try:
        return pl.concat([schema.to_frame() for schema in schemas], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: its files have the same column with types that do not go together: {error}"
        ) from error


def _collect(scan: pl.LazyFrame, name: str, rows: int) -> Iterator[pl.DataFrame]:
    """The rows in order, by the streaming engine, which reads no further than it must."""
    try:
        yield from scan.collect_batches(chunk_size=rows, maintain_order=True, lazy=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: BaseException) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"{name} cannot be read as a Parquet file: {reason}; CSV is read with data=csv, JSON with "
        "data=jsonl"
    )
