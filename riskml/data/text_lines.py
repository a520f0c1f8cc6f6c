"""Text files, plain or gzipped, in pieces of some lines, whatever bytes they hold."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, cast

import polars as pl

from riskml.core.errors import DataError

GZIP, UTF_8_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
OTHER_KINDS = {
    b"PAR1": "a Parquet file: use data=parquet",
    b"PK\x03\x04": "a zip archive: unpack it",
}
LOOK_AHEAD = 1 << 20
"""Bytes in which a file shows its encoding and how its lines end."""


def line_chunks(path: Path, rows: int, kind: str = "CSV text") -> Iterator[pl.DataFrame]:
    r"""Read the lines of a file, `rows` at a time.

    Args:
        path: of the file.
        rows: lines that are held at once.
        kind: what the file should be, for messages.

    Yields:
        row (line number from 1), text (without its end; bytes that are not UTF-8 stand as `\xNN`)
        and valid_utf8.

    Raises:
        DataError: the file cannot be read, is damaged or of another kind.
    """
    with ExitStack() as stack:
        try:
            stream = _open(path, kind, stack)
            first = 1
            while lines := list(islice(stream, rows)):
                yield _frame(lines, first)
                first += len(lines)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path.name} is a damaged gzip file: {error}") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _open(path: Path, kind: str, stack: ExitStack) -> IO[bytes]:
    raw: IO[bytes] = stack.enter_context(path.open("rb"))
    is_gzip = raw.read(2) == GZIP
    raw.seek(0)
    if is_gzip:
        raw = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
    start = raw.read(LOOK_AHEAD)
    raw.seek(0)
    for mark, other in OTHER_KINDS.items():
        if start.startswith(mark):
            raise DataError(f"{path.name} is no {kind} but {other}")
    utf_16 = start.startswith(UTF_16_MARKS)
    if utf_16 or (b"\n" not in start and b"\r" in start):
        content = raw.read()
        content = content.decode("utf-16", errors="replace").encode() if utf_16 else content
        if b"\n" not in content:
            content = content.replace(b"\r", b"\n")
        return io.BytesIO(content.removeprefix(UTF_8_MARK))
    if start.startswith(UTF_8_MARK):
        raw.seek(len(UTF_8_MARK))
    return raw


def _frame(lines: list[bytes], first: int) -> pl.DataFrame:
    content = b"".join(lines)
    # Bytes that are not UTF-8 become \xNN here, so that the quarantine can show them.
    text = content.decode("utf-8", errors="backslashreplace")
    texts = text.removesuffix("\n").split("\n")
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    valid: pl.Expr = pl.lit(True)
    if len(text.encode()) != len(content):
        raw = pl.Series(content.removesuffix(b"\n").split(b"\n"), dtype=pl.Binary)
        valid = pl.col("text").cast(pl.Binary) == raw
    return (
        frame.with_row_index("row", offset=first)
        .with_columns(pl.col("row").cast(pl.Int64), valid_utf8=valid)
        .with_columns(pl.col("text").str.strip_suffix("\r"))
    )
