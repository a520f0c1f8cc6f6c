"""Events that come in batches → rows of scored windows, and where the job stands after each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA, TIMESTAMP
from riskml.core.types import PEER, FloatArray, Windows
from riskml.export.bundle import Bundle
from riskml.scoring.alerting import Alerting, Mask
from riskml.serving.reasons import as_json, reasons
from riskml.serving.standing import RECENT_SCHEMA, Standing

SCORE_SCHEMA: dict[str, pl.DataType] = {
    "window_id": pl.String(),
    "user_id": pl.String(),
    "peer": pl.String(),
    "window_start": TIMESTAMP,
    "window_end": TIMESTAMP,
    "n_events": pl.Int64(),
    "score": pl.Float64(),
    "p_value": pl.Float64(),
    "risk": pl.Float64(),
    "alert": pl.Boolean(),
    "learning": pl.Boolean(),
    "open": pl.Boolean(),
    "reasons": pl.String(),
}
"""Columns of a scored window; `reasons` is a JSON list, of alerts only."""


@dataclass(frozen=True)
class Scored:
    """What a batch gave.

    Args:
        rows: closed windows in the order in which they closed, columns of `SCORE_SCHEMA`.
        late: events that came after their window was closed.
        standing: after the batch.
    """

    rows: pl.DataFrame
    late: pl.DataFrame
    standing: Standing


def score_events(standing: Standing, events: pl.DataFrame, overlap: timedelta) -> Scored:
    """Score the windows that a batch closes.

    Args:
        standing: before the batch.
        events: new ones, sorted by time; at least one.
        overlap: how long an id is remembered, against the newest event.

    Raises:
        DataError: a column that the bundle reads is missing.
    """
    extractor = standing.bundle.extractor
    late = extractor.late(events, standing.bundle.profile)
    newest = events["timestamp"][-1]
    last = newest if standing.last is None else max(newest, standing.last)
    seen = pl.concat([standing.recent, events.select(*RECENT_SCHEMA)])
    after = replace(
        standing,
        last=last,
        recent=seen.filter(pl.col("timestamp") > last - overlap),
        batches=standing.batches + 1,
    )
    rows, bundle = _closed(standing.bundle, events.filter(~late))
    return Scored(rows, events.filter(late), replace(after, bundle=bundle))


def close_until(standing: Standing, until: datetime) -> Scored:
    """Score the windows that can be closed once all events before a moment are there."""
    profile = standing.bundle.profile
    mark = until if profile.watermark is None else max(until, profile.watermark)
    bundle = replace(standing.bundle, profile=replace(profile, watermark=mark))
    rows, bundle = _closed(bundle, _nothing(bundle))
    after = replace(standing, bundle=bundle, batches=standing.batches + 1)
    return Scored(rows, pl.DataFrame(), after)


def open_rows(standing: Standing) -> pl.DataFrame:
    """Windows that may still grow, as they stand: scored, never alerts, taught to nobody."""
    bundle = standing.bundle
    nothing = _nothing(bundle)
    windows, _, _ = bundle.extractor.closing(nothing, bundle.profile, open_windows=True)
    scores = bundle.score_windows(windows)
    return score_rows(bundle, windows, scores, np.zeros(len(windows), np.bool_), is_open=True)


def _closed(bundle: Bundle, events: pl.DataFrame) -> tuple[pl.DataFrame, Bundle]:
    windows, closed_from, profile = bundle.extractor.closing(events, bundle.profile)
    moved = replace(bundle, profile=profile)
    if not len(windows):
        return pl.DataFrame(schema=SCORE_SCHEMA), moved
    # in the order in which they close, so that it does not matter how the log is cut
    order = windows.keys.select("window_id", at=closed_from).with_row_index("row")
    windows = windows.take(order.sort("at", "window_id")["row"].to_numpy().astype(np.int64))
    scores = bundle.score_windows(windows)
    alerts, alerting = _alerts(bundle, scores, windows.keys)
    rows = score_rows(bundle, windows, scores, alerts, is_open=False)
    return rows, replace(moved.after(windows), alerting=alerting)


def _alerts(bundle: Bundle, scores: FloatArray, keys: pl.DataFrame) -> tuple[Mask, Alerting]:
    """Decide window by window: one that closes after those of a later day counts as of that day."""
    return bundle.alerts(scores, keys.with_columns(pl.col("end").cum_max()))


def score_rows(
    bundle: Bundle, windows: Windows, scores: FloatArray, alerts: Mask, is_open: bool
) -> pl.DataFrame:
    """Scored windows as they are told, columns of `SCORE_SCHEMA`; alerts with their reasons."""
    keys, peers = windows.keys, windows.keys[PEER]
    told: list[str | None] = [None] * len(windows)
    alerting = np.flatnonzero(alerts).astype(np.int64)
    for row, found in zip(alerting, reasons(bundle, windows, alerting), strict=True):
        told[row] = as_json(found)
    columns = keys.select(
        "window_id",
        "user_id",
        pl.col(PEER).alias("peer"),
        window_start="start",
        window_end="end",
        n_events=pl.col("n_events").cast(pl.Int64),
    )
    return columns.with_columns(
        pl.Series("score", scores.astype(np.float64)),
        pl.Series("p_value", bundle.calibration.p_value(scores, peers)),
        pl.Series("risk", bundle.calibration.risk(scores, peers)),
        pl.Series("alert", alerts),
        pl.Series("learning", bundle.explainer.is_learning(keys["user_id"])),
        pl.Series("open", [is_open] * len(windows), pl.Boolean),
        pl.Series("reasons", told, pl.String),
    ).select(*SCORE_SCHEMA)


def _nothing(bundle: Bundle) -> pl.DataFrame:
    """No events, with all columns that the bundle reads."""
    columns = {name: EVENT_SCHEMA.get(name, pl.String()) for name in bundle.extractor.reads()}
    return pl.DataFrame(schema={**EVENT_SCHEMA, **columns})
