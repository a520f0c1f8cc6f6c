"""Logs wherever they are kept, read into events with the unusable rows set apart."""

from riskml.data.event_mapping import EventLog
from riskml.data.sources.base import LogSource
from riskml.data.sources.csv_file import CsvSource
from riskml.data.sources.database import DatabaseSource
from riskml.data.sources.duckdb_file import DuckDbSource
from riskml.data.sources.frame import FrameSource
from riskml.data.sources.json_lines import JsonLinesSource
from riskml.data.sources.parquet import ParquetSource
from riskml.data.sources.rows import RowsSource
from riskml.data.sources.snapshot import SnapshotSource

__all__ = [
    "CsvSource",
    "DatabaseSource",
    "DuckDbSource",
    "EventLog",
    "FrameSource",
    "JsonLinesSource",
    "LogSource",
    "ParquetSource",
    "RowsSource",
    "SnapshotSource",
]
