"""Small windows with every kind of feature, in mixed order, and users with habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.contrastive import ContrastiveDetector
from riskml.models.deep import DeepDetector, TrainingSettings
from riskml.models.lstm_ae import LSTMAutoencoderDetector
from riskml.models.transformer import TransformerDetector
from riskml.models.vae import VAEDetector

ACTIONS = ("<pad>", "<unknown>", "read", "write", "login", "logout", "delete", "grant")

SPEC = FeatureSpec(
    (
        Feature("events", "volume", FeatureKind.COUNT, "events"),
        Feature("pace", "volume", FeatureKind.CONTINUOUS, "pace"),
        Feature("weekend", "time_of_day", FeatureKind.BINARY, "weekend"),
        Feature("hour_sin", "time_of_day", FeatureKind.CYCLIC, "hour", "h", "hour"),
        Feature("failures", "volume", FeatureKind.COUNT, "failures"),
        Feature("hour_cos", "time_of_day", FeatureKind.CYCLIC, "hour", "h", "hour"),
        Feature("admin", "volume", FeatureKind.BINARY, "admin"),
    ),
    ACTIONS,
    np.random.default_rng(0).normal(size=(len(ACTIONS), 4)).astype(np.float32),
)


def make_windows(users: int = 3, each: int = 20, seed: int = 0, longest: int = 9) -> Windows:
    """`each` windows of each of `users`, in turn."""
    rng = np.random.default_rng(seed)
    n = users * each
    user = np.arange(n) % users
    lengths = rng.integers(1, longest + 1, n).astype(np.int32)
    tokens = np.zeros((n, longest), np.int32)
    for i in range(n):
        tokens[i, : lengths[i]] = rng.choice([2 + user[i] % 3, 5, 1], lengths[i], p=[0.7, 0.2, 0.1])
    angle = user * 0.7 + rng.normal(0, 0.2, n)
    columns = [
        rng.poisson(4 + 6 * user),
        rng.normal(user, 1.0),
        rng.random(n) < 0.3,
        np.sin(angle),
        rng.poisson(0.4, n),
        np.cos(angle),
        rng.random(n) < 0.1 + 0.2 * (user == 1),
    ]
    start = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(n)]
    keys = pl.DataFrame(
        {
            "window_id": [f"w{i:04d}" for i in range(n)],
            "user_id": [f"user_{u}" for u in user],
            "start": start,
            "end": start,
            "n_events": lengths.astype(np.int64),
        },
        schema_overrides={"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")},
    )
    x = np.stack(columns, 1).astype(np.float32)
    return Windows(keys, x, SPEC, tokens, lengths)


def as_user(windows: Windows, name: str) -> Windows:
    """The same windows, all of one user."""
    keys = windows.keys.with_columns(pl.lit(name).alias("user_id"))
    return replace(windows, keys=keys)


def with_times(windows: Windows, seed: int = 0) -> Windows:
    """The same windows with times of their events, the gap longer after an odd action."""
    rng = np.random.default_rng(seed)
    valid = np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]
    gaps = rng.normal(3 + windows.tokens % 2, 0.5, windows.tokens.shape) * valid
    gaps[:, 0] = 0
    hours = rng.uniform(8, 18, gaps.shape) * valid
    times = np.stack([gaps, hours], 2).astype(np.float32)
    return replace(windows, spec=replace(windows.spec, event_times=True), times=times)


def quick(**settings: Any) -> TrainingSettings:
    """Settings for a training of a moment."""
    return TrainingSettings(**{"max_epochs": 3, "batch_size": 16, **settings})


Make = Callable[..., DeepDetector]

DEEP: dict[str, Make] = {
    "autoencoder": lambda **arguments: AutoencoderDetector(
        **{"hidden": (12, 8), "latent_dim": 3, "user_dim": 4, "training": quick(), **arguments}
    ),
    "vae": lambda **arguments: VAEDetector(
        **{"hidden": (12, 8), "latent_dim": 3, "user_dim": 4, "training": quick(), **arguments}
    ),
    "lstm_ae": lambda **arguments: LSTMAutoencoderDetector(
        **{"hidden_size": 8, "latent_dim": 3, "user_dim": 4, "training": quick(), **arguments}
    ),
    "transformer": lambda **arguments: TransformerDetector(
        **{"width": 8, "heads": 2, "top_k": 3, "user_dim": 4, "training": quick(), **arguments}
    ),
    "contrastive": lambda **arguments: ContrastiveDetector(
        **{"user_dim": 4, "training": quick(), **arguments}
    ),
}
"""Small deep detectors by name."""

LIKELIHOODS = [name for name in DEEP if name != "contrastive"]
"""Those with a likelihood under the user's view, and one under the population's."""

SEQUENCES = ("lstm_ae", "transformer")
"""Those whose parts are the events of a window."""
