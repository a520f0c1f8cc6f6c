"""Two forests that learn while they score: random cuts and half spaces."""

from __future__ import annotations

from typing import Any

import numpy as np

from riskml.baselines.half_spaces import HalfSpaceTrees
from riskml.baselines.online_detector import OnlineDetector
from riskml.baselines.random_cuts import RandomCutForest
from riskml.core.errors import require
from riskml.core.types import FloatArray, Int64Array, Windows
from riskml.models.tables import Kinds


class RRCFDetector(OnlineDetector):
    """Scores a window by its collusive displacement in a robust random cut forest.

    Guha, Mishra, Roy & Schrijvers (2016); see `riskml.baselines.random_cuts`.

    Args:
        trees: how many.
        sample: windows of a tree, drawn from the memory.
        memory: windows of late that the forest is made of.
        quarantine: share of those, the highest scores, that do not teach; 0: all teach.
        learning: whether windows teach after training.
        prior_windows: how many windows everybody's mean weighs among the user's own.
        seed: of the trees.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        trees: int = 40,
        sample: int = 256,
        memory: int = 4096,
        quarantine: float = 0.05,
        learning: bool = True,
        prior_windows: float = 5.0,
        seed: int = 0,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        require("sample", sample, sample >= 2, "must be at least 2")
        self.sample = sample
        super().__init__(
            trees, memory, quarantine, learning, prior_windows, seed, contamination, kinds
        )

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"sample": self.sample, **super().settings()}

    def grow(self, x: FloatArray) -> RandomCutForest:
        """A forest of rows [n, d], n > 0."""
        return RandomCutForest.grow(x, self.trees, self.sample, self.seed)

    def contributions(self, windows: Windows) -> FloatArray:
        """Of each feature in the score: how far it is outside of what is usual, float32 [n, d]."""
        return self.contributions_after(None, windows, np.arange(len(windows)))

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: Int64Array
    ) -> FloatArray:
        """The same of some windows once it has learnt from those before, [rows, d]."""
        self.check_spec(windows)
        known = self if past is None else self.after(past)
        place = np.full(len(windows), -1)
        place[rows] = np.arange(len(rows))
        shares = np.zeros((len(rows), len(self.spec_)), np.float32)
        for day in self.judged(windows, known.lessons_):
            asked = place[day.rows] >= 0
            if asked.any():
                assert isinstance(day.forest, RandomCutForest)
                shares[place[day.rows[asked]]] = day.forest.shares(day.x[asked])
        return shares

    def topics(self) -> list[str]:
        """Feature topics, one a contribution."""
        return [feature.topic for feature in self.spec_.features]


class HalfSpaceTreesDetector(OnlineDetector):
    """Scores a window by how few have been where half-space trees lead it, in bits.

    Tan, Ting & Liu (2011), as River grows and reads the trees; see `riskml.baselines.half_spaces`.
    It tells no shares.

    Args:
        trees: how many.
        height: cuts from root to leaf.
        memory: windows of late whose ways the trees count.
        quarantine: share of those, the highest scores, that do not teach; 0: all teach.
        learning: whether windows teach after training.
        prior_windows: how many windows everybody's mean weighs among the user's own.
        seed: of the trees.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        trees: int = 100,
        height: int = 10,
        memory: int = 4096,
        quarantine: float = 0.05,
        learning: bool = True,
        prior_windows: float = 5.0,
        seed: int = 0,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        require("height", height, 1 <= height <= 15, "must lie between 1 and 15")
        self.height = height
        super().__init__(
            trees, memory, quarantine, learning, prior_windows, seed, contamination, kinds
        )

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"height": self.height, **super().settings()}

    def grow(self, x: FloatArray) -> HalfSpaceTrees:
        """Trees that have seen rows [n, d], n > 0."""
        return HalfSpaceTrees.grow(x, self.trees, self.height, self.seed)
