"""JSON files as records, and the fields of records as columns, by DuckDB's JSON functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from riskml.core.errors import DataError
from riskml.data.quality import RowRule
from riskml.data.sources.base import set_apart
from riskml.data.text_lines import line_chunks

NEVER = pl.lit(False)
INVALID_JSON = RowRule("invalid_json", "the line is no JSON text, or is cut off", NEVER)
INVALID_DOCUMENT = RowRule(
    INVALID_JSON.name, "the array or object that begins here is no JSON text, or is cut off", NEVER
)
NO_OBJECT = RowRule("not_an_object", "a record must be a JSON object with named fields", NEVER)
UNREADABLE_FILE = RowRule("unreadable_file", "the file is damaged and was left out", NEVER)

MAX_NESTING = 1_000
"""Brackets of a record from which on it does not help to find out which fields there are."""

MAX_FIELDS = 300

BEGINNING = 100
"""Lines in which a file shows whether it is one document."""


@dataclass(frozen=True)
class Records:
    """Records of one file.

    Args:
        file: its name.
        lines: row and text, each text a JSON object.
        rejected: what is none, columns of `REJECTED_SCHEMA`.
    """

    file: str
    lines: pl.DataFrame
    rejected: pl.DataFrame


def read_records(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    name: str,
    rows: int,
    list_key: str | None = None,
) -> Iterator[Records]:
    """Read one file: a record a line, an array of records, or an object around such an array.

    Records of lines bear the number of the line, those of an array count from 1.

    Args:
        connection: that parses.
        file: to read. An array that spans lines is read whole.
        name: of the file in ids and messages.
        rows: lines that are held at once.
        list_key: field whose array holds the records, where there is such an object around them.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    chunks: Iterator[pl.DataFrame] = filter(len, map(_filled, line_chunks(file, rows, "JSON")))
    head: list[pl.DataFrame] = []
    while sum(map(len, head)) < BEGINNING and (more := list(islice(chunks, 1))):
        head += more
    if not head:
        return
    begin = pl.concat(head)["text"].head(BEGINNING).str.strip_chars().to_list()
    is_document = begin[0].startswith("[") or begin[0] == "{"
    if is_document and len(begin) > 1:
        is_document = not _are_lines(connection, begin)
    if is_document:
        head, chunks = [_document(pl.concat([*head, *chunks]))], iter(())
    count, invalid = 0, INVALID_DOCUMENT if is_document else INVALID_JSON
    for chunk in chain(head, chunks):
        lines = _kinds(connection, chunk, list_key, is_document)
        records, count = _records(connection, lines, name, list_key, count, invalid)
        yield records


def _document(lines: pl.DataFrame) -> pl.DataFrame:
    """All lines of a file as one."""
    return lines.select(
        row=pl.lit(1, pl.Int64),
        text=pl.col("text").str.join("\n"),
        valid_utf8=pl.col("valid_utf8").all(),
    )


def _are_lines(connection: duckdb.DuckDBPyConnection, begin: list[str]) -> bool:
    """Whether a file is no document but lines of JSON, though the first of them looks like one.

    It is where something follows a whole value that cannot follow it within a document.
    """
    valid = connection.execute("SELECT [json_valid(x) FOR x IN ?::VARCHAR[]]", [begin])
    (whole,) = valid.fetchall()[0]
    pairs = zip(whole, begin, begin[1:], strict=False)
    return whole[0] or any(
        is_whole and text[0] in "{[" and not after.startswith((",", "]", "}"))
        for is_whole, text, after in pairs
    )


def _filled(chunk: pl.DataFrame) -> pl.DataFrame:
    return chunk.filter(pl.col("text").str.strip_chars() != "")


def _kinds(
    connection: duckdb.DuckDBPyConnection,
    lines: pl.DataFrame,
    list_key: str | None,
    is_document: bool,
) -> pl.DataFrame:
    """Lines with `kind`: null for what is no JSON, RECORD, LIST, AROUND a list, or OTHER."""
    connection.register("lines", lines.select("row", "text").to_arrow())
    kinds = connection.sql(
        "SELECT CASE WHEN json_valid(text) THEN json_type(text) END AS outer, "  # noqa: S608  names are quoted
        f"CASE WHEN json_valid(text) THEN json_type(text, {_pointer(list_key or '')}) END AS inner "
        "FROM lines ORDER BY row"
    ).pl()
    outer, inner = pl.col("outer"), pl.col("inner") == "ARRAY"
    kind = (
        pl.when(pl.lit(list_key is not None) & (outer == "OBJECT") & inner)
        .then(pl.lit("AROUND"))
        .when(outer == "OBJECT")
        .then(pl.lit("RECORD"))
        .when(pl.lit(is_document) & (outer == "ARRAY"))
        .then(pl.lit("LIST"))
        .when(outer.is_not_null())
        .then(pl.lit("OTHER"))
    )
    lines = lines.with_columns(kinds.select(kind=kind).to_series())
    return lines.with_columns(kind=pl.when("valid_utf8").then("kind"))


