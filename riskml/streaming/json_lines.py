"""Scores and dead letters as JSON lines, to a file or to standard output."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import orjson
import polars as pl

from riskml.core.errors import DataError
from riskml.streaming.ends import DeadLetter

AS_JSON = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def row_json(row: dict[str, object]) -> bytes:
    """A row of a window, its reasons and the ids of its events as values."""
    found = {name: row[name] for name in ("reasons", "event_ids")}
    told = {n: None if text is None else orjson.loads(str(text)) for n, text in found.items()}
    return orjson.dumps({**row, **told}, option=AS_JSON)


def _opened(path: Path | None, option: str) -> BinaryIO:
    if path is None:
        return sys.stdout.buffer
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise DataError(f"{option} {path}: {error.strerror}") from error


class _Lines:
    def __init__(self, path: Path | None, option: str) -> None:
        self._path, self._file = path, _opened(path, option)

    def settle(self) -> None:
        """Flush, and have a file on disk."""
        self._file.flush()
        if self._path is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        self._file.flush()
        if self._path is not None:
            self._file.close()


class LineSink(_Lines):
    """One line a row. A replay adds the same rows again: the last line of a window counts.

    Args:
        path: of the file, added to; None: standard output.
        alerts_only: leave out rows without an alert, or a change of one.
    """

    def __init__(self, path: Path | None, alerts_only: bool = False) -> None:
        super().__init__(path, "--sink")
        self._alerts_only = alerts_only

    def write(self, rows: pl.DataFrame) -> None:
        """Add the rows."""
        if self._alerts_only:
            rows = rows.filter(pl.col("raised").is_not_null())
        self._file.writelines(row_json(row) for row in rows.iter_rows(named=True))
        if self._path is None:
            self._file.flush()


class LineLetters(_Lines):
    """One line a dead letter, its bytes as base64.

    Args:
        path: of the file, added to.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "--dead-letters")

    def put(self, letters: list[DeadLetter]) -> None:
        """Add them."""
        for letter in letters:
            row = asdict(letter)
            for name in ("value", "key"):
                row[name] = None if row[name] is None else base64.b64encode(row[name]).decode()
            self._file.write(orjson.dumps(row, option=AS_JSON))


def read_letters(path: Path) -> Iterator[DeadLetter]:
    """What `LineLetters` wrote.

    Raises:
        DataError: the file cannot be read, or a line is no dead letter.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = orjson.loads(line)
                    value, key = base64.b64decode(row["value"]), row["key"]
                    key = None if key is None else base64.b64decode(key)
                    letter = DeadLetter(**(row | {"value": value, "key": key}))
                except (ValueError, TypeError, KeyError) as error:
                    raise DataError(f"{path} line {number} is no dead letter: {error}") from error
                yield letter
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
