"""What sort of actions: pooled Word2Vec vectors of a window's events."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from riskml.core.errors import BundleError, require
from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import TOKEN, ActionVocabulary, train_action_vectors
from riskml.features.family import Columns, FeatureFamily, WindowEvents
from riskml.features.profile import Profile
from riskml.features.rows import Array

POOLINGS = {"mean": "mix of actions", "sif": "mix of actions, rare ones weighted up"}


class ActionEmbeddingFeatures(FeatureFamily):
    """Mean of the frozen action vectors over a window's events, plain and SIF-weighted.

    Smooth inverse frequency (Arora et al. 2017) weighs an action by a / (a + p), p its share of
    the train period's events, so that what everybody does all day does not drown the rest.

    Args:
        dimensions: length of a vector.
        context: actions looked at on either side in training.
        epochs: passes over the train windows.
        poolings: `mean`, `sif`, both, or none: then the vectors serve models of sequences alone.
        smoothing: a of the weights.
        seed: of the training.
    """

    name = "action_embedding"

    def __init__(
        self,
        dimensions: int = 16,
        context: int = 5,
        epochs: int = 5,
        poolings: tuple[str, ...] | list[str] = ("mean",),
        smoothing: float = 1e-3,
        seed: int = 0,
    ) -> None:
        setting = "features.families.action_embedding"
        for name, value in {"dimensions": dimensions, "context": context, "epochs": epochs}.items():
            require(f"{setting}.{name}", value, value >= 1, "must be at least 1")
        odd = [name for name in poolings if name not in POOLINGS]
        require(f"{setting}.poolings", odd, not odd, f"are not known; choose from {list(POOLINGS)}")
        require(f"{setting}.smoothing", smoothing, smoothing > 0, "must be positive")
        self.dimensions, self.context, self.epochs, self.seed = dimensions, context, epochs, seed
        self.poolings, self.smoothing = tuple(poolings), smoothing
        self.vectors: FloatArray = np.zeros((2, dimensions), np.float32)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "dimensions": self.dimensions,
            "context": self.context,
            "epochs": self.epochs,
            "poolings": list(self.poolings),
            "smoothing": self.smoothing,
            "seed": self.seed,
        }

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Train the vectors on the train period's windows."""
        self.vectors = train_action_vectors(
            windows.column(TOKEN),
            windows.counts,
            len(windows.vocabulary),
            dimensions=self.dimensions,
            context=self.context,
            epochs=self.epochs,
            seed=self.seed,
        )

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """One column a pooling and dimension; reasons speak of all of them together."""
        return [
            Feature(
                f"{'' if pooling == 'mean' else f'{pooling}_'}{self.name}_{i:02d}",
                self.name,
                FeatureKind.CONTINUOUS,
                POOLINGS[pooling],
                topic=self.name,
            )
            for pooling in self.poolings
            for i in range(self.dimensions)
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, poolings × dimensions]."""
        tokens, pooled = windows.column(TOKEN), []
        for pooling in self.poolings:
            vectors = self.vectors
            if pooling == "sif":
                vectors = vectors * self._weights(windows.vocabulary)[:, None]
            pooled.append(pool(tokens, vectors, windows.first))
        return np.hstack([np.zeros((len(windows), 0), np.float32), *pooled]), profile

    def _weights(self, vocabulary: ActionVocabulary) -> FloatArray:
        counts = np.array(vocabulary.counts, np.float64)
        share = counts / max(counts.sum(), 1)
        # relative to the commonest action, so that both poolings have one scale
        weight = self.smoothing / (self.smoothing + share)
        scaled: FloatArray = (weight / weight[2:].min(initial=1.0)).astype(np.float32)
        return scaled

    def arrays(self) -> dict[str, Array]:
        """The vector of every token."""
        return {"vectors": self.vectors}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put the vectors back."""
        self.vectors = arrays["vectors"]

    @property
    def sha256(self) -> str:
        """Of the vectors: equal hashes, equal embedding."""
        return hashlib.sha256(np.ascontiguousarray(self.vectors).tobytes()).hexdigest()

    def check(self, sha256: str) -> None:
        """Refuse vectors other than those that were learnt.

        Raises:
            BundleError: the hash is another.
        """
        if self.sha256 != sha256:
            raise BundleError("the action vectors were changed: their SHA-256 is another")


def pool(tokens: Array, vectors: FloatArray, first: Array) -> FloatArray:
    """Mean vector of each run of tokens.

    Args:
        tokens: int [events].
        vectors: float32 [ids, dimensions].
        first: int [windows], where each window begins.

    Returns:
        float32 [windows, dimensions].
    """
    ids, starts = (torch.from_numpy(np.asarray(part, np.int64)) for part in (tokens, first))
    means: FloatArray = F.embedding_bag(ids, torch.from_numpy(vectors), starts, mode="mean").numpy()
    return means
