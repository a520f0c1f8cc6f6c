"""Alerts from wherever they are kept: one by its id, or all that a job or a stream has raised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, MetaData, Table, and_, null, select, type_coerce

from riskml.core.alert import Alert
from riskml.core.errors import DataError, did_you_mean, reading
from riskml.core.redaction import printable
from riskml.core.schema import TIMESTAMP
from riskml.data.database import database_errors, open_engine, require_file
from riskml.serving import folder_store
from riskml.serving.score_tables import ALERTS, SCORES

RUN_FILE = "alerts.parquet"
STREAMED = "riskml_stream_alerts"
RAISED: dict[str, pl.DataType] = {
    "window_id": pl.String(),
    "model_version": pl.String(),
    "user_id": pl.String(),
    "window_start": TIMESTAMP,
    "window_end": TIMESTAMP,
    "score": pl.Float64(),
    "p_value": pl.Float64(),
    "risk": pl.Float64(),
    "reasons": pl.String(),
    "event_ids": pl.String(),
    "peer": pl.String(),
}
"""Columns of what was raised; the peer group stands with the scores, and an older riskml wrote no
`event_ids`."""
_OF_RUN = {"start": "window_start", "end": "window_end"}
_NEEDED = ("window_id", "user_id", "window_start", "window_end", "risk", "reasons")


def find_alert(where: str, window_id: str) -> Alert:
    """The alert of a window.

    Args:
        where: what `riskml score --out` wrote to (a folder, or the URL of a database), a run's
            folder of train.py or evaluate.py, or its alerts.parquet.
        window_id: of the window that was raised; of several models the last that raised it counts.

    Raises:
        ConfigError: the URL is not understood.
        DataError: there are no alerts in that place, or none of this window.
    """
    is_url = "://" in where
    alerts = raised_alerts(where).select(_NEEDED) if is_url else _of_files(Path(where).expanduser())
    mine = alerts.filter(pl.col("window_id") == window_id)
    if mine.is_empty():
        known = alerts["window_id"].unique().to_list()
        hint = did_you_mean(window_id, known) if known else "it has none at all"
        place = "the database" if is_url else where
        raise DataError(f"{place} has no alert '{printable(window_id)}': {printable(hint)}")
    row = mine.row(-1, named=True)
    return Alert(
        row["window_id"],
        row["user_id"],
        row["window_start"],
        row["window_end"],
        row["risk"],
        tuple(_texts(row["reasons"])),
    )


def raised_alerts(where: str) -> pl.DataFrame:
    """All alerts of jobs, and of streams those that were not withdrawn, as they stand.

    Args:
        where: what `riskml score --out` or `riskml stream --sink` wrote to: a folder of the former,
            or the URL of a database.

    Returns:
        `RAISED`; reasons and event_ids as JSON.

    Raises:
        ConfigError: the URL is not understood.
        DataError: there are no alerts in that place.
    """
    if "://" not in where:
        path = Path(where).expanduser()
        if not (path / folder_store.STATE).is_file():
            raise DataError(f"{path}: no alerts there; give what `riskml score --out` wrote to")
        parts = [_with_peers(file) for file in folder_store.alert_files(path)]
        return pl.concat(parts) if parts else pl.DataFrame(schema=RAISED)
    engine = open_engine(where, "alerts", writes=False)
    require_file(engine, "give what `riskml score --out` or `riskml stream --sink` wrote to")
    found = [pl.DataFrame(schema=RAISED)]
    with database_errors("the alerts cannot be read"), engine.connect() as connection:
        tables = [n for n in (ALERTS.name, STREAMED) if engine.dialect.has_table(connection, n)]
        if not tables:
            raise DataError(
                f"the database has neither {ALERTS.name} nor {STREAMED}: riskml score --out and "
                "riskml stream --sink make them"
            )
        for name in tables:
            # both have these columns, and those of times are written alike
            table = Table(name, MetaData(), autoload_with=connection)
            same = and_(*(table.c[key] == SCORES.c[key] for key in ("window_id", "model_version")))
            columns: list[ColumnElement[Any]] = [
                SCORES.c.peer
                if n == "peer"
                else type_coerce(table.c[n], ALERTS.c[n].type)
                if n in table.c
                else null()
                for n in RAISED
            ]
            query = select(*columns).select_from(table.outerjoin(SCORES, same))
            query = query.order_by(table.c.raised_at)
            if name == STREAMED:
                query = query.where(table.c.raised != "withdrawn")
            rows = [tuple(row) for row in connection.execute(query)]
            found.append(pl.DataFrame(rows, schema=RAISED, orient="row"))
    return pl.concat(found)


def _with_peers(file: Path) -> pl.DataFrame:
    """Alerts of a batch; its scores lie in a file of the same name."""
    scores = folder_store.scores_beside(file)
    with reading(file):
        found = pl.read_parquet(file, glob=False)
    with reading(scores):
        peers = pl.read_parquet(scores, columns=["window_id", "peer"], glob=False)
    found = found.join(peers, on="window_id", how="left", maintain_order="left")
    missing = {n: pl.lit(None, kind) for n, kind in RAISED.items() if n not in found.columns}
    return found.with_columns(**missing).select(*RAISED).cast(RAISED)  # type: ignore[arg-type]


def _of_files(path: Path) -> pl.DataFrame:
    if path.is_file():
        files = [path]
    elif (path / RUN_FILE).is_file():
        files = [path / RUN_FILE]
    elif (path / folder_store.STATE).is_file():
        files = folder_store.alert_files(path)
    else:
        raise DataError(
            f"--alerts {path}: no alerts there; give what `riskml score --out` wrote to, or the "
            "folder of a run"
        )
    parts = [_read(file) for file in files]
    empty = pl.DataFrame(schema=dict.fromkeys(_NEEDED, pl.String()))
    return pl.concat(parts, how="vertical_relaxed") if parts else empty


def _read(file: Path) -> pl.DataFrame:
    with reading(file):
        found = pl.read_parquet(file, glob=False)
        return found.rename(_OF_RUN, strict=False).select(_NEEDED)


def _texts(reasons: Any) -> list[str]:
    """Reasons as a run keeps them (sentences), or as a job does (JSON)."""
    if reasons is None:
        return []
    if isinstance(reasons, str):
        return [each["text"] for each in json.loads(reasons)]
    return [str(each) for each in reasons]
