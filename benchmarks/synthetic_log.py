"""A log of any size for timing: users in bursts, resources of their own and of everybody's."""

from __future__ import annotations

import numpy as np
import polars as pl

START = np.datetime64("2024-01-01", "us").astype(np.int64)
DAY = 86_400_000_000
ACTIONS = 30


def synthetic_log(
    n_events: int, users: int, first_day: int = 0, days: int = 90, seed: int = 0
) -> pl.DataFrame:
    """About `n_events` events in order of time, in the event schema.

    Args:
        n_events: how many.
        users: of how many users.
        first_day, days: of which stretch of time.
        seed: of the random numbers.
    """
    draw = np.random.default_rng([seed, first_day])
    length = draw.geometric(1 / 20, n_events // 15)
    length = length[: np.searchsorted(np.cumsum(length), n_events) + 1]
    of_burst = draw.integers(0, users, len(length))
    begin = draw.integers(first_day * DAY, (first_day + days) * DAY - DAY // 48, len(length))
    user = np.repeat(of_burst, length)[:n_events]
    time = np.repeat(begin, length)[:n_events]
    time = time + draw.integers(0, DAY // 48, len(user))
    n = len(user)
    resource = np.where(
        draw.random(n) < 0.7,
        (user * 7 + draw.integers(0, 40, n)) % 40_000,
        draw.zipf(1.2, n) % 40_000,
    )
    source = np.where(draw.random(n) < 0.97, user, draw.integers(0, users, n))
    frame = pl.DataFrame(
        {
            "user": user,
            "timestamp": pl.Series(START + time)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
            "action": np.minimum(draw.zipf(1.5, n), ACTIONS) - 1,
            "resource": resource,
            "source": source,
            "success": draw.random(n) < 0.95,
        }
    ).sort("timestamp")
    return frame.select(
        pl.format("e{}-{}", pl.lit(first_day), pl.int_range(n)).alias("event_id"),
        pl.format("user{}", "user").alias("user_id"),
        "timestamp",
        pl.format("action{}", pl.col("action").cast(pl.String).str.zfill(2)).alias("action"),
        pl.format("resource/{}", "resource").alias("resource"),
        pl.format("host{}", "source").alias("source"),
        "success",
    )
