"""Logs on disk: CSV and Parquet, read into events with the unusable rows set apart."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from riskml.core.errors import DataError
from riskml.data.csv_records import parse_separator, read_csv
from riskml.data.event_mapping import EventLog, EventMapping, LogTable
from riskml.data.quality import REJECTED_SCHEMA

__all__ = ["CsvSource", "EventLog", "ParquetSource"]

PARQUET_SUFFIXES = (".parquet", ".pq")
EMPTY_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class CsvSource:
    r"""A CSV file, plain or gzipped, with a header line.

    Args:
        path: of the file.
        columns: event column -> column of the log, see `EventMapping` for all rules.
        time_zone: IANA name for timestamps without a zone.
        timestamp_format: strftime format of the timestamps, None to recognise it.
        separator: between fields; `\t` and `tab` may be spelt out.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.
    """

    path: str | Path
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    timestamp_format: str | None = None
    separator: str = ","
    default_action: str | None = None
    max_rejected_share: float = 0.2

    def load(self) -> EventLog:
        """Read the file: rows in `events` and `rejected` together are the rows of the file.

        Raises:
            ConfigError: a setting is impossible.
            DataError: there is no such file, it is no CSV, required columns are missing, no
                timestamp can be read, or too many rows are unusable.
        """
        mapping = EventMapping(
            columns=dict(self.columns),
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            default_action=self.default_action,
            max_rejected_share=self.max_rejected_share,
        )
        separator = parse_separator(self.separator)
        path = Path(self.path).expanduser()
        if path.is_dir():
            raise DataError(f"{path} is a folder; give one CSV file")
        if not path.exists():
            raise DataError(_not_found(path))
        return mapping.apply(read_csv(path, separator))


@dataclass(frozen=True)
class ParquetSource:
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

    def load(self) -> EventLog:
        """Read the files: rows in `events` and `rejected` together are the rows of the files.

        Raises:
            ConfigError: a setting is impossible.
            DataError: there is no such file, it is no Parquet, required columns are missing, no
                timestamp can be read, or too many rows are unusable.
        """
        mapping = EventMapping(
            columns=dict(self.columns),
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            default_action=self.default_action,
            max_rejected_share=self.max_rejected_share,
        )
        return mapping.apply(_read_parquet(Path(self.path).expanduser()))


def _read_parquet(path: Path) -> LogTable:
    root, files = _parquet_files(path)
    names = [file.relative_to(root).as_posix() for file in files]
    tables = [_read_one(file, name) for file, name in zip(files, names, strict=True)]
    try:
        rows = pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: its files have the same column with types that do not go together: {error}"
        ) from error
    if rows.is_empty():
        raise DataError(f"{path} has columns but no rows")
    origins = [
        pl.select(file=pl.lit(name), row=pl.int_range(1, len(table) + 1))
        for name, table in zip(names, tables, strict=True)
    ]
    return LogTable(path.name, rows, pl.concat(origins), pl.DataFrame(schema=REJECTED_SCHEMA))


def _parquet_files(path: Path) -> tuple[Path, list[Path]]:
    """The folder that file names are relative to, and the files in order."""
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        root, matches = path, [path]
    elif glob.has_magic(str(path)):
        plain = takewhile(lambda part: not glob.has_magic(part), path.parts)
        root, matches = (
            Path(*plain),
            [Path(match) for match in glob.glob(str(path), recursive=True)],
        )
    else:
        raise DataError(_not_found(path))
    files = {match for match in matches if match.is_file()}
    for folder in matches:
        files.update(file for file in folder.rglob("*") if _is_part(file.relative_to(folder)))
    if not files:
        raise DataError(f"{path} holds no Parquet file (*.parquet or *.pq)")
    return root, sorted(files)


def _is_part(file: Path) -> bool:
    """Whether a file in a folder belongs to the log; engines hide theirs with `_` or `.`."""
    return file.suffix in PARQUET_SUFFIXES and not any(
        part.startswith(("_", ".")) for part in file.parts
    )


def _read_one(file: Path, name: str) -> pl.DataFrame:
    """One file and, as text columns, the partition keys in its name."""
    try:
        table = pl.read_parquet(file, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name} cannot be read as a Parquet file: {reason}") from error
    keys = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return table.with_columns(
        pl.lit(None if value == EMPTY_PARTITION else unquote(value), pl.String).alias(key)
        for key, _, value in keys
        if key not in table.columns
    )


def _not_found(path: Path) -> str:
    """The message, with the nearest names in the folder."""
    if not path.parent.is_dir():
        return f"{path} does not exist, nor does its folder"
    names = sorted(entry.name for entry in path.parent.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{path} does not exist{hint}"
