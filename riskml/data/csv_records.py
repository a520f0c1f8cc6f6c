"""Reads CSV text that may be damaged: every line ends up as a row or as a rejected row."""

from __future__ import annotations

import csv
import gzip
import zlib
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.data import quality
from riskml.data.event_mapping import LogTable

SEPARATORS = {",": ",", ";": ";", "\t": r"\t", "|": "|"}
"""The usual ones, and how to type them."""

GZIP, UTF_8_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
OTHER_KINDS = {
    b"PAR1": "a Parquet file: use data=parquet",
    b"PK\x03\x04": "a zip archive: unpack it",
}


def parse_separator(separator: str) -> str:
    r"""The separator as one character; `\t` and `tab` may be spelt out.

    Raises:
        ConfigError: it is not one ASCII character that can separate.
    """
    separator = {r"\t": "\t", "tab": "\t"}.get(separator, separator)
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        raise ConfigError(
            f"separator={separator!r}: must be one ASCII character other than a quote or a line "
            rf"end, such as ',' ';' '|' or '\t'"
        )
    return separator


def read_csv(path: Path, separator: str) -> LogTable:
    """Read a CSV file, plain or gzipped, with a header, all columns as text.

    Blank lines are no rows. A quoted field may span lines, but not over a line that is a complete
    row by itself: there a quote was left open, and only the line with the quote is rejected.
    Empty names in the header become `column_<position>`, repeated ones get `_2`, `_3`, ...

    Args:
        path: of the file.
        separator: one character.

    Raises:
        DataError: the file is empty, has a header only, or is no CSV with this separator.
    """
    lines = _lines(_content(path), path.name)
    header, lines = str(lines["text"][0]), lines[1:]
    try:
        names = _column_names(header, separator)
    except csv.Error as error:
        raise DataError(f"{path.name}: the first line is no CSV header: {error}") from error
    _check_separator(path.name, header, separator, len(names))
    records = _join_quoted_lines(lines, separator, len(names))
    records = records.filter(pl.col("text").str.strip_chars(" ") != "")
    if records.is_empty():
        raise DataError(f"{path.name} has a header but no rows")
    rules = records.select(quality.first_broken(quality.TEXT_RULES)).to_series()
    origin = records.select(file=pl.lit(path.name), row="row")
    return LogTable(
        name=path.name,
        rows=_parse(records.filter(rules.is_null())["text"], names, separator),
        origin=origin.filter(rules.is_null()),
        rejected=quality.rejected_rows(origin, rules, records.select(line="text")),
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path.name} is a damaged gzip file: {error}") from error
    for mark, kind in OTHER_KINDS.items():
        if content.startswith(mark):
            raise DataError(f"{path.name} is no CSV text but {kind}")
    if content.startswith(UTF_16_MARKS):
        content = content.decode("utf-16", errors="replace").encode()
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    return content.removeprefix(UTF_8_MARK)


def _lines(content: bytes, name: str) -> pl.DataFrame:
    """Columns row (line number from 1), text and valid_utf8, from the header on."""
    # Bytes that are not UTF-8 become \xNN here, so that the quarantine can show them.
    text = content.decode("utf-8", errors="backslashreplace")
    lines = pl.DataFrame({"text": pl.Series(text.split("\n"), dtype=pl.String)})
    valid: pl.Expr = pl.lit(True)
    if len(text.encode()) != len(content):
        raw = pl.Series(content.split(b"\n"), dtype=pl.Binary)
        valid = pl.col("text").cast(pl.Binary) == raw
    lines = lines.with_row_index("row", offset=1).with_columns(valid_utf8=valid)
    lines = lines.with_columns(pl.col("text").str.strip_suffix("\r"))
    filled = (lines["text"].str.strip_chars() != "").arg_max() or 0
    if not str(lines["text"][filled]).strip():
        raise DataError(f"{name} is empty")
    return lines[filled:]


