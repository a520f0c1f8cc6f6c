"""A log of logins on a broker, and what a database has of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import numpy as np
import polars as pl
from broker import Broker
from sqlalchemy import Engine, text

from riskml.core.schema import TIMESTAMP

USERS = 60
POISON = [b"no json", b'{"user_id": "u1"}', b"\xff\xfe"]


def logins(count: int) -> pl.DataFrame:
    """Sessions of users over weeks, in order of time and id."""
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.integers(0, 30 * 86_400, count))
    user = rng.integers(0, USERS, count)
    start = pl.lit(1_706_745_600_000_000, pl.Int64)  # 2024-02-01
    return (
        pl.DataFrame({"user": user, "seconds": seconds})
        .select(
            event_id=pl.format("e{}", pl.int_range(pl.len())),
            user_id=pl.format("user_{}", "user"),
            timestamp=(start + pl.col("seconds") * 1_000_000).cast(TIMESTAMP),
            action=pl.format("action_{}", (pl.col("user") + pl.col("seconds") // 7) % 6),
            resource=pl.lit("r"),
            source=pl.lit("pc"),
            success=pl.lit(True),
        )
        .sort("timestamp", "event_id")
    )


def send(broker: Broker, events: pl.DataFrame) -> int:
    """By user; a tenth come twice, and some messages are none. Gives how many there are."""
    times = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    rng = random.Random(0)

    def messages() -> Iterator[tuple[str, bytes]]:
        for row in events.with_columns(times).iter_rows(named=True):
            value = json.dumps(row).encode()
            yield row["user_id"], value
            if rng.random() < 0.1:
                yield row["user_id"], value
        for poison in POISON:
            yield "user_0", poison

    sent = list(messages())
    broker.send("logins", sent)
    return len(sent)


def rows_of(engine: Engine) -> pl.DataFrame:
    query = "SELECT window_id, n_events, score, alert, open FROM riskml_scores ORDER BY 1"
    with engine.connect() as connection:
        return pl.DataFrame([dict(row) for row in connection.execute(text(query)).mappings()])
