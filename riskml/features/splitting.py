"""A Parquet log of any size → one folder of events for each bucket of users, by DuckDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.schema import EVENT_SCHEMA, REQUIRED_COLUMNS, TIME_ZONE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TYPES = {"String": "VARCHAR", "Boolean": "BOOLEAN", "Datetime": "TIMESTAMP WITH TIME ZONE"}
_INSTANTS = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")

# Sizes, counts and extremes of all columns tell a file whatever its name; a file that holds no
# extremes of its times is told by its name too.
_FINGERPRINTS = """
    SELECT file_name, md5(string_agg(concat_ws('|', row_group_id, path_in_schema,
        row_group_num_rows, num_values, total_compressed_size,
        CASE WHEN path_in_schema = 'timestamp' THEN coalesce(stats_min_value, file_name)
        ELSE stats_min_value END, stats_max_value), '\\n' ORDER BY row_group_id, column_id))
    FROM parquet_metadata({files}) WHERE row_group_num_rows > 0 GROUP BY file_name
"""


@dataclass(frozen=True)
class Split:
    """What was split.

    Attributes:
        files: a fingerprint of each file that was taken in.
        known: how many files were left out because they had been taken in before.
        buckets: those that have events.
        latest: the time of the latest event; None if no file is new.
    """

    files: tuple[str, ...]
    known: int
    buckets: tuple[int, ...] = ()
    latest: datetime | None = None


def split_by_user(
    files: str,
    folder: Path,
    columns: Iterable[str],
    buckets: int,
    memory: str = "1GB",
    known: Collection[str] = (),
) -> Split:
    """Write each user's events into one of `buckets` folders, within a memory limit.

    Args:
        files: Parquet files in the event schema: a path, a folder, or a glob.
        folder: where the buckets go; an earlier split is replaced.
        columns: of the log that are kept, and `time_zone` if it is there.
        buckets: into how many.
        memory: limit for the engine, e.g. 1GB; it spills to disk beyond.
        known: fingerprints of files that are left out (see `Split.files`).

    Returns:
        What was split.

    Raises:
        DataError: no such files, no events, a column is missing or of another type, or events
            without user, time or action.
        ConfigError: the limit is not understood.
    """
    import duckdb

    require("buckets", buckets, buckets >= 1, "must be at least 1")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with duckdb.connect() as engine:
        _limit(engine, memory, folder / ".spill", buckets)
        try:
            found = _fingerprints(engine, files)
            new = {print_: name for name, print_ in found if print_ not in known}
            if not new:
                return Split((), len(found))
            source = f"read_parquet({_list(sorted(new.values()))}, union_by_name = true, "
            source += "hive_partitioning = false)"
            kept = _columns(engine, source, files, columns)
            latest = _checked(engine, source, files)
            # a hash of no engine's own, so that a later release finds the same buckets
            bucket = f"md5_number_lower(CAST(user_id AS VARCHAR)) % {buckets} AS bucket"
            engine.execute(
                f"COPY (SELECT {kept}, {bucket} FROM {source}) "  # noqa: S608  names are quoted
                f"TO {_quoted(str(folder))} (FORMAT parquet, PARTITION_BY (bucket))"
            )
        except duckdb.Error as error:
            raise DataError(f"{files} cannot be split: {str(error).splitlines()[0]}") from error
    shutil.rmtree(folder / ".spill", ignore_errors=True)
    there = sorted(int(path.name.removeprefix("bucket=")) for path in folder.glob("bucket=*"))
    return Split(tuple(sorted(new)), len(found) - len(new), tuple(there), latest)


def _limit(engine: DuckDBPyConnection, memory: str, spill: Path, buckets: int) -> None:
    import duckdb

    try:
        if memory.strip().startswith("-"):  # DuckDB takes it for no limit
            raise ConfigError(f"memory={memory!r} is no size; write for example 2GB")
        engine.execute("SET memory_limit = ?", [memory])
    except duckdb.Error as error:
        raise ConfigError(f"memory={memory!r} is no size; write for example 2GB") from error
    engine.execute("SET preserve_insertion_order = false")
    engine.execute("SET temp_directory = ?", [str(spill)])
    engine.execute("SET partitioned_write_max_open_files = ?", [buckets])


def _fingerprints(engine: DuckDBPyConnection, files: str) -> list[tuple[str, str]]:
    """Name and fingerprint of each file that holds events."""
    pattern = os.path.expanduser(files)
    if Path(pattern).is_dir():
        pattern = f"{_literal(pattern)}/**/*.parquet"
    elif Path(pattern).is_file():
        pattern = _literal(pattern)
    names = [row[0] for row in engine.execute("SELECT file FROM glob(?)", [pattern]).fetchall()]
    if not names:
        raise DataError(
            f"no file matches {files!r}: give a Parquet file, a folder of them, or a glob in "
            "quotes such as 'log/**/*.parquet'"
        )
    found = engine.execute(_FINGERPRINTS.format(files=_list(names))).fetchall()
    if not found:
        raise DataError(f"{files} holds no events")
    return found


def _columns(engine: DuckDBPyConnection, source: str, files: str, columns: Iterable[str]) -> str:
    """The columns to keep as SQL, in the types of the event schema."""
    there = {row[0]: row[1] for row in engine.execute(f"DESCRIBE FROM {source}").fetchall()}
    wanted = dict.fromkeys((*columns, *({TIME_ZONE} & there.keys())))
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DataError(
            f"{files} has no column '{missing[0]}', which the extractor reads: "
            f"{did_you_mean(missing[0], there)}"
        )
    if there["timestamp"] not in _INSTANTS:
        raise DataError(
            f"{files}: column 'timestamp' is {there['timestamp']}, not instants in UTC; write it "
            "with a time zone (Parquet: isAdjustedToUTC)"
        )
    parts = []
    for name in wanted:
        column = '"' + name.replace('"', '""') + '"'
        kind = EVENT_SCHEMA.get(name)
        value = column if kind is None else f"CAST({column} AS {_TYPES[type(kind).__name__]})"
        parts.append(f"{value} AS {column}")
    return ", ".join(parts)


def _checked(engine: DuckDBPyConnection, source: str, files: str) -> datetime:
    """The latest time, once every event is known to have user, time and action."""
    counts = ", ".join(f"count(*) - count({name})" for name in REQUIRED_COLUMNS)
    latest = "epoch_us(CAST(max(timestamp) AS TIMESTAMP WITH TIME ZONE))"
    row = engine.execute(f"SELECT {latest}, {counts} FROM {source}").fetchone()  # noqa: S608  names are quoted
    assert row is not None
    for name, without in zip(REQUIRED_COLUMNS, row[1:], strict=True):
        if without:
            raise DataError(
                f"{files}: {without:,} events have no '{name}'; leave them out "
                "(docs/quality.md: quarantine)"
            )
    return datetime.fromtimestamp(row[0] // 1_000_000, UTC) + timedelta(
        microseconds=row[0] % 1_000_000
    )


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(_quoted(_literal(name)) for name in names) + "]"


def _literal(path: str) -> str:
    """A path as a glob that matches it alone."""
    return "".join(f"[{sign}]" if sign in "[*?" else sign for sign in path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
