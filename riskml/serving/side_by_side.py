"""Two bundles over the same events, or what a scoring job wrote of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import select

from riskml.core.errors import ConfigError, DataError, reading
from riskml.core.types import PEER, Windows
from riskml.data.database import database_errors, open_engine
from riskml.export.bundle import Bundle
from riskml.scoring.calibration import P_VALUE
from riskml.scoring.rolling_budget import RollingBudget
from riskml.serving.events import EventSource
from riskml.serving.reasons import reasons
from riskml.serving.score_tables import SCORES
from riskml.serving.standing import known_until, version_of

REFUSED = "the scores cannot be read"
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_ROWS = ("user_id", "window_start", "window_end", "score", "risk", "alert")


@dataclass(frozen=True)
class Side:
    """One of two models.

    Args:
        name: of it, for people.
        version: of the model.
        rows: user_id, window_start, window_end, score, risk and alert, a row a window.
        threshold: score from which on a window is an alert, at the end; None: not known.
        promised: alerts a day; None: not known.
        bundle, windows: that the rows are of, where they were scored here.
    """

    name: str
    version: str
    rows: pl.DataFrame
    threshold: float | None = None
    promised: float | None = None
    bundle: Bundle | None = None
    windows: Windows | None = None

    def reasons(self, keys: Sequence[dict[str, Any]], top: int = 3) -> list[list[str]]:
        """Sentences for some windows by their user and time, [] where they cannot be had."""
        if self.bundle is None or self.windows is None or not keys:
            return [[] for _ in keys]
        wanted = pl.DataFrame(keys).select("user_id", "window_start", "window_end")
        numbered = self.rows.with_row_index("row")
        rows = (
            wanted.join(numbered, on=wanted.columns, how="left", maintain_order="left")["row"]
            .to_numpy()
            .astype(np.int64)
        )
        found = reasons(self.bundle, self.windows, rows, top)
        return [[reason.text for reason in each] for each in found]


def read_log(source: EventSource, bundles: Sequence[Bundle]) -> pl.DataFrame:
    """All usable events that come after what the bundle that knows most knows, in memory.

    Raises:
        DataError: there is none, or a column that a bundle reads is missing.
    """
    known = [moment for moment in map(known_until, bundles) if moment is not None]
    columns = dict.fromkeys(name for bundle in bundles for name in bundle.extractor.reads())
    batches = source.batches(max(known, default=None), END_OF_TIME, columns)
    parts = [batch.events for batch in batches if len(batch.events)]
    if not parts:
        since = f" later than {max(known):%Y-%m-%d %H:%M}, which a bundle knows" if known else ""
        raise DataError(f"the source has no events{since}")
    return pl.concat(parts).unique("event_id", keep="first").sort("timestamp", "event_id")


def check_same_windows(a: Bundle, b: Bundle) -> None:
    """Refuse two bundles that cut a log into other windows.

    Raises:
        ConfigError: names what differs.
    """
    if different := different_windows(a, b):
        raise ConfigError(f"the bundles cut a log into {different}")


def different_windows(a: Bundle, b: Bundle) -> str | None:
    """How and what follows, to end a message; None: both cut a log into the same windows."""
    rules = [
        {
            "windows": each.extractor.window.kind,
            **each.extractor.window.settings(),
            "time_zone": each.extractor.time_zone,
        }
        for each in (a, b)
    ]
    for name in dict.fromkeys((*rules[0], *rules[1])):
        first, second = (rule.get(name) for rule in rules)
        if first != second:
            return (
                f"other windows ({name}: {first} and {second}), so there is nothing to match: "
                "train both with the same features.window"
            )
    return None


def score_log(bundle: Bundle, events: pl.DataFrame, name: str) -> Side:
    """Score a log in one pass, in order of the days on which windows end.

    Args:
        bundle: that scores.
        events: sorted by time, later than what it knows.
        name: for people.
    """
    windows, _ = bundle.extractor.transform(events, bundle.profile, open_windows=True)
    order = windows.keys.with_row_index("row").sort("end", "window_id")["row"]
    windows = windows.take(order.to_numpy().astype(np.int64))
    keys, scores = windows.keys, bundle.score_windows(windows)
    alerts, alerting = bundle.alerts(scores, keys)
    rows = keys.select("user_id", window_start="start", window_end="end").with_columns(
        pl.Series("score", scores.astype(np.float64)),
        pl.Series("risk", bundle.calibration.risk(scores, keys[PEER])),
        pl.Series("alert", alerts),
    )
    version = version_of(bundle.manifest)
    promised = promised_a_day(bundle, keys)
    return Side(name, version, rows, alerting.threshold, promised, bundle, windows)


def promised_a_day(bundle: Bundle, keys: pl.DataFrame) -> float:
    """How many alerts a day the bundle's threshold was set for, over as many windows.

    A budget that follows the scores says so; of any other threshold it is the share of the
    calibration period's windows that reached it.
    """
    days = max(1, keys["end"].dt.date().n_unique())
    rule = bundle.alerting
    if isinstance(rule, RollingBudget):
        return min(rule.alerts_per_day, rule.max_share * len(keys) / days)
    if bundle.calibration.alert_by == P_VALUE:
        share = math.pow(10, -rule.threshold)
    else:
        share = float(bundle.calibration.p_value([rule.threshold])[0])
    return share * len(keys) / days


def read_scores(place: str, version: str) -> Side:
    """Closed windows of a model, as a scoring job wrote them.

    Args:
        place: its `--out`, a database URL or a folder.
        version: of the model, or how it begins.

    Raises:
        DataError: there is none, or there are several versions that begin so.
    """
    known = _versions(place)
    found = [each for each in known if each.startswith(version)]
    if len(found) != 1:
        there = ", ".join(known) or "none"
        raise DataError(f"{version} is not one model version of this place, which has: {there}")
    rows = _stored(place, found[0])
    if rows.is_empty():
        raise DataError(f"model version {found[0]} has no closed windows there")
    return Side(found[0], found[0], rows.select(_ROWS))


def _versions(place: str) -> list[str]:
    if "://" not in place:
        rooms = Path(place, "scores").glob("version=*")
        return sorted(room.name.partition("=")[2] for room in rooms)
    with database_errors(REFUSED), open_engine(place, "--scores").connect() as connection:
        if not connection.dialect.has_table(connection, SCORES.name):
            return []
        return sorted(connection.execute(select(SCORES.c.model_version).distinct()).scalars())


def _stored(place: str, version: str) -> pl.DataFrame:
    if "://" not in place:
        files = sorted(Path(place, "scores", f"version={version}").glob("batch=*.parquet"))
        parts = [_read(file) for file in files]
        return pl.concat(parts).filter(~pl.col("open")) if parts else pl.DataFrame()
    closed = (SCORES.c.model_version == version) & ~SCORES.c.open
    query = select(*(SCORES.c[name] for name in _ROWS)).where(closed)
    with database_errors(REFUSED), open_engine(place, "--scores").connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=list(_ROWS), orient="row", infer_schema_length=None)


def _read(file: Path) -> pl.DataFrame:
    with reading(file):
        columns = [*_ROWS, "open"]
        return pl.read_parquet(file, columns=columns, glob=False, hive_partitioning=False)
