"""Made-up tables of scores for the tests of metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

FIRST = datetime(2024, 3, 4, tzinfo=UTC)


def score_table(days: list[float], **columns: list[Any]) -> pl.DataFrame:
    """Windows of one hour that end so many days after a Monday's midnight; all else is optional.

    Args:
        days: end of each window.
        columns: user_id, score, label, incidents, alert, within_budget, n_events, p_value, ...
    """
    n = len(days)
    ends = [FIRST + timedelta(days=day) for day in days]
    usual: dict[str, list[Any]] = {
        "window_id": [f"w{row}" for row in range(n)],
        "user_id": ["ann"] * n,
        "n_events": [1] * n,
        "score": [0.0] * n,
        "p_value": [0.5] * n,
        "alert": [False] * n,
        "within_budget": [False] * n,
        "label": [0] * n,
        "incidents": [[]] * n,
    }
    return pl.DataFrame(
        {**usual, **columns, "start": [end - timedelta(hours=1) for end in ends], "end": ends},
        schema_overrides={
            "alert": pl.Boolean,
            "within_budget": pl.Boolean,
            "label": pl.Int8,
            "score": pl.Float64,
            "incidents": pl.List(pl.String),
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
        },
        strict=False,
    )


def random_table(
    seed: int, n: int = 60, users: int = 8, days: float = 5.0, levels: float = 1.0
) -> pl.DataFrame:
    """Few users with many ties; risky windows have no incident, their user's, or one more."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, n)
    label = rng.random(n) < 0.25
    own = [
        [f"a{who}", f"b{who // 2}"][: rng.integers(0, 3)] if risky else []
        for who, risky in zip(user, label, strict=True)
    ]
    score = np.round((rng.normal(size=n) + label) * levels) / levels
    return score_table(
        sorted(rng.uniform(0.1, days, n).tolist()),
        user_id=[f"user{number}" for number in user],
        n_events=rng.integers(1, 9, n).tolist(),
        score=score.tolist(),
        p_value=rng.random(n).tolist(),
        alert=(score + rng.normal(size=n) > 0.8).tolist(),
        within_budget=(score + rng.normal(size=n) > 1).tolist(),
        label=label.astype(int).tolist(),
        incidents=own,
    )
