"""Windows in Parquet files, read block by block, for when they are more than memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from riskml.core.errors import DataError, reading
from riskml.core.types import FeatureSpec, Windows
from riskml.features.window_files import from_frame


class WindowFiles:
    """Files of windows as blocks, which are the row groups of the files.

    Args:
        files: as `write_windows` writes them.
        spec: of the extractor that made the windows.
        since: leave out windows that begin before; needs a time zone.
        until: leave out windows that end after; needs a time zone.

    Attributes:
        rows: windows of each block, none of them 0.

    Raises:
        DataError: no windows are left, or they were made by another extractor.
        BundleError: a file is missing or damaged.
    """

    def __init__(
        self,
        files: Sequence[Path],
        spec: FeatureSpec,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        self.files, self.spec, self.since, self.until = list(files), spec, since, until
        self._blocks: list[tuple[Path, int]] = []
        self.rows: list[int] = []
        for file in self.files:
            with reading(file), pq.ParquetFile(file) as opened:
                for group in range(opened.num_row_groups):
                    rows = self._count(opened, group)
                    if rows:
                        self._blocks.append((file, group))
                        self.rows.append(rows)
        if not self.rows:
            raise DataError("there are no windows in these files and this time")

    def _count(self, opened: pq.ParquetFile, group: int) -> int:
        if self.since is None and self.until is None:
            return int(opened.metadata.row_group(group).num_rows)
        return len(self._kept(_frame(opened, group, ["start", "end"])))

    def _kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self.since is not None:
            frame = frame.filter(pl.col("start") >= self.since)
        if self.until is not None:
            frame = frame.filter(pl.col("end") <= self.until)
        return frame

    def __len__(self) -> int:
        """Windows in all blocks."""
        return sum(self.rows)

    def read(self, block: int) -> Windows:
        """The windows of one block, in the order of the file.

        Raises:
            DataError: they were made by another extractor.
            BundleError: the file is missing or damaged.
        """
        file, group = self._blocks[block]
        with reading(file), pq.ParquetFile(file) as opened:
            return from_frame(self._kept(_frame(opened, group)), self.spec)

    def __iter__(self) -> Iterator[Windows]:
        """Block by block, in order."""
        return map(self.read, range(len(self.rows)))


def _frame(opened: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pl.DataFrame:
    found = pl.from_arrow(opened.read_row_group(group, columns, use_threads=False))
    assert isinstance(found, pl.DataFrame)
    return found
