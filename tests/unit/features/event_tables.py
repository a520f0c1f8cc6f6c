"""Small tables of events for the tests of features."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA
from riskml.core.types import Windows
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.family import FeatureFamily
from riskml.features.graph import GraphFeatures
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer import PeerFeatures
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import Windowing

ZERO = datetime(2024, 3, 4, tzinfo=UTC)
"""A Monday."""


def at(text: str) -> datetime:
    """A moment in UTC, from ISO text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(
    users: Sequence[str],
    times: Sequence[str | datetime],
    actions: Sequence[str] | str = "read",
    **columns: Sequence[Any],
) -> pl.DataFrame:
    """Events in the schema; what is not given is null, further columns pass through."""
    n = len(users)
    given: dict[str, Any] = {
        "event_id": [f"e{i}" for i in range(n)],
        "user_id": list(users),
        "timestamp": [at(time) if isinstance(time, str) else time for time in times],
        "action": [actions] * n if isinstance(actions, str) else list(actions),
        "resource": [None] * n,
        "source": [None] * n,
        "success": [None] * n,
    }
    return pl.DataFrame(given | dict(columns), schema_overrides=EVENT_SCHEMA)


def random_log(days: int = 14, users: int = 3, per_day: int = 12, seed: int = 0) -> pl.DataFrame:
    """A log by time, no two events of one user at the same moment."""
    rng = np.random.default_rng(seed)
    n = days * users * per_day
    seconds = np.sort(rng.choice(days * 86_400, n, replace=False))
    seconds[-1] = days * 86_400 - 1
    return table(
        [f"user{i}" for i in rng.integers(0, users, n)],
        [ZERO + timedelta(seconds=int(s)) for s in seconds],
        [f"action{min(i, 9)}" for i in rng.geometric(0.3, n)],
        resource=[f"file{i}" if i else None for i in rng.integers(0, 6, n)],
        source=[f"host{i}" if i else None for i in rng.integers(0, 3, n)],
        success=[(None, True, False)[i] for i in rng.integers(0, 3, n)],
    )


def shuffled(events: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """The rows in another order."""
    return events[np.random.default_rng(seed).permutation(len(events))]


def all_families(dimensions: int = 4) -> dict[str, FeatureFamily | None]:
    """Every family, small."""
    return {
        "volume": VolumeFeatures(3),
        "time_of_day": TimeOfDayFeatures(),
        "novelty": NoveltyFeatures(slots=2**16),
        "history": HistoryFeatures(),
        "peer": PeerFeatures(min_windows=5),
        "graph": GraphFeatures(),
        "action_embedding": ActionEmbeddingFeatures(dimensions, epochs=2),
    }


def extractor(window: Windowing, **settings: Any) -> FeatureExtractor:
    """An extractor of all families unless others are given."""
    return FeatureExtractor(window, settings.pop("families", all_families()), **settings)


def column(windows: Windows, name: str) -> list[float]:
    """Values of a feature, a window each."""
    return windows.x[:, windows.spec.names.index(name)].tolist()


def same_windows(a: Windows, b: Windows) -> bool:
    """Equal to the last byte."""
    return (
        a.keys.equals(b.keys)
        and a.x.tobytes() == b.x.tobytes()
        and a.tokens.tobytes() == b.tokens.tobytes()
        and a.lengths.tobytes() == b.lengths.tobytes()
        and a.spec == b.spec
        and a.spec.action_vectors.tobytes() == b.spec.action_vectors.tobytes()
    )
