"""What sort of actions: the mean Word2Vec vector of a window's events."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F

from riskml.core.types import Feature, FeatureKind, FloatArray, IntArray
from riskml.features.actions import TOKEN, ActionVocabulary, train_action_vectors
from riskml.features.family import FeatureFamily


class ActionEmbeddingFeatures(FeatureFamily):
    """Mean of the frozen action vectors over a window's events.

    Args:
        dimensions: length of a vector.
        context: actions looked at on either side in training.
        epochs: passes over the train windows.
        seed: of the training.
    """

    name = "action_embedding"

    def __init__(
        self, dimensions: int = 16, context: int = 5, epochs: int = 5, seed: int = 0
    ) -> None:
        self.dimensions, self.context, self.epochs, self.seed = dimensions, context, epochs, seed
        self.vectors: FloatArray = np.zeros((2, dimensions), np.float32)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "dimensions": self.dimensions,
            "context": self.context,
            "epochs": self.epochs,
            "seed": self.seed,
        }

    def fit(self, tokens: IntArray, lengths: IntArray, vocabulary: ActionVocabulary) -> None:
        """Train the vectors on the train period's windows."""
        self.vectors = train_action_vectors(
            tokens,
            lengths,
            len(vocabulary),
            dimensions=self.dimensions,
            context=self.context,
            epochs=self.epochs,
            seed=self.seed,
        )

    def features(self, vocabulary: ActionVocabulary) -> list[Feature]:
        """One column a dimension; reasons speak of all of them together."""
        return [
            Feature(
                f"action_embedding_{i:02d}",
                self.name,
                FeatureKind.CONTINUOUS,
                "mix of actions",
                topic="action_embedding",
            )
            for i in range(self.dimensions)
        ]

    def transform(
        self, events: pl.DataFrame, keys: pl.DataFrame, vocabulary: ActionVocabulary
    ) -> FloatArray:
        """Float32 [len(keys), dimensions]."""
        rows = events["row"].to_numpy()
        starts = np.searchsorted(rows, np.arange(len(keys)))
        pooled = F.embedding_bag(
            torch.from_numpy(events[TOKEN].to_numpy().astype(np.int64)),
            torch.from_numpy(self.vectors),
            torch.from_numpy(starts.astype(np.int64)),
            mode="mean",
        )
        vectors: FloatArray = pooled.numpy()
        return vectors

    def arrays(self) -> dict[str, FloatArray]:
        """The vector of every token."""
        return {"vectors": self.vectors}

    def restore(self, arrays: dict[str, FloatArray]) -> None:
        """Put the vectors back."""
        self.vectors = arrays["vectors"]
