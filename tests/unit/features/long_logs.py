"""A log in files by day, and an extractor with every family, for the tests of scale."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from event_tables import ZERO, table

from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.graph import GraphFeatures
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer import PeerFeatures
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import Windowing

ZONES = ("UTC", "America/New_York", "Asia/Tokyo")


def log(days: int = 5, users: int = 15, per_day: int = 8, seed: int = 0) -> pl.DataFrame:
    """A log by time; some users rest for days, ids tell nothing of the order."""
    rng = np.random.default_rng(seed)
    n = days * users * per_day
    second = rng.choice(days * 86_400, n, replace=False)
    user = rng.integers(0, users, n)
    # every third user's log ends early, so that some windows are closed by others' events alone
    kept = (user % 3 > 0) | (second < (days - 2) * 86_400)
    second, user = np.sort(second[kept]), user[kept]
    n = len(user)
    return table(
        [f"user{i}" for i in user],
        [ZERO + timedelta(seconds=int(s)) for s in second],
        [f"action{min(i, 9)}" for i in rng.geometric(0.3, n)],
        event_id=[f"{i:06d}" for i in rng.permutation(n)],
        resource=[f"file{i}" if i else None for i in rng.integers(0, 60, n)],
        source=[f"host{i}" if i else None for i in rng.integers(0, 9, n)],
        success=[(None, True, False)[i] for i in rng.integers(0, 3, n)],
        time_zone=[ZONES[i % 3] for i in user],
        session=[f"s{i}" if i else None for i in rng.integers(0, 30, n)],
    )


def by_day(events: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut at midnight, UTC."""
    days = events.with_columns(pl.col("timestamp").dt.date().alias("day"))
    return [part.drop("day") for part in days.partition_by("day", maintain_order=True)]


def write_days(events: pl.DataFrame, folder: Path) -> list[Path]:
    """`day=…/events.parquet`, rows in any order."""
    files = []
    for number, part in enumerate(by_day(events)):
        file = folder / f"day={number}" / "events.parquet"
        file.parent.mkdir(parents=True)
        part.sample(fraction=1, shuffle=True, seed=number).write_parquet(file)
        files.append(file)
    return files


def fitted(window: Windowing, events: pl.DataFrame, **settings: Any) -> FeatureExtractor:
    """Every family, small."""
    families = {
        "volume": VolumeFeatures(3),
        "time_of_day": TimeOfDayFeatures(),
        "novelty": NoveltyFeatures(),
        "history": HistoryFeatures(),
        "peer": PeerFeatures(5),
        "graph": GraphFeatures(),
        "action_embedding": ActionEmbeddingFeatures(4, epochs=2),
    }
    return FeatureExtractor(window, settings.pop("families", families), **settings).fit(events)
