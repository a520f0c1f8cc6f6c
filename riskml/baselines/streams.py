"""Points that come one after the other, scored as they come and learnt from.

Where there are users and days, the detectors themselves learn while they score (`after`). This is
for numbers alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from riskml.baselines.lessons import Lessons
from riskml.baselines.online import HalfSpaceTreesDetector, RRCFDetector
from riskml.baselines.online_detector import Forest, OnlineDetector
from riskml.core.errors import DataError, reading, require
from riskml.core.types import FloatArray
from riskml.models.base import dotted
from riskml.models.deviations import LIMIT

META, STATE = "stream.json", "stream.safetensors"
KINDS = {dotted(kind): kind for kind in (HalfSpaceTreesDetector, RRCFDetector)}


@dataclass(frozen=True)
class _Judge:
    """The forest of a block.

    Args:
        block: whose points it judges.
        mean, spread: float64 [d], of the points that it is made of.
        forest: of their deviations.
    """

    block: int
    mean: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    forest: Forest

    @classmethod
    def of(cls, block: int, x: FloatArray, detector: OnlineDetector) -> Self:
        """Made of points [n, d], n > 0."""
        mean, spread = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        spread[spread < 1e-12] = 1
        return cls(block, mean, spread, detector.grow(_deviations(x, mean, spread)))

    def score(self, x: FloatArray) -> FloatArray:
        """Float32 [n]."""
        return self.forest.score(_deviations(x, self.mean, self.spread))


class PointStream:
    """Scores each point by those of the blocks before its own, and learns from it.

    A block is `block` points, counted over the stream: in whatever batches they come, points get
    the same scores. Those of the first block score 0, since nothing is known yet. Each feature is
    measured in its deviations among the points that the forest is made of. As in the detectors,
    points in the highest `quarantine` share of the scores of late do not teach.

    Args:
        detector: whose forest it is, with its trees, memory, quarantine and seed; need not be
            fitted.
        block: points after which the forest is grown anew: the fewer, the fresher and the slower.

    Raises:
        ConfigError: the block is empty, or larger than the memory.

    >>> stream = PointStream(HalfSpaceTreesDetector(memory=64), block=32)
    >>> points = np.random.default_rng(0).normal(size=(100, 3))
    >>> usual, odd = stream.score(points), stream.score(points[:1] + 9)
    >>> bool(odd[0] > usual[32:].max())
    True
    """

    def __init__(self, detector: OnlineDetector, block: int = 512) -> None:
        fits = isinstance(block, int) and 1 <= block <= detector.memory
        rule = f"must be a whole number between 1 and the memory of {detector.memory}"
        require("block", block, fits, rule)
        self.detector, self.block, self.seen = detector, block, 0
        self._lessons: Lessons | None = None
        self._judge: _Judge | None = None

    def score(self, points: Any) -> FloatArray:
        """Score the next points of the stream, then learn from them.

        Args:
            points: finite numbers [n, d], in the order in which they came.

        Returns:
            Float32 [n]; higher is odder.

        Raises:
            DataError: not finite, or not so many columns as those before.
        """
        x = np.asarray(points, np.float32)
        if x.ndim != 2 or not np.isfinite(x).all():
            raise DataError(f"points: expected finite numbers [n, d], got {x.dtype} {x.shape}")
        known = Lessons.none(x.shape[1]) if self._lessons is None else self._lessons
        width = known.x.shape[1]
        if x.shape[1] != width:
            raise DataError(f"points: have {x.shape[1]} columns, those before had {width}")
        scores = np.zeros(len(x), np.float32)
        for block, rows in self._blocks(len(x)):
            if block:
                scores[rows] = self._judge_of(block, known).score(x[rows])
            more = Lessons.of(np.full(len(x[rows]), block), x[rows], scores[rows])
            known = known.with_more(more, self.detector.memory, lag=1)
        self._lessons = known
        self.seen += len(x)
        return scores

    def _blocks(self, n: int) -> Iterator[tuple[int, slice]]:
        """Number of each block that the next points fall into, and which of them do."""
        first = 0
        while first < n:
            block, place = divmod(self.seen + first, self.block)
            last = min(first + self.block - place, n)
            yield block, slice(first, last)
            first = last

    def _judge_of(self, block: int, known: Lessons) -> _Judge:
        if self._judge is None or self._judge.block != block:
            chosen = known.until(block - 1, self.detector.memory, self.detector.quarantine)
            self._judge = _Judge.of(block, chosen.x, self.detector)
        return self._judge

    def save(self, folder: Path | str) -> None:
        """Write settings and count as JSON, and what has been learnt as safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        known = Lessons.none(0) if self._lessons is None else self._lessons
        meta = {
            "detector": dotted(type(self.detector)),
            "settings": self.detector.settings(),
            "block": self.block,
            "seen": self.seen,
        }
        (folder / META).write_text(json.dumps(meta, indent=1))
        save_file({k: np.ascontiguousarray(a) for k, a in known.arrays().items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Go on from what `save` wrote.

        Raises:
            BundleError: missing, damaged, or of another kind.
        """
        folder = Path(folder)
        with reading(folder / META):
            meta = json.loads((folder / META).read_text())
            stream = cls(KINDS[meta["detector"]](**meta["settings"]), int(meta["block"]))
            stream.seen = int(meta["seen"])
        with reading(folder / STATE):
            if stream.seen:
                stream._lessons = Lessons.restored(load_file(folder / STATE))
        return stream


def _deviations(
    x: FloatArray, mean: npt.NDArray[np.float64], spread: npt.NDArray[np.float64]
) -> FloatArray:
    deviations: FloatArray = np.clip((x - mean) / spread, -LIMIT, LIMIT).astype(np.float32)
    return deviations
