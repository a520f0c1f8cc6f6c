"""Events that reach a source table late, twice or broken, and what a store must then hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

START = datetime(2024, 1, 20, tzinfo=UTC)
DAYS = 50
OVERLAP = timedelta(hours=2)
HOUR = 3_600_000_000


def arrivals(count: int, seed: int, phases: int) -> list[pl.DataFrame]:
    """Rows by phase of their arrival, shuffled in each: 5 % late, 1 % twice, 0.3 % without user.

    Of the late ones about half have left the overlap by the time they come. Of the second copies
    half have another time.
    """
    rng = np.random.default_rng(seed)
    time = rng.integers(0, DAYS * 24 * HOUR, count)
    delay = rng.exponential(HOUR / 60, count)
    late = rng.random(count) < 0.05
    delay[late] = np.where(
        rng.random(late.sum()) < 0.5,
        rng.uniform(HOUR / 4, 1.8 * HOUR, late.sum()),
        rng.uniform(2 * HOUR, 200 * HOUR, late.sum()),
    )
    user = np.where(rng.random(count) < 0.003, " ", [f"u{i % 97}" for i in range(count)])
    rows = pl.DataFrame(
        {
            "event_id": [f"{seed}-{i:06d}" for i in range(count)],
            "employee": user,
            "time": time,
            "action": [f"action {i % 13}" for i in range(count)],
            "document": [None if i % 3 else f'"doc", {i}' for i in range(count)],
            "arrival": time + delay,
        }
    )
    again = rows.sample(count // 100, seed=seed)
    moved = rng.integers(-3 * HOUR, 3 * HOUR, len(again)) * (rng.random(len(again)) < 0.5)
    again = again.with_columns(
        time=(pl.col("time") + pl.Series(moved)).clip(0, DAYS * 24 * HOUR),
        arrival=pl.col("arrival") + pl.Series(rng.uniform(0, 100 * HOUR, len(again))),
    )
    rows = pl.concat([rows, again]).sort("arrival")
    rows = rows.with_columns(
        login_time=pl.lit(START).cast(pl.Datetime("us", "UTC"))
        + pl.col("time").cast(pl.Duration("us"))
    ).drop("time", "arrival")
    size = -(-len(rows) // phases)
    return [part.sample(fraction=1, shuffle=True, seed=seed) for part in rows.iter_slices(size)]


@dataclass
class Oracle:
    """The store as it must be, by the definition and a row at a time.

    Args:
        store: event id -> its time, user, action and document, of the copy that counts.
        quarantine: ids of unusable rows.
        late: ids of rows that were never within the window.
    """

    store: dict[str, tuple[datetime, str, str, str | None]] = field(default_factory=dict)
    quarantine: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    watermark: datetime | None = None
    _seen: list[tuple[datetime, str, str, str, str | None]] = field(default_factory=list)

    def arrive(self, rows: pl.DataFrame) -> None:
        """Take over what a complete run finds after these rows have come."""
        columns = ("login_time", "event_id", "employee", "action", "document")
        self._seen += rows.select(columns).rows()
        self._seen.sort(key=lambda row: row[0])
        after = None if self.watermark is None else self.watermark - OVERLAP
        for time, event_id, user, action, document in self._seen:
            if after is not None and time <= after:
                continue
            if not user.strip():
                self.quarantine.add(event_id)
            elif event_id not in self.store:
                self.store[event_id] = (time, user, action, document)
            if user.strip():
                self.watermark = time if self.watermark is None else max(self.watermark, time)
        known = self.store.keys() | self.quarantine
        before = {row[1] for row in self._seen if after is not None and row[0] <= after}
        self.late = (self.late | before) - known
