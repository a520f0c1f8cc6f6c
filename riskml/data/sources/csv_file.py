"""CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from riskml.data.csv_records import csv_tables, parse_separator
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.sources.base import LogSource
from riskml.data.sources.files import one_file


@dataclass(frozen=True)
class CsvSource(LogSource):
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

    def mapping(self) -> EventMapping:
        """What the columns mean."""
        return EventMapping(
            columns=dict(self.columns),
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            default_action=self.default_action,
            max_rejected_share=self.max_rejected_share,
        )

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows of the file."""
        separator = parse_separator(self.separator)
        yield from csv_tables(one_file(self.path, "CSV"), separator, rows)
