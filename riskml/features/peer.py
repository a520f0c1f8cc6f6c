"""Against the peers: percentile among their train windows, and distance from their middle."""

from __future__ import annotations

from typing import Any

import numpy as np

from riskml.core.errors import require
from riskml.core.types import PEER, RANK, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import (
    Columns,
    FeatureFamily,
    WindowEvents,
    count_columns,
    total_columns,
)
from riskml.features.peer_groups import NO_GROUP
from riskml.features.profile import Profile
from riskml.features.rows import Array

_STEPS = 200


class PeerFeatures(FeatureFamily):
    """How a window compares with the peer group's windows of the train period.

    Args:
        min_windows: a group with fewer train windows is judged by everyone's.
    """

    name = "peer"

    def __init__(self, min_windows: int = 50) -> None:
        fits = min_windows >= 1
        require("features.families.peer.min_windows", min_windows, fits, "must be at least 1")
        self.min_windows = min_windows
        nothing = np.zeros((1, 0), np.float32)
        self._learn(np.zeros((1, 0, _STEPS + 1), np.float32), nothing, nothing)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"min_windows": self.min_windows}

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Learn each group's quantiles of the totals, and mean and deviation of the counts."""
        peer = windows.keys[PEER].to_numpy()
        totals = before.x[:, total_columns(before.features)]
        counts = np.log1p(before.x[:, count_columns(before.features)])
        grid = np.linspace(0, 1, _STEPS + 1)
        # keeps what a group never does from weighing without bound
        floor = 0.25 * counts.std(axis=0) + 0.1
        quantiles, middle, spread = [], [], []
        for group in range(int(peer.max(initial=0)) + 1):
            rows = peer == group
            if group == NO_GROUP or rows.sum() < self.min_windows:
                rows = np.ones(len(peer), bool)
            quantiles.append(np.quantile(totals[rows], grid, axis=0, method="lower").T)
            middle.append(counts[rows].mean(axis=0))
            spread.append(np.maximum(counts[rows].std(axis=0), floor))
        self._learn(*(np.array(of, np.float32) for of in (quantiles, middle, spread)))

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """One percentile a total, and the distance."""
        percentiles = [
            Feature(
                f"peer_percentile_{before[i].name}",
                self.name,
                FeatureKind.CONTINUOUS,
                f"{before[i].meaning}: rank among peers' windows",
                RANK,
                aspect=before[i].aspect,
            )
            for i in total_columns(before)
        ]
        distance = "distance from the middle of the peer group"
        return [
            *percentiles,
            Feature(
                "peer_distance", self.name, FeatureKind.CONTINUOUS, distance, "standard deviations"
            ),
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, totals + 1]."""
        peer = windows.keys[PEER].to_numpy()
        group = np.where(peer < len(self.quantiles), peer, NO_GROUP)
        totals = before.x[:, total_columns(before.features)]
        x = np.empty((len(windows), totals.shape[1] + 1), np.float32)
        asked = _keys(group[:, None], totals)
        # below and up to: the middle of a run of equal values
        ends = [np.searchsorted(self._grid, asked, side) for side in ("left", "right")]
        steps = self.quantiles.shape[2]
        first = (group[:, None] * totals.shape[1] + np.arange(totals.shape[1])) * steps
        x[:, :-1] = (ends[0] + ends[1] - 2 * first) / (2 * steps)
        counts = before.x[:, count_columns(before.features)].astype(np.float64)
        z = (np.log1p(counts) - self.middle[group]) / self.spread[group]
        x[:, -1] = np.sqrt(np.square(z).mean(axis=1))
        return x, profile

    def arrays(self) -> dict[str, Array]:
        """Quantiles, middle and spread of each group."""
        return {"quantiles": self.quantiles, "middle": self.middle, "spread": self.spread}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put them back."""
        self._learn(arrays["quantiles"], arrays["middle"], arrays["spread"])

    def _learn(self, quantiles: Array, middle: Array, spread: Array) -> None:
        self.quantiles, self.middle, self.spread = quantiles, middle, spread
        groups = np.arange(len(quantiles))[:, None, None]
        self._grid = _keys(groups, quantiles.swapaxes(1, 2)).swapaxes(1, 2).ravel()


def _keys(group: Array, totals: Array) -> Array:
    """Group, place and value of totals, the last axis, as one number that rises with all three."""
    place = group * totals.shape[-1] + np.arange(totals.shape[-1])
    # the bits of floats that are not negative rise with them
    bits = np.ascontiguousarray(totals, np.float32).view(np.uint32)
    keys: Array = place.astype(np.uint64) << np.uint64(32) | bits
    return keys
