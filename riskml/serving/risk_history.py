"""How risky a user and the peers were, from what a job or a stream has scored."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import select

from riskml.core.errors import DataError, reading
from riskml.core.schema import TIMESTAMP
from riskml.data.database import database_errors, open_engine
from riskml.serving import folder_store
from riskml.serving.score_tables import SCORES

COLUMNS = {"user_id": pl.String(), "window_end": TIMESTAMP, "risk": pl.Float64()}


class RiskHistory:
    """Scores as `riskml score --out` or `riskml stream --sink` keeps them.

    Args:
        where: a folder, or the URL of a database.

    Raises:
        ConfigError: the URL is not understood.
        DataError: there are no scores in that place.
    """

    def __init__(self, where: str) -> None:
        self._folder = None if "://" in where else Path(where).expanduser()
        if self._folder is None:
            self._engine = open_engine(where, "scores", writes=False)
            with database_errors("the scores cannot be read"), self._engine.connect() as connection:
                there = self._engine.dialect.has_table(connection, SCORES.name)
            if not there:
                raise DataError(f"the database has no {SCORES.name}: riskml score --out makes it")
        elif not (self._folder / folder_store.STATE).is_file():
            raise DataError(f"{where}: no scores there; give what `riskml score --out` wrote to")

    def of(
        self,
        user_id: str,
        peer: str | None,
        model_version: str,
        after: datetime,
        until: datetime,
    ) -> pl.DataFrame:
        """Closed windows of the user and the peers: user_id, window_end and risk, by their ends.

        Args:
            user_id: of the user.
            peer: group of the user; None: everybody.
            model_version: that scored; risks of several do not compare.
            after: windows that end later.
            until: and not later than this.

        Raises:
            DataError: the scores cannot be read.
        """
        if self._folder is None:
            found = self._of_database(user_id, peer, model_version, after, until)
        else:
            time = pl.col("window_end")
            wanted = (time > after) & (time <= until)
            if peer is not None:
                wanted &= (pl.col("user_id") == user_id) | (pl.col("peer") == peer)
            found = self._of_files(self._folder, model_version, wanted)
        return found.sort("window_end", "user_id")

    def _of_database(
        self,
        user_id: str,
        peer: str | None,
        model_version: str,
        after: datetime,
        until: datetime,
    ) -> pl.DataFrame:
        table = SCORES.c
        query = select(*(table[name] for name in COLUMNS)).where(
            table.model_version == model_version,
            table.window_end > after,
            table.window_end <= until,
            ~table.open,
        )
        if peer is not None:
            query = query.where((table.user_id == user_id) | (table.peer == peer))
        with database_errors("the scores cannot be read"), self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=COLUMNS, orient="row")

    def _of_files(self, folder: Path, model_version: str, wanted: pl.Expr) -> pl.DataFrame:
        files = folder_store.score_files(folder, model_version)
        if not files:
            return pl.DataFrame(schema=COLUMNS)
        with reading(folder):
            scanned = pl.scan_parquet(files, glob=False).filter(wanted)
            return scanned.select(*COLUMNS).cast(COLUMNS).collect()  # type: ignore[arg-type]
