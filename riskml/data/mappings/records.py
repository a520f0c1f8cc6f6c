"""Mappings written as data: columns of events and how each follows from fields of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl

from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.sources.base import LogSource
from riskml.data.sources.json_lines import json_files, json_table
from riskml.data.sources.json_records import FieldReader


@dataclass(frozen=True)
class RecordFormat:
    """A format of JSON records.

    Args:
        columns: event column or one that passes through -> expression over fields, each named
            with dots (`pl.col("userIdentity.arn")`) and read as text.
        list_key: field whose array holds the records, where an object is around them.
    """

    columns: Mapping[str, pl.Expr]
    list_key: str | None = None


@dataclass(frozen=True)
class FormatSource(LogSource):
    """JSON records in a format that is known: one file, a folder or a pattern.

    Args:
        path: of the file or folder, or a pattern with `*`, `**` or `?`.
        columns: event column -> field, where another is wanted than the format's own choice.
        keep: further fields that pass through.
        time_zone: IANA name for timestamps without a zone.
        max_rejected_share: largest share of unusable records that is tolerated, 0 to 1.
    """

    record_format: ClassVar[RecordFormat]

    path: str | Path
    columns: Mapping[str, str | None] = field(default_factory=dict)
    keep: Sequence[str] = ()
    time_zone: str | None = None
    max_rejected_share: float = 0.2

    def mapping(self) -> EventMapping:
        """The columns of `tables` have the names of event columns already."""
        EventMapping(columns=dict(self.columns))  # refuses names that are no event columns
        return EventMapping(time_zone=self.time_zone, max_rejected_share=self.max_rejected_share)

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The records under the names of event columns."""
        path = Path(self.path).expanduser()
        chosen = {name: pl.col(field) for name, field in self.columns.items() if field is not None}
        kept = {name: pl.col(name) for name in self.keep}
        columns = {**self.record_format.columns, **kept, **chosen}
        fields = (name for column in columns.values() for name in column.meta.root_names())
        reader = FieldReader(dict.fromkeys(fields))
        for records in json_files(path, rows, self.record_format.list_key):
            values = reader.read(records.lines["text"])
            yield json_table(path, records, values.select(**columns))


def first_of(*fields: str) -> pl.Expr:
    """The first of the fields that is there and not empty."""
    return pl.coalesce(pl.when(pl.col(name) != "").then(pl.col(name)) for name in fields)


def chosen_by(column: str, meanings: Mapping[str, pl.Expr], otherwise: pl.Expr) -> pl.Expr:
    """The expression that the value of a column chooses."""
    cases = (pl.when(pl.col(column) == value).then(then) for value, then in meanings.items())
    known = pl.col(column).is_in(list(meanings)).fill_null(False)
    return pl.when(known).then(pl.coalesce(cases)).otherwise(otherwise)


def words(text: pl.Expr) -> pl.Expr:
    """A name in lower case with underscores for blanks: `Account Switch` -> `account_switch`."""
    return text.str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "_").str.strip_chars("_")
