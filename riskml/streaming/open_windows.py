"""What a stream has to know of windows that are still open, as tables of a profile."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from riskml.core.schema import TIMESTAMP
from riskml.features.profile import USER, Profile

IDS, TOLD, DUE = "stream.ids", "stream.windows", "stream.due"
"""Tables of a profile that only a stream has: ids of the events in open windows, what was told of
open windows, and when they close."""

_TOLD: dict[str, pl.DataType] = {
    USER: pl.UInt64(),
    "window_id": pl.String(),
    "n_events": pl.Int64(),
    "revision": pl.Int64(),
    "raised_at": TIMESTAMP,
}


def told_of(known: Profile) -> pl.DataFrame:
    """What was told of the open windows of these users."""
    found = known.tables.get(TOLD)
    return pl.DataFrame(schema=_TOLD) if found is None else found


def with_open_windows(
    known: Profile,
    events: pl.DataFrame,
    after: Profile,
    rows: pl.DataFrame,
    still: pl.DataFrame,
) -> tuple[Profile, pl.DataFrame]:
    """The profile with its tables of windows that are still open, and which times to close are new.

    Args:
        known: before.
        events: that were added.
        after: the profile as the extractor left it.
        rows: that are told.
        still: the open windows: `USER`, window_id, n_events, due.
    """
    seen = ("window_id", "revision", "raised_at")
    newest = pl.concat([rows.select(seen), told_of(known).select(seen)])
    newest = newest.unique("window_id", keep="first", maintain_order=True)
    told = still.drop("due").join(newest, on="window_id", how="left")
    due = still.group_by(USER).agg(pl.col("due").min())
    changed = due
    if DUE in known.tables:
        changed = due.join(known.tables[DUE], on=[USER, "due"], how="anti")
    ids = _ids_in(known, events, after)
    tables = {**after.tables, IDS: ids, TOLD: told, DUE: due}
    return replace(after, tables=tables), changed


def _ids_in(known: Profile, events: pl.DataFrame, after: Profile) -> pl.DataFrame:
    """By which a second copy of an event is known; of closed windows it comes too late anyway."""
    ids = events.select(USER, "id", "timestamp")
    if IDS in known.tables:
        ids = pl.concat([known.tables[IDS], ids])
    if after.open is None:
        return ids.clear()
    since = after.open.group_by(USER).agg(since=pl.col("timestamp").min())
    return ids.join(since, on=USER).filter(pl.col("timestamp") >= pl.col("since")).drop("since")
