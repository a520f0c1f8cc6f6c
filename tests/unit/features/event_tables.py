"""Small tables of events for the tests of features."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA
from riskml.core.types import FeatureKind, Windows
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
        and a.times.tobytes() == b.times.tobytes()
        and a.spec == b.spec
        and a.spec.action_vectors.tobytes() == b.spec.action_vectors.tobytes()
    )


ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", None)


def worldly_log(seed: int, n: int = 700, users: int = 12, days: int = 26) -> pl.DataFrame:
    """A log over both changes to summer time, with travellers, ties in time, and nulls.

    Further columns: `time_zone`, `logon` (a session's name, sessions overlap), `role`.
    """
    rng = np.random.default_rng(seed)
    # bursts, so that sessions have more than an event; some events fall on the same moment
    burst = rng.integers(0, days * 1440, n // 6)
    minute = np.sort(np.clip(rng.choice(burst, n) + rng.integers(-25, 26, n), 0, None))
    who = rng.integers(0, users, n)
    home = who % len(ZONES)
    zone = np.where(rng.random(n) < 0.04, rng.integers(0, len(ZONES), n), home)
    begin = datetime(2024, 3, 8, tzinfo=UTC)
    return table(
        [f"user{i}" for i in who],
        [begin + timedelta(minutes=int(m)) for m in minute],
        [f"action{min(i, 9)}" for i in rng.geometric(0.3, n) + who % 3],
        resource=[f"file{i}" if i else None for i in np.minimum(rng.geometric(0.04, n), 80)],
        source=[f"host{i}" if i else None for i in (who + rng.integers(0, 2, n)) % 5],
        success=[(None, True, False)[i] for i in rng.integers(0, 3, n)],
        time_zone=[ZONES[i] for i in zone],
        logon=[
            None if i == 0 else f"{m // 2880}-{i}"
            for i, m in zip(rng.integers(0, 4, n), minute, strict=True)
        ],
        role=[None if i % 5 == 0 else f"role{i % 2}" for i in who],
    )


def in_order_of_names(windows: Windows) -> Windows:
    """By window id."""
    return windows.take(windows.keys.select(pl.arg_sort_by("window_id")).to_series().to_numpy())


def assert_equal_windows(made: Sequence[Windows], expected: Windows) -> None:
    """The same windows: counts, tokens and times to the last bit, other numbers to 1e-6."""
    keys = pl.concat([windows.keys for windows in made])
    order = keys.select(pl.arg_sort_by("window_id")).to_series().to_list()
    expected = in_order_of_names(expected)
    assert keys[order].equals(expected.keys)
    found = np.concatenate([windows.x for windows in made])[order]
    whole = expected.spec.columns(FeatureKind.COUNT, FeatureKind.BINARY)
    for i, name in enumerate(expected.spec.names):
        bound = 0 if i in whole else 1e-6
        np.testing.assert_allclose(found[:, i], expected.x[:, i], rtol=0, atol=bound, err_msg=name)
    tokens = [row for windows in made for row in token_lists(windows)]
    assert [tokens[i] for i in order] == token_lists(expected)
    times = [row for windows in made for row in time_lists(windows)]
    assert [times[i] for i in order] == time_lists(expected)


def token_lists(windows: Windows) -> list[list[int]]:
    """The tokens of each window without padding."""
    return [row[:n].tolist() for row, n in zip(windows.tokens, windows.lengths, strict=True)]


def time_lists(windows: Windows) -> list[list[list[float]]]:
    """Log gap and hour of each event without padding."""
    return [row[:n].tolist() for row, n in zip(windows.times, windows.lengths, strict=True)]
