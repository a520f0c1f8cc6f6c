"""Reads CSV text that may be damaged: every line ends up as a row or as a rejected row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import shown
from riskml.data import quality, quarantine
from riskml.data.event_mapping import LogTable
from riskml.data.text_lines import line_chunks

SEPARATORS = {",": ",", ";": ";", "\t": r"\t", "|": "|"}
"""The usual ones, and how to type them."""


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


def csv_tables(path: Path, separator: str, rows: int) -> Iterator[LogTable]:
    """Read a CSV file, plain or gzipped, with a header, all columns as text, piece by piece.

    Blank lines are no rows. A quoted field may span lines, but not over a line that is a complete
    row by itself: there a quote was left open, and only the line with the quote is rejected.
    Empty names in the header become `column_<position>`.

    Args:
        path: of the file.
        separator: one character.
        rows: lines that are held at once.

    Yields:
        The rows, about `rows` at a time.

    Raises:
        DataError: the file is empty, has a header only, names a column twice, or is no CSV with
            this separator.
    """
    names: list[str] = []
    found = False
    waiting: pl.DataFrame | None = None
    for lines in line_chunks(path, rows):
        if not names:
            lines = lines[_first_filled(lines) :]
            if lines.is_empty():
                continue
            names = _header(str(lines["text"][0]), separator, path.name)
            lines = lines[1:]
        if waiting is not None:
            lines = pl.concat([waiting, lines])
        records, waiting = _join_quoted_lines(lines, separator, len(names))
        table = _table(records, names, separator, path.name)
        found |= len(table.origin) + len(table.rejected) > 0
        yield table
    if waiting is not None and len(waiting):
        records, _ = _join_quoted_lines(waiting, separator, len(names), last=True)
        found = True
        yield _table(records, names, separator, path.name)
    if not names:
        raise DataError(f"{path.name} is empty")
    if not found:
        raise DataError(f"{path.name} has a header but no rows")


def _first_filled(lines: pl.DataFrame) -> int:
    filled = lines["text"].str.strip_chars() != ""
    return int(filled.arg_max() or 0) if filled.any() else len(lines)


def _header(header: str, separator: str, name: str) -> list[str]:
    try:
        names = _column_names(header, separator)
    except csv.Error as error:
        raise DataError(f"{name}: the first line is no CSV header; is this a CSV file?") from error
    _check_separator(name, header, separator, len(names))
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{name} has several columns '{shown(twice[0])}': rename all but one in its first line"
        )
    return names


def _table(records: pl.DataFrame, names: list[str], separator: str, name: str) -> LogTable:
    records = records.filter(pl.col("text").str.strip_chars(" ") != "")
    rules = records.select(quality.first_broken(quality.TEXT_RULES)).to_series()
    origin = records.select(file=pl.lit(name), row="row")
    return LogTable(
        name=name,
        rows=_parse(records.filter(rules.is_null())["text"], names, separator),
        origin=origin.filter(rules.is_null()),
        rejected=quarantine.rejected_rows(origin, rules, records.select(line="text")),
    )


def _column_names(header: str, separator: str) -> list[str]:
    fields = next(csv.reader([header], delimiter=separator))
    return [field.strip() or f"column_{place}" for place, field in enumerate(fields, start=1)]


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


def _join_quoted_lines(
    lines: pl.DataFrame, separator: str, n_fields: int, last: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records: lines, or several where a quoted field spans them.

    Args:
        lines: row, text and valid_utf8.
        separator: one character.
        n_fields: of the header.
        last: no lines follow.

    Returns:
        row (of the first line), text, valid_utf8, fields, expected_fields; and the lines at the
        end that wait for more, since a quoted field may go on.
    """
    plain = lines
    lines = lines.with_columns(
        fields=_count_fields(separator), expected_fields=pl.lit(n_fields, pl.Int64)
    )
    odd_quotes = pl.col("text").str.count_matches('"', literal=True) % 2 == 1
    open_lines = lines.select((pl.col("valid_utf8") & odd_quotes).arg_true()).to_series().to_list()
    if not open_lines:
        return lines, plain.clear()
    pairs = list(pairwise(open_lines))
    line_texts = lines["text"].to_list()
    spans = ["\n".join(line_texts[first : end + 1]) for first, end in pairs]
    counted = pl.DataFrame({"text": spans}, schema={"text": pl.String})
    fields = counted.select(_count_fields(separator)).to_series()
    inside = (lines["fields"] == n_fields).fill_null(False) | ~lines["valid_utf8"]
    complete_before = [0, *accumulate(inside.cast(pl.Int64).to_list())]
    texts: dict[int, str] = {}
    swallowed: set[int] = set()
    for (first, end), span, count in zip(pairs, spans, fields, strict=True):
        nothing_lost = complete_before[first] == complete_before[end]
        if first not in swallowed and count == n_fields and nothing_lost:
            texts[first] = span
            swallowed.update(range(first + 1, end + 1))
    end = len(lines)
    is_open = open_lines[-1] not in swallowed
    if is_open and not last and complete_before[open_lines[-1]] == complete_before[-1]:
        end = open_lines[-1]
    return _replace(lines, texts, swallowed, n_fields)[: end - len(swallowed)], plain[end:]


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
