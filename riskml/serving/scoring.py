"""Events that come in batches → rows of scored windows, and where the job stands after each."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA, TIMESTAMP
from riskml.core.types import PEER, FloatArray, Windows
from riskml.export.bundle import Bundle
from riskml.monitoring.tracing import span
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
    "event_ids": pl.String(),
}
"""Columns of a scored window. Of alerts only, as JSON: `reasons`, a list, and `event_ids`, the
`count` of events and the `ids` of the first and the last of them."""

LATE = ("late_event", "the event came after its window was closed and scored")
"""Rule and reason of what is set apart."""

CLOSING_ORDER = ("closed_from", "window_id")
"""How windows are ordered, so that it does not matter how a log is cut into batches."""


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


@dataclass(frozen=True)
class Closed:
    """Windows that a batch closes.

    Args:
        windows: in the order in which they close.
        scores: float32 [n].
        bundle: after them, but for its alerting.
    """

    windows: Windows
    scores: FloatArray
    bundle: Bundle


class Closer(Protocol):
    """What turns events into scored windows; it changes no number."""

    def __call__(self, bundle: Bundle, events: pl.DataFrame, open_windows: bool = False) -> Closed:
        """Close what the events close.

        Args:
            bundle: before them.
            events: sorted by time, none of a window that is closed; there may be none.
            open_windows: also the windows that may still grow; the bundle learns nothing of any.

        Raises:
            DataError: a column that the bundle reads is missing.
        """
        ...


def close_here(bundle: Bundle, events: pl.DataFrame, open_windows: bool = False) -> Closed:
    """All in this process."""
    with span("features", events=len(events)):
        windows, closed_from, profile = bundle.extractor.closing(
            events, bundle.profile, open_windows, with_ids=True
        )
    after = replace(bundle, profile=profile)
    if not len(windows):
        return Closed(windows, np.zeros(0, np.float32), after)
    keys = windows.keys.with_columns(closed_from=closed_from)
    order = keys.select(pl.arg_sort_by(*CLOSING_ORDER)).to_series().to_numpy().astype(np.int64)
    windows = windows.take(order)
    with span("score", windows=len(windows)):
        scores = bundle.score_windows(windows)
        learnt = after if open_windows else after.after(windows)
    return Closed(windows, scores, learnt)


def score_events(
    standing: Standing, events: pl.DataFrame, overlap: timedelta, close: Closer = close_here
) -> Scored:
    """Score the windows that a batch closes.

    Args:
        standing: before the batch.
        events: new ones, sorted by time; at least one.
        overlap: how long an id is remembered, against the newest event.
        close: what closes them.

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
    rows, bundle = decided(standing.bundle, close(standing.bundle, events.filter(~late)))
    return Scored(rows, events.filter(late), replace(after, bundle=bundle))


def close_until(standing: Standing, until: datetime, close: Closer = close_here) -> Scored:
    """Score the windows that can be closed once all events before a moment are there."""
    profile = standing.bundle.profile
    mark = until if profile.watermark is None else max(until, profile.watermark)
    bundle = replace(standing.bundle, profile=replace(profile, watermark=mark))
    rows, bundle = decided(bundle, close(bundle, no_events(bundle)))
    after = replace(standing, bundle=bundle, batches=standing.batches + 1)
    return Scored(rows, pl.DataFrame(), after)


def open_rows(standing: Standing, close: Closer = close_here) -> pl.DataFrame:
    """Windows that may still grow, as they stand: scored, never alerts, taught to nobody."""
    bundle = standing.bundle
    found = close(bundle, no_events(bundle), open_windows=True)
    alerts = np.zeros(len(found.windows), np.bool_)
    return score_rows(bundle, found.windows, found.scores, alerts, is_open=True)


def decided(before: Bundle, closed: Closed) -> tuple[pl.DataFrame, Bundle]:
    """Rows of closed windows, columns of `SCORE_SCHEMA`, and the bundle after them.

    Args:
        before: decides about alerts.
        closed: the windows.
    """
    windows, scores = closed.windows, closed.scores
    if not len(windows):
        return pl.DataFrame(schema=SCORE_SCHEMA), closed.bundle
    with span("alert", windows=len(windows)):
        alerts, alerting = _alerts(before, scores, windows.keys)
        rows = score_rows(before, windows, scores, alerts, is_open=False)
    return rows, replace(closed.bundle, alerting=alerting)


def _alerts(bundle: Bundle, scores: FloatArray, keys: pl.DataFrame) -> tuple[Mask, Alerting]:
    """Decide window by window: one that closes after those of a later day counts as of that day."""
    return bundle.alerts(scores, keys.with_columns(pl.col("end").cum_max()))


def score_rows(
    bundle: Bundle, windows: Windows, scores: FloatArray, alerts: Mask, is_open: bool
) -> pl.DataFrame:
    """Scored windows as they are told, columns of `SCORE_SCHEMA`; alerts with their reasons."""
    keys, peers = windows.keys, windows.keys[PEER]
    told: list[str | None] = [None] * len(windows)
    ids = told.copy()
    alerting = np.flatnonzero(alerts).astype(np.int64)
    for row, found in zip(alerting, reasons(bundle, windows, alerting), strict=True):
        told[row] = as_json(found)
        if windows.event_ids is not None:
            some = windows.event_ids[int(row)].to_list()
            content = {"count": keys["n_events"][int(row)], "ids": some}
            ids[row] = json.dumps(content, ensure_ascii=False)
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
        pl.Series("event_ids", ids, pl.String),
    ).select(*SCORE_SCHEMA)


def no_events(bundle: Bundle) -> pl.DataFrame:
    """No events, with all columns that the bundle reads."""
    columns = {name: EVENT_SCHEMA.get(name, pl.String()) for name in bundle.extractor.reads()}
    return pl.DataFrame(schema={**EVENT_SCHEMA, **columns})
