"""Windows of some users day by day; the number of events is all that a detector sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows

SPEC = FeatureSpec((Feature("events", "volume", FeatureKind.COUNT, "events"),))
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
TRAIN, LATER = 60, 30
"""Days to fit on, and days to calibrate on."""


def days(events: np.ndarray, day: int = 0, names: list[str] | None = None) -> Windows:
    """One window a user and day.

    Args:
        events: [users, days] numbers of events.
        day: the first.
        names: of the users.
    """
    users, length = events.shape
    names = names or [f"user{i}" for i in range(users)]
    rows = [
        (f"{name}/{day + j}", name, FIRST + timedelta(days=day + j), int(events[i, j]))
        for j in range(length)
        for i, name in enumerate(names)
    ]
    keys = pl.DataFrame(rows, ["window_id", "user_id", "end", "n_events"], orient="row")
    keys = keys.with_columns(pl.col("end").cast(pl.Datetime("us", "UTC"))).with_columns(start="end")
    n = len(rows)
    x = keys["n_events"].to_numpy().astype(np.float32)[:, None]
    return Windows(keys, x, SPEC, np.zeros((n, 1), np.int32), np.zeros(n, np.int32))


def usual(users: int, length: int, seed: int) -> np.ndarray:
    """Numbers of events on normal days: a tenth is above 230, a hundredth above 460."""
    return np.random.default_rng(seed).exponential(100, (users, length)).astype(np.int64)


def train(users: int = 20) -> tuple[Windows, Windows]:
    """Windows to fit and to calibrate on."""
    return days(usual(users, TRAIN, 0)), days(usual(users, LATER, 1), TRAIN)


def table(scores: np.ndarray, users: int) -> np.ndarray:
    """Scores of `days` as [users, days]."""
    return scores.reshape(-1, users).T