def _column_names(header: str, separator: str) -> list[str]:
    names: list[str] = []
    for position, field in enumerate(next(csv.reader([header], delimiter=separator)), start=1):
        name = field.strip() or f"column_{position}"
        copies = (f"{name}_{copy}" for copy in range(2, position + 2))
        names.append(name if name not in names else next(c for c in copies if c not in names))
    return names


def _check_separator(name: str, header: str, separator: str, n_columns: int) -> None:
    counts = {other: len(_column_names(header, other)) for other in SEPARATORS}
    best = max(counts, key=lambda other: counts[other])
    if n_columns == 1 and counts[best] > 1:
        raise DataError(
            f"{name} has only one column with separator='{SEPARATORS.get(separator, separator)}', "
            f"but {counts[best]} with another: give separator='{SEPARATORS[best]}'"
        )


def _count_fields(separator: str) -> pl.Expr:
    """Number of fields in the column `text`, null where quotes are broken."""
    text, mark = pl.col("text"), _escaped(separator)
    value = rf'(?:"(?:[^"]|"")*"|[^"\n{mark}]*)'
    well_formed = text.str.contains(rf"^{value}(?:{mark}{value})*$")
    unquoted = text.str.replace_all(r'"[^"]*"', "")
    count = unquoted.str.count_matches(separator, literal=True) + 1
    return pl.when(well_formed).then(count.cast(pl.Int64))


def _escaped(separator: str) -> str:
    """The character for use in a regular expression, inside brackets too."""
    return rf"\x{{{ord(separator):x}}}"


def _join_quoted_lines(lines: pl.DataFrame, separator: str, n_fields: int) -> pl.DataFrame:
    """Records: lines, or several where a quoted field spans them.

    Returns:
        row (of the first line), text, valid_utf8, fields, expected_fields.
    """
    lines = lines.with_columns(fields=_count_fields(separator), expected_fields=n_fields)
    odd_quotes = pl.col("text").str.count_matches('"', literal=True) % 2 == 1
    open_lines = lines.select((pl.col("valid_utf8") & odd_quotes).arg_true()).to_series().to_list()
    if len(open_lines) < 2:
        return lines
    pairs = list(pairwise(open_lines))
    line_texts = lines["text"].to_list()
    spans = ["\n".join(line_texts[first : last + 1]) for first, last in pairs]
    fields = pl.DataFrame({"text": spans}).select(_count_fields(separator)).to_series()
    inside = (lines["fields"] == n_fields).fill_null(False) | ~lines["valid_utf8"]
    complete_before = [0, *accumulate(inside.cast(pl.Int64).to_list())]
    texts: dict[int, str] = {}
    swallowed: set[int] = set()
    for (first, last), span, count in zip(pairs, spans, fields, strict=True):
        nothing_lost = complete_before[first] == complete_before[last]
        if first not in swallowed and count == n_fields and nothing_lost:
            texts[first] = span
            swallowed.update(range(first + 1, last + 1))
    return _replace(lines, texts, swallowed, n_fields)


def _replace(
    lines: pl.DataFrame, texts: dict[int, str], swallowed: set[int], n_fields: int
) -> pl.DataFrame:
    positions = pl.Series(list(texts), dtype=pl.UInt32)
    keep = pl.Series([True]).new_from_index(0, len(lines))
    return lines.with_columns(
        text=lines["text"].scatter(positions, list(texts.values())),
        fields=lines["fields"].scatter(positions, n_fields),
    ).filter(keep.scatter(pl.Series(sorted(swallowed), dtype=pl.UInt32), False))


def _parse(texts: pl.Series, names: list[str], separator: str) -> pl.DataFrame:
    """Well-formed records as a table of text."""
    if texts.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    return pl.read_csv(
        texts.str.join("\n")[0].encode(),
        has_header=False,
        new_columns=names,
        separator=separator,
        infer_schema=False,
    )