def _records(
    connection: duckdb.DuckDBPyConnection,
    lines: pl.DataFrame,
    name: str,
    list_key: str | None,
    count: int,
    invalid: RowRule,
) -> tuple[Records, int]:
    """The records of some lines, and how many there have been in arrays so far."""
    kind = pl.col("kind")
    inside, count = _unnested(
        connection, lines.filter(kind.is_in(["LIST", "AROUND"])), list_key, count
    )
    rejected = pl.concat(
        [
            set_apart(lines.filter(kind.is_null()), name, invalid),
            set_apart(lines.filter(kind == "OTHER"), name, NO_OBJECT),
            set_apart(inside.filter(kind != "OBJECT"), name, NO_OBJECT),
        ]
    )
    plain = lines.filter(kind == "RECORD").select("row", "text")
    good = inside.filter(kind == "OBJECT").select("row", "text")
    return Records(name, pl.concat([plain, good]), rejected), count


def _unnested(
    connection: duckdb.DuckDBPyConnection, lists: pl.DataFrame, list_key: str | None, count: int
) -> tuple[pl.DataFrame, int]:
    """The elements of arrays: row (running number), text and kind."""
    connection.register("lists", lists.select("row", "text", "kind").to_arrow())
    inside = connection.sql(
        f"SELECT unnest(from_json(CASE kind WHEN 'LIST' THEN text::JSON "  # noqa: S608  names are quoted
        f"ELSE json_extract(text, {_pointer(list_key or '')}) END, '[\"JSON\"]'))::VARCHAR AS text "
        "FROM (SELECT * FROM lists ORDER BY row)"
    ).pl()
    connection.register("elements", inside.with_row_index("row", offset=count + 1).to_arrow())
    numbered = connection.sql(
        "SELECT row::BIGINT AS row, text, json_type(text) AS kind FROM elements ORDER BY row"
    ).pl()
    return numbered, count + len(numbered)


def unreadable(file: str, error: DataError) -> Records:
    """What stands for a file of many that cannot be read."""
    line = pl.DataFrame({"row": [1], "text": [str(error)]})
    empty = pl.DataFrame(schema={"row": pl.Int64, "text": pl.String})
    return Records(file, empty, set_apart(line, file, UNREADABLE_FILE))


def _pointer(*keys: str) -> str:
    """A JSON pointer (RFC 6901) as SQL text."""
    escaped = (key.replace("~", "~0").replace("/", "~1").replace("'", "''") for key in keys)
    return "'" + "".join(f"/{key}" for key in escaped) + "'"


class FieldReader:
    """Fields of JSON records as columns of text, each record parsed once.

    A field inside others is named with dots, an element of an array by its number from 0:
    `userIdentity.arn`, `resources.0.ARN`. A field whose own name has the dots is found too. What
    is an object or array comes as JSON text.

    Args:
        fields: to read.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = list(dict.fromkeys(fields))
        self._connection = duckdb.connect()

    def read(self, texts: pl.Series) -> pl.DataFrame:
        """One column a field, one row a record."""
        if texts.is_empty():
            return pl.DataFrame(schema=dict.fromkeys(self.fields, pl.String))
        frame = pl.DataFrame({"text": texts}).with_row_index("row")
        self._connection.register("records", frame.to_arrow())
        paths = self._paths()
        every_path = list(chain.from_iterable(paths.values()))
        found: pl.DataFrame = self._connection.sql(
            "SELECT row, json_extract_string(text, "  # noqa: S608  names are quoted
            f"[{', '.join(every_path)}]::VARCHAR[]) AS found FROM records ORDER BY row"
        ).pl()
        self._connection.unregister("records")
        values = found.select(
            pl.col("found").list.get(position).alias(str(position))
            for position in range(len(every_path))
        )
        columns, position = [], 0
        for field, options in paths.items():
            names = [str(position + i) for i in range(len(options))]
            nothing = pl.repeat(None, len(texts), dtype=pl.String)
            columns.append(pl.coalesce(*names, nothing).alias(field))
            position += len(options)
        return values.select(columns)

    def _paths(self) -> dict[str, list[str]]:
        """The ways to each field that these records may have: few, so that most cost nothing."""
        keys = {
            key
            for (key,) in self._connection.sql(
                "SELECT DISTINCT unnest(json_keys(text)) FROM records"
            ).fetchall()
        }
        ways = {field: dict.fromkeys((tuple(field.split(".")), (field,))) for field in self.fields}
        return {
            field: [_pointer(*way) for way in options if way[0] in keys]
            for field, options in ways.items()
        }


def find_fields(texts: pl.Series) -> list[str]:
    """Dotted names of the fields of some records, in the order in which they are first seen.

    Args:
        texts: JSON objects.
    """
    simple = texts.filter(
        texts.str.count_matches("{", literal=True) + texts.str.count_matches("[", literal=True)
        < MAX_NESTING
    )
    if simple.is_empty():
        return []
    with duckdb.connect() as connection:
        connection.register("records", pl.DataFrame({"text": simple}).to_arrow())
        structure = connection.sql(
            "SELECT json_group_structure(text::JSON)::VARCHAR FROM records"
        ).fetchall()[0][0]
    tree = json.loads(structure)
    return list(dict.fromkeys(_leaves(tree, ""))) if isinstance(tree, Mapping) else []


def _leaves(tree: Mapping[str, Any], above: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
