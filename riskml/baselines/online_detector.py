"""Forests that learn while they score: from everybody's windows, but for those that score high.

A window is judged by the windows that ended before the last midnight but one (UTC). By then every
window of those days is closed, wherever its user's clock stands, so that a day's judge is the same
in a batch over a year, in a stream, and in whatever order windows come. What scored in the highest
`quarantine` share of late teaches nothing (poisoning, Biggio et al. 2012): an attack that goes on
does not become usual. The share has to be larger than that of alerts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from riskml.baselines.lessons import Lessons
from riskml.core.errors import reading, require
from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.deviations import Deviations
from riskml.models.tables import Kinds

Int64 = npt.NDArray[np.int64]

STATE = "online.safetensors"
LAG = 2
"""Days from the last one that a window's judge knows to that of the window's end."""
MICROSECONDS_A_DAY = 86_400_000_000
KEPT = 3
"""Forests of late that are kept grown: windows of two or three days come side by side."""


class Forest(Protocol):
    """Made of rows, and frozen."""

    def score(self, x: FloatArray) -> FloatArray:
        """Float32 [n] of rows [n, d]; higher is odder."""
        ...


@dataclass(frozen=True)
class Day:
    """Windows of one day with their judge.

    Args:
        rows: int64 [k], the windows.
        x: float32 [k, d], their deviations.
        scores: float32 [k].
        forest: that judged them.
        lessons: after them.
    """

    rows: Int64
    x: FloatArray
    scores: FloatArray
    forest: Forest
    lessons: Lessons


class OnlineDetector(Detector):
    """What both forests share.

    Features are deviations from the middle of the window's user, which is frozen at fit; what is
    learnt afterwards is which of them are usual among everybody.

    Raises:
        ConfigError: a number is out of range.
    """

    lessons_: Lessons

    def __init__(
        self,
        trees: int,
        memory: int,
        quarantine: float,
        learning: bool,
        prior_windows: float,
        seed: int,
        contamination: float,
        kinds: Kinds | None,
    ) -> None:
        self.expect(contamination, kinds)
        require("trees", trees, trees >= 1, "must be at least 1")
        require("memory", memory, memory >= 2, "must be at least 2")
        require("quarantine", quarantine, 0 <= quarantine < 1, "must be 0 or more and below 1")
        require("prior_windows", prior_windows, prior_windows >= 0, "must be 0 or more")
        require("seed", seed, seed >= 0, "must be 0 or more")
        self.trees, self.memory, self.quarantine = trees, memory, quarantine
        self.prior_windows, self.seed = prior_windows, seed
        self.learning = self.remembers = self.learns_from_everybody = learning
        self._forests: dict[bytes, Forest] = {}

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "trees": self.trees,
            "memory": self.memory,
            "quarantine": self.quarantine,
            "learning": self.learning,
            "prior_windows": self.prior_windows,
            "seed": self.seed,
            "contamination": self.contamination,
            "kinds": self.kinds,
        }

    @abstractmethod
    def grow(self, x: FloatArray) -> Forest:
        """A forest of rows [n, d], n > 0."""

    # ---- fit and score

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Learn the middle of every user, and keep the newest train windows.

        Which of these score high is judged by a forest of the other half of them.
        """
        self.spec_ = windows.spec
        self.deviations_ = Deviations.fit(windows, self.prior_windows)
        self._forests = {}
        day, x = days_of(windows), self.deviations_.of(windows)
        self.until_ = int(day.max())
        kept = Lessons.of(day, x, np.zeros(len(x), np.float32)).newest(self.memory)
        score = kept.score.copy()
        for half in (0, 1):
            score[half::2] = self.grow(kept.x[1 - half :: 2]).score(kept.x[half::2])
        self.lessons_ = Lessons.of(kept.block, kept.x, score)

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]; a window is judged after the train windows and those days before it here."""
        self.check_spec(windows)
        scores = np.zeros(len(windows), np.float32)
        for day in self.judged(windows, self.lessons_):
            scores[day.rows] = day.scores
        return scores

    def after(self, past: Windows) -> Self:
        """The same once it has learnt from later windows, which are judged too."""
        self.check_spec(past)
        later = copy(self)
        for day in self.judged(past, self.lessons_):
            later.lessons_ = day.lessons
        later._forests = self._forests
        return later

    def judged(self, windows: Windows, lessons: Lessons) -> Iterator[Day]:
        """The windows day by day; what is learnt of a day tells from two days later on."""
        x = self.deviations_.of(windows)
        # one that ends on the last train day is none of those that were trained on
        block = np.maximum(days_of(windows), self.until_ + 1)
        for day in np.unique(block):
            rows = np.flatnonzero(block == day)
            forest = self._forest(lessons, max(int(day) - LAG, self.until_))
            scores = forest.score(x[rows])
            if self.learning:
                more = Lessons.of(block[rows], x[rows], scores)
                lessons = lessons.with_more(more, self.memory, LAG)
            yield Day(rows, x[rows], scores, forest, lessons)

    def _forest(self, lessons: Lessons, until: int) -> Forest:
        chosen = lessons.until(until, self.memory, self.quarantine)
        key = chosen.tie.tobytes()
        forest = self._forests.get(key)
        if forest is None:
            forest = self.grow(chosen.x)
            # in one step: several may ask at once
            self._forests = {**dict(list(self._forests.items())[1 - KEPT :]), key: forest}
        return forest

    # ---- saving

    def save(self, folder: Path) -> None:
        """Write `detector.json`, and lessons and middles as safetensors."""
        write_state(folder, self, users=list(self.deviations_.users), until=self.until_)
        arrays = {**self.lessons_.arrays(), **self.deviations_.arrays()}
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the forest is grown anew."""
        detector, state = read_detector(folder, cls)
        with reading(folder / STATE):
            arrays = load_file(folder / STATE)
            detector.deviations_ = Deviations.restored(state["users"], arrays, detector.spec_)
            detector.lessons_ = Lessons.restored(arrays)
            detector.until_ = int(state["until"])
        return detector


def days_of(windows: Windows) -> Int64:
    """Days from 1970 to the end of each window, int64 [n]."""
    ends = windows.keys["end"].dt.epoch("us").to_numpy()
    days: Int64 = (ends // MICROSECONDS_A_DAY).astype(np.int64)
    return days
