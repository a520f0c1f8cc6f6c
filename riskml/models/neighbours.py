"""Distance to the nearest train windows, each measured from the middle of its own user.

Days that look odd often have a known cause (a late deadline, a new laptop, a bulk export), and the
train period holds some of each. So a window is compared with the few train windows most like it,
whoever had them, by how far they too were from what was usual for their user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from riskml.core.errors import reading, require
from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.deviations import Deviations
from riskml.models.tables import Kinds

ARRAYS = "neighbours.safetensors"


class NeighboursDetector(Detector):
    """Scores a window by its distance to the k-th nearest train window.

    Features are scaled (counts by their logarithm), the user's own mean is taken off, and each is
    scaled again. The score is the geometric mean of two distances: of all deviations, and of those
    upwards alone, since of people too little is seldom a risk.

    Args:
        neighbours: k.
        upward: whether the distance upwards counts too; without it what is missing is as odd as
            what is too much (the steps of a machine).
        scaled: whether each feature is measured in its own deviations; without it a count weighs
            by its logarithm, however steady it is in training.
        prior_windows: how many windows everybody's mean weighs among the user's own.
        max_windows: train windows kept at most, drawn by chance.
        seed: of the draw.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        neighbours: int = 5,
        upward: bool = True,
        scaled: bool = True,
        prior_windows: float = 5.0,
        max_windows: int = 50_000,
        seed: int = 0,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        self.expect(contamination, kinds)
        require("neighbours", neighbours, neighbours >= 1, "must be at least 1")
        require("prior_windows", prior_windows, prior_windows >= 0, "must be 0 or more")
        require("max_windows", max_windows, max_windows >= 1, "must be at least 1")
        self.neighbours, self.prior_windows = neighbours, prior_windows
        self.upward, self.scaled = upward, scaled
        self.max_windows, self.seed = max_windows, seed

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "neighbours": self.neighbours,
            "upward": self.upward,
            "scaled": self.scaled,
            "prior_windows": self.prior_windows,
            "max_windows": self.max_windows,
            "seed": self.seed,
            "contamination": self.contamination,
            "kinds": self.kinds,
        }

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Learn scale, the mean of every user, and keep the train windows."""
        self.spec_ = windows.spec
        self.deviations_ = Deviations.fit(windows, self.prior_windows, self.scaled)
        rng = np.random.default_rng(self.seed)
        kept = np.sort(rng.permutation(len(windows))[: self.max_windows])
        self.train_ = self.deviations_.of(windows.take(kept))
        self._index()

    def _index(self) -> None:
        from sklearn.neighbors import NearestNeighbors

        k = min(self.neighbours, len(self.train_))
        self.kept_ = self._views(self.train_)
        self.searches_ = [NearestNeighbors(n_neighbors=k).fit(view) for view in self.kept_]

    def _views(self, deviations: FloatArray) -> list[npt.NDArray[np.float64]]:
        """All deviations, and those upwards where they count."""
        exact = deviations.astype(np.float64)
        return [exact, np.maximum(exact, 0)] if self.upward else [exact]

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] distances, in deviations."""
        self.check_spec(windows)
        if not len(windows):
            return np.zeros(0, np.float32)
        pairs = zip(self.searches_, self._views(self.deviations_.of(windows)), strict=True)
        return _mean([search.kneighbors(view)[0][:, -1] for search, view in pairs])

    def contributions(self, windows: Windows) -> FloatArray:
        """Of each feature in the score: its share of the squared distances, float32 [n, d]."""
        if not len(windows):
            return np.zeros((0, len(self.spec_)), np.float32)
        views = self._views(self.deviations_.of(windows))
        share, distances = np.zeros(windows.x.shape), []
        for search, view, kept in zip(self.searches_, views, self.kept_, strict=True):
            distance, place = search.kneighbors(view)
            squares = (view - kept[place[:, -1]]) ** 2
            share += squares / np.maximum(squares.sum(1, keepdims=True), 1e-12) / len(views)
            distances.append(distance[:, -1])
        shares: FloatArray = (share * _mean(distances)[:, None]).astype(np.float32)
        return shares

    def topics(self) -> list[str]:
        """Feature topics, one a contribution."""
        return [feature.topic for feature in self.spec_.features]

    def save(self, folder: Path) -> None:
        """Write `detector.json` and the arrays as safetensors."""
        write_state(folder, self, users=list(self.deviations_.users))
        arrays = {"train": self.train_, **self.deviations_.arrays()}
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / ARRAYS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / ARRAYS):
            arrays = load_file(folder / ARRAYS)
            detector.deviations_ = Deviations.restored(state["users"], arrays, detector.spec_)
            detector.train_ = arrays["train"]
            detector._index()
        return detector


def _mean(distances: list[npt.NDArray[np.float64]]) -> FloatArray:
    """Geometric mean, float32 [n]."""
    mean: FloatArray = (np.prod(distances, axis=0) ** (1 / len(distances))).astype(np.float32)
    return mean
