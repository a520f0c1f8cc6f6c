"""A table of numbers whose rows are judged one by one, as in benchmarks of outlier detection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from riskml.core.errors import DataError
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.sources.base import LogSource, no_rejected, origin
from riskml.data.sources.parquet import ParquetSource
from riskml.data.splits import TEST, TRAIN

COPIES = (TRAIN, TRAIN, TEST)
"""The second copy of the rows becomes the calibration period (`data.split.calibration=0.5`)."""

FIRST = datetime(2000, 1, 1)
USER, ROW = "all", "row"


@dataclass(frozen=True)
class RowsSource(LogSource):
    """Every row of a Parquet table as one event, once for training, calibration and test each.

    Unsupervised outlier detection fits and scores the same rows and sees no label. So the periods
    hold the same rows here: results say how odd rows look among their like, not what a detector
    would do with rows to come. All rows are of one user, a second apart. A column `label` is truth.

    Args:
        path: of a Parquet file.
    """

    path: str | Path

    def mapping(self) -> EventMapping:
        """The columns of `tables`."""
        return EventMapping(default_action=ROW, time_zone="UTC")

    def tables(self, rows: int) -> Iterator[LogTable]:
        """Three copies of the table, with user, timestamp, session and split added.

        Raises:
            DataError: no such file, no Parquet, or a column has the name of one that is added.
        """
        parts = list(ParquetSource(self.path).tables(rows))
        table = pl.concat([part.rows for part in parts])
        added = {"user_id", "timestamp", "session", "split"} & set(table.columns)
        if added:
            raise DataError(
                f"{self.path}: column '{min(added)}' has a name that is given here; rename it"
            )
        for number, period in enumerate(COPIES):
            first = number * len(table)
            place = pl.int_range(first, first + len(table), dtype=pl.Int64)
            copy = table.with_columns(
                user_id=pl.lit(USER),
                timestamp=pl.lit(FIRST) + place * timedelta(seconds=1),
                session=place.cast(pl.String),
                split=pl.lit(period),
            )
            where = origin(parts[0].name, range(first + 1, first + len(table) + 1))
            yield LogTable(parts[0].name, copy, where, no_rejected())
