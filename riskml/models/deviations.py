"""How far a window's features lie from the middle of its own user; learnt once, then frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.features.scaling import FeatureScaler

LIMIT = 30.0
"""Deviations beyond which further is no stranger."""


@dataclass(frozen=True)
class Deviations:
    """Features scaled, the user's own mean taken off, and each scaled again.

    Args:
        scaler: of all train windows.
        users: row of each user in `means`; row 0, everybody's middle, is for users not known.
        means: float32 [users + 1, d].
        spread: float32 [d], what a deviation is measured in.
    """

    scaler: FeatureScaler
    users: dict[str, int]
    means: FloatArray
    spread: FloatArray

    @classmethod
    def fit(cls, windows: Windows, prior_windows: float, scaled: bool = True) -> Self:
        """Learn scale and middles from train windows.

        Args:
            windows: of the train period.
            prior_windows: how many windows everybody's mean weighs among the user's own.
            scaled: whether each feature is measured in its own deviations; without it a count
                weighs by its logarithm, however steady it is in training.

        Raises:
            DataError: every feature has one and the same value in all windows.
        """
        scaler = FeatureScaler.fit(windows)
        if not scaled:
            scaler = FeatureScaler(scaler.mean, np.ones_like(scaler.scale), windows.spec)
        rows = pl.DataFrame(scaler.transform(windows.x)).with_columns(windows.keys["user_id"])
        sums = rows.group_by("user_id").agg(pl.len(), pl.exclude("user_id").sum())
        sums = sums.rename({"len": "_n"}).sort("user_id")
        n = sums["_n"].to_numpy()[:, None] + prior_windows
        users = {name: i + 1 for i, name in enumerate(sums["user_id"].to_list())}
        own = sums.drop("user_id", "_n").to_numpy() / n
        means = np.vstack([np.zeros((1, own.shape[1])), own]).astype(np.float32)
        found = cls(scaler, users, means, np.ones(own.shape[1], np.float32))
        if not scaled:
            return found
        spread = np.maximum(found.of(windows).std(0), 1e-6).astype(np.float32)
        return cls(scaler, users, means, spread)

    def of(self, windows: Windows) -> FloatArray:
        """Float32 [n, d]."""
        users = windows.keys["user_id"].replace_strict(self.users, default=0, return_dtype=pl.Int64)
        scaled = self.scaler.transform(windows.x) - self.means[users.to_numpy()]
        deviations: FloatArray = np.clip(scaled / self.spread, -LIMIT, LIMIT)
        return deviations

    def arrays(self) -> dict[str, Any]:
        """What is saved beside the names of the users."""
        scaler = {"mean": self.scaler.mean, "scale": self.scaler.scale}
        return {"means": self.means, "spread": self.spread, **scaler}

    @classmethod
    def restored(cls, users: list[str], arrays: dict[str, Any], spec: FeatureSpec) -> Self:
        """From what was saved, users in their order."""
        scaler = FeatureScaler(arrays["mean"], arrays["scale"], spec)
        rows = {name: i + 1 for i, name in enumerate(users)}
        return cls(scaler, rows, arrays["means"], arrays["spread"])
