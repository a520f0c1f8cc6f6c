"""The scoring job that the tests run, in a module that a new process imports quickly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import load_bundle
from riskml.serving.events import open_source
from riskml.serving.job import JobSettings, ScoreJob, open_store
from riskml.serving.summary import Summary

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
BATCH = 60
MAPPING = EventMapping(columns={"timestamp": "login_time"})
START = datetime(2024, 2, 1, tzinfo=UTC)


def job(source: str, out: str) -> ScoreJob:
    """From the table `logins` to the tables of scores."""
    settings = JobSettings(batch_events=BATCH, wait=timedelta(seconds=60))
    events = open_source(source, "logins", MAPPING, 5 * BATCH)
    return ScoreJob(load_bundle(BUNDLE), events, open_store(out), settings)


def score(source: str, out: str) -> Summary:
    """The work of a process that somebody may kill."""
    return job(source, out).run()


def logins(count: int, seed: int = 0) -> pl.DataFrame:
    """Sessions of 40 users over twenty days: 10 % come late, 1 % have no user."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 20 * 86_400 // 5, count) * 5
    user = rng.integers(0, 40, count)
    arrival = seconds + rng.integers(0, 60, count)
    arrival += (rng.random(count) < 0.1) * rng.integers(0, 3 * 3_600, count)
    nobody = rng.random(count) < 0.01
    return (
        pl.DataFrame({"seconds": seconds, "user": user, "arrival": arrival, "nobody": nobody})
        .sort("arrival")
        .with_row_index("row")
        .select(
            event_id=pl.format("e{}", "row"),
            user_id=pl.when("nobody").then(pl.lit(" ")).otherwise(pl.format("user_{}", "user")),
            login_time=pl.lit(START).cast(pl.Datetime("us", "UTC"))
            + pl.duration(seconds="seconds"),
            action=pl.format("action_{}", (pl.col("user") + pl.col("seconds") // 5 % 3) % 6),
            resource=pl.lit("r"),
            source=pl.lit("pc"),
            success=pl.lit(True),
        )
    )
