"""A log by time, for tests that need some work to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA

FIRST_DAY = datetime(2024, 3, 4, tzinfo=UTC)


def long_log(days: int, users: int = 30, per_day: int = 20, seed: int = 0) -> pl.DataFrame:
    """Events of some users in UTC, none at the same moment."""
    rng = np.random.default_rng(seed)
    n = days * users * per_day
    seconds = np.sort(rng.choice(days * 86_400, n, replace=False))
    return pl.DataFrame(
        {
            "event_id": [f"e{i:07d}" for i in rng.permutation(n)],
            "user_id": [f"user{i}" for i in rng.integers(0, users, n)],
            "timestamp": [FIRST_DAY + timedelta(seconds=int(s)) for s in seconds],
            "action": [f"action{min(i, 9)}" for i in rng.geometric(0.3, n)],
            "resource": [f"file{i}" for i in rng.integers(0, 90, n)],
            "source": [f"host{i}" for i in rng.integers(0, 9, n)],
            "success": (rng.random(n) < 0.9).tolist(),
        },
        schema=EVENT_SCHEMA,
    )
