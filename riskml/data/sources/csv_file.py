"""CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from riskml.data.csv_records import csv_tables, parse_separator
from riskml.data.event_mapping import LogTable
from riskml.data.sources.base import MappedSource
from riskml.data.sources.files import one_file


@dataclass(frozen=True)
class CsvSource(MappedSource):
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

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows of the file."""
        separator = parse_separator(self.separator)
        yield from csv_tables(one_file(self.path, "CSV"), separator, rows)
