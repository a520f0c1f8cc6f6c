"""What jobs have scored and set apart in a period, from the place they write to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Table, select

from riskml.core.errors import DataError, reading
from riskml.core.schema import TIMESTAMP
from riskml.data.database import database_errors, open_engine, require_file
from riskml.reporting.periods import Period

WINDOWS: dict[str, pl.DataType] = {
    "model_version": pl.String(),
    "role": pl.String(),
    "user_id": pl.String(),
    "peer": pl.String(),
    "window_start": TIMESTAMP,
    "window_end": TIMESTAMP,
    "n_events": pl.Int64(),
    "risk": pl.Float64(),
    "alert": pl.Boolean(),
    "learning": pl.Boolean(),
}
QUARANTINE: dict[str, pl.DataType] = {
    "model_version": pl.String(),
    "rule": pl.String(),
    "noticed": TIMESTAMP,
}
CHAMPION = "champion"
LONG_GAP = timedelta(hours=6)
REMEDY = "give what `riskml score --out` or `riskml stream --sink` wrote to"


@dataclass(frozen=True)
class ScoreFacts:
    """Of one period.

    Args:
        period: which.
        windows: closed windows that end in it, `WINDOWS`, of all models.
        quarantine: rows that were set apart in it, `QUARANTINE`.
    """

    period: Period
    windows: pl.DataFrame
    quarantine: pl.DataFrame

    @property
    def counted(self) -> pl.DataFrame:
        """Windows of the models that raise alerts; one user's once, where models changed."""
        mine = self.windows.filter(pl.col("role") == CHAMPION)
        return mine.unique(["user_id", "window_start", "window_end"], maintain_order=True)

    @property
    def empty_days(self) -> list[Any]:
        """Days in which no window lies."""
        covered = self.counted.select(
            day=pl.date_ranges(pl.col("window_start").dt.date(), pl.col("window_end").dt.date())
        )
        seen = set(covered["day"].explode().to_list())
        return [day for day in self.period.days if day not in seen]

    @property
    def gaps(self) -> list[tuple[datetime, datetime]]:
        """Times of `LONG_GAP` and more in which no window lies, the longest first."""
        spans = self.counted.select("window_start", "window_end").sort("window_start")
        found, reached = [], self.period.start
        for start, end in [*spans.rows(), (self.period.end, self.period.end)]:
            if start - reached >= LONG_GAP:
                found.append((reached, start))
            reached = max(reached, end)
        return sorted(found, key=lambda gap: gap[0] - gap[1])


class Scores:
    """Where `riskml score --out` or `riskml stream --sink` keeps windows.

    Args:
        where: a folder, or the URL of a database.

    Raises:
        ConfigError: the URL is not understood.
        DataError: there is nothing of that kind.
    """

    def __init__(self, where: str) -> None:
        from riskml.serving import folder_store
        from riskml.serving.score_tables import SCORES

        self._folder = None if "://" in where else Path(where).expanduser()
        if self._folder is not None:
            if not (self._folder / folder_store.STATE).is_file():
                raise DataError(f"--scores {where}: no scores there; {REMEDY}")
            return
        self._engine = open_engine(where, "scores", writes=False)
        require_file(self._engine, REMEDY)
        with database_errors("the scores cannot be read"), self._engine.connect() as connection:
            if not self._engine.dialect.has_table(connection, SCORES.name):
                raise DataError(f"--scores: the database has no {SCORES.name}; {REMEDY}")

    def of(self, period: Period) -> ScoreFacts:
        """What a period has.

        Raises:
            DataError: it cannot be read.
        """
        if self._folder is not None:
            return self._of_folder(self._folder, period)
        from riskml.serving.score_tables import QUARANTINE as APART
        from riskml.serving.score_tables import SCORES

        windows = self._rows(SCORES, WINDOWS, "window_end", period, ~SCORES.c.open)
        apart = self._rows(APART, QUARANTINE, "noticed", period)
        return ScoreFacts(period, windows, apart)

    def _rows(
        self,
        table: Table,
        schema: dict[str, pl.DataType],
        time: str,
        period: Period,
        *wanted: Any,
    ) -> pl.DataFrame:
        at = table.c[time]
        query = select(*(table.c[name] for name in schema)).where(
            at >= period.start, at < period.end, *wanted
        )
        with database_errors("the scores cannot be read"), self._engine.connect() as connection:
            there = self._engine.dialect.has_table(connection, table.name)
            rows = [tuple(row) for row in connection.execute(query)] if there else []
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _of_folder(self, folder: Path, period: Period) -> ScoreFacts:
        from riskml.serving import folder_store

        versions = folder_store.versions(folder)
        windows = [f for v in versions for f in folder_store.score_files(folder, v)]
        apart = [f for v in versions for f in folder_store.quarantine_files(folder, v)]
        with reading(folder):
            return ScoreFacts(
                period,
                _of_files(windows, WINDOWS, period.holds("window_end")),
                _of_files(apart, QUARANTINE, period.holds("noticed")),
            )


def _of_files(
    files: Iterable[Path], schema: dict[str, pl.DataType], wanted: pl.Expr
) -> pl.DataFrame:
    parts = [pl.DataFrame(schema=schema)]
    for file in files:
        found = pl.scan_parquet(file, glob=False).filter(wanted).select(*schema)
        parts.append(found.cast(schema).collect())  # type: ignore[arg-type]
    return pl.concat(parts)
