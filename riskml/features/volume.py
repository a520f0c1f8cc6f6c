"""How much: events, resources, sources, failures, minutes, and counts of each action."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import TOKEN, ActionVocabulary
from riskml.features.family import FeatureFamily, per_window


class VolumeFeatures(FeatureFamily):
    """Counts of a window.

    Args:
        max_actions: the commonest actions get a count of their own, the rest share one.
    """

    name = "volume"

    def __init__(self, max_actions: int = 40) -> None:
        self.max_actions = max_actions

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"max_actions": self.max_actions}

    def features(self, vocabulary: ActionVocabulary) -> list[Feature]:
        """Five totals, then one count an action, then all other actions."""
        totals = [
            ("events", "events", ""),
            ("resources", "different resources", ""),
            ("sources", "different sources", ""),
            ("failures", "failed actions", ""),
            ("minutes", "minutes from first to last event", "min"),
        ]
        columns = [
            Feature(name, self.name, FeatureKind.COUNT, meaning, unit)
            for name, meaning, unit in totals
        ]
        for action in self._own(vocabulary):
            columns.append(
                Feature(f"count:{action}", self.name, FeatureKind.COUNT, f"'{action}' actions")
            )
        columns.append(Feature("count:other", self.name, FeatureKind.COUNT, "other actions"))
        return columns

    def transform(
        self, events: pl.DataFrame, keys: pl.DataFrame, vocabulary: ActionVocabulary
    ) -> FloatArray:
        """Counts, float32 [len(keys), 5 + actions + 1]."""
        seconds = (pl.col("timestamp").max() - pl.col("timestamp").min()).dt.total_seconds()
        totals = per_window(
            events,
            keys,
            pl.len().alias("events"),
            pl.col("resource").drop_nulls().n_unique().alias("resources"),
            pl.col("source").drop_nulls().n_unique().alias("sources"),
            (pl.col("success") == False).sum().alias("failures"),  # noqa: E712 (null is unknown)
            (seconds // 60).alias("minutes"),
        )
        own = len(self._own(vocabulary))
        rows = events["row"].to_numpy().astype(np.int64)
        column = np.minimum(events[TOKEN].to_numpy().astype(np.int64) - 2, own)
        column[column < 0] = own
        cells = np.bincount(rows * (own + 1) + column, minlength=len(keys) * (own + 1))
        return np.hstack([totals, cells.reshape(len(keys), own + 1).astype(np.float32)])

    def _own(self, vocabulary: ActionVocabulary) -> tuple[str, ...]:
        return vocabulary.actions[2 : 2 + self.max_actions]
