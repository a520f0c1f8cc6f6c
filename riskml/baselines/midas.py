"""Users and their actions as edges that come too often in a day, learnt while they are scored.

After MIDAS (see `riskml.baselines.edge_streams`), for windows that close in any order: a window is
judged by the days before the last midnight but one (UTC), as in `online_detector`, and by no other
of its own day.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from riskml.baselines.day_edges import NAMES, Edges, by_day
from riskml.baselines.edge_sketches import Float64, Int64, Sketch, joined, mixed, surprise
from riskml.baselines.online_detector import LAG, days_of
from riskml.core.errors import DataError, reading, require
from riskml.core.types import UNKNOWN_ACTION, FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state

STATE = "midas.safetensors"


@dataclass(frozen=True)
class Memory:
    """Counts of edges up to a day.

    Args:
        now: float64 [rows × slots], of the last day, and what is kept of those before.
        total: of all days, what scored high left out.
        days: how many those are.
        until: the last of them.
    """

    now: Float64
    total: Float64
    days: int
    until: int


class MidasDetector(Detector):
    """Scores a window by its most sudden actions, in logarithms of MIDAS' chi-squared.

    An action scores by how far its count in the window lies above the user's daily mean of it; a
    new one scores the more the longer the detector has watched. The score is the mean of the
    `top_k` highest. How often others do the same on that day is not seen, nor are resources:
    windows hold actions alone.

    Args:
        top_k: actions that make the score.
        decay: what a day keeps of the counts of the day before it (MIDAS-R); 0: nothing.
        threshold: chi-squared from which a day's count does not join the past (MIDAS-F).
        rows, slots: of the sketches of counts (see `Sketch`).
        learning: whether windows teach after training.
        seed: of the hash functions.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: a number is out of range.
    """

    memory_: Memory
    waiting_: Edges

    def __init__(
        self,
        top_k: int = 2,
        decay: float = 0.0,
        threshold: float = 3000.0,
        rows: int = 2,
        slots: int = 131072,
        learning: bool = True,
        seed: int = 0,
        contamination: float = 0.1,
    ) -> None:
        self.expect(contamination, None)
        require("top_k", top_k, top_k >= 1, "must be at least 1")
        require("decay", decay, 0 <= decay < 1, "must be 0 or more and below 1")
        require("threshold", threshold, threshold > 0, "must be above 0")
        self.top_k, self.decay, self.threshold = top_k, decay, threshold
        self.sketch = Sketch(rows, slots, seed)
        self.learning = self.remembers = self.learns_from_everybody = learning

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "top_k": self.top_k,
            "decay": self.decay,
            "threshold": self.threshold,
            "rows": self.sketch.rows,
            "slots": self.sketch.slots,
            "learning": self.learning,
            "seed": self.sketch.seed,
            "contamination": self.contamination,
        }

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Count day by day; validation is not used.

        Raises:
            DataError: the windows hold no actions.
        """
        if not windows.lengths.any() or len(windows.spec.actions) <= UNKNOWN_ACTION + 1:
            raise DataError("MidasDetector counts actions, and these windows hold none")
        self.spec_ = windows.spec
        day = days_of(windows)
        edges = Edges.of(windows, day)[0].of_days()
        table = self.sketch.table(1)
        empty = Memory(table, table, 0, int(day.min()) - 1)
        self.memory_ = self._taught(empty, edges, int(day.max()))
        self.until_ = int(day.max())
        self.waiting_ = edges.at(slice(0))

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]; a window is judged after the train windows and those days before it here."""
        self.check_spec(windows)
        edges, _, values = self._judged(windows)
        weight = self._weights(edges, values)
        return np.bincount(edges.row, values * weight, len(windows)).astype(np.float32)

    def after(self, past: Windows) -> Self:
        """The same once it has learnt from later windows."""
        self.check_spec(past)
        if not self.learning or not len(past):
            return self
        later = copy(self)
        new = Edges.of(past, self._days(past))[0]
        waiting = self.waiting_.with_more(new)
        # a window of two days ago may still come, and those of its day with it
        settled = int(waiting.day.max(initial=self.until_)) - 2 * LAG
        later.memory_ = self._taught(self.memory_, waiting.of_days(), settled)
        later.waiting_ = waiting.at(waiting.day > later.memory_.until)
        return later

    def contributions(self, windows: Windows) -> FloatArray:
        """Shares of a window's actions in order, float32 [n, L]."""
        return self.contributions_after(None, windows, np.arange(len(windows)))

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: Int64
    ) -> FloatArray:
        """The same of some windows once it has learnt from those before, [rows, L]."""
        self.check_spec(windows)
        known = self if past is None else self.after(past)
        edges, of_event, values = known._judged(windows)
        share = values * self._weights(edges, values) / edges.count
        shares: FloatArray = np.zeros(windows.tokens.shape, np.float32)
        shares[np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]] = share[of_event]
        return shares[rows]

    def topics(self) -> None:
        """A part is an action of the window."""
        return

    # ---- counting

    def _days(self, windows: Windows) -> Int64:
        # one that ends on the last train day is none of those that were trained on
        return np.maximum(days_of(windows), self.until_ + 1)

    def _judged(self, windows: Windows) -> tuple[Edges, Int64, Float64]:
        """Edges of windows, of each event the number of its edge, and the value of each edge."""
        edges, of_event = Edges.of(windows, self._days(windows))
        lessons = self.waiting_.with_more(edges).of_days() if self.learning else self.waiting_
        memory, values = self.memory_, np.zeros(len(edges.day))
        for day, rows in by_day(edges.day):
            memory = self._taught(memory, lessons, day - LAG)
            asked = edges.at(rows)
            values[rows] = np.log1p(self._chi_squared(memory, self._places(asked), asked.count))
        return edges, of_event, values

    def _weights(self, edges: Edges, values: Float64) -> Float64:
        """Of each edge in the score of its window: those of the highest share it."""
        order = np.lexsort((-values, edges.row))
        row = edges.row[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        weight = np.zeros(len(row))
        weight[order] = place < self.top_k
        number = np.bincount(edges.row, weight)
        weight /= np.maximum(number, 1)[edges.row]
        return weight

    def _places(self, edges: Edges) -> Int64:
        return self.sketch.places(joined(mixed(edges.user), mixed(edges.action)))

    def _chi_squared(self, memory: Memory, at: Int64, count: Float64) -> Float64:
        """Of counts [m] of edges above the mean; below it is 0."""
        now = self.sketch.least(memory.now[at])[0] * self.decay + count
        total = self.sketch.least(memory.total[at])[0] + count
        tick = memory.days + 1
        return np.where(now * tick > total, surprise(now, total, tick), 0)

    def _taught(self, memory: Memory, lessons: Edges, until: int) -> Memory:
        """The memory once it has learnt from further days.

        Args:
            memory: before.
            lessons: summed by day.
            until: the last day that counts.
        """
        more = lessons.at((lessons.day > memory.until) & (lessons.day <= until))
        for day, rows in by_day(more.day):
            memory = self._learnt(memory, day, more.at(rows))
        return memory

    def _learnt(self, memory: Memory, day: int, edges: Edges) -> Memory:
        place = self._places(edges)
        odd = self._chi_squared(memory, place, edges.count) >= self.threshold
        mean = self.sketch.least(memory.total[place])[0] / max(memory.days, 1)
        now, total = memory.now * self.decay, memory.total.copy()
        taught = np.where(odd, np.minimum(mean, edges.count), edges.count)
        for at in place:
            now += np.bincount(at, edges.count, len(now))
            total += np.bincount(at, taught, len(now))
        return Memory(now, total, memory.days + 1, day)

    # ---- saving

    def save(self, folder: Path) -> None:
        """Write `detector.json`, and counts and waiting edges as safetensors."""
        days = {"days": self.memory_.days, "known_until": self.memory_.until}
        write_state(folder, self, until=self.until_, **days)
        tables = {"now": self.memory_.now, "total": self.memory_.total}
        arrays = {f"waiting.{name}": column for name, column in self.waiting_.columns().items()}
        for name, table in tables.items():
            place = np.flatnonzero(table)
            arrays |= {f"{name}.place": place, name: table[place]}
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / STATE):
            detector.until_ = int(state["until"])
            arrays = load_file(folder / STATE)
            tables = {}
            for name in ("now", "total"):
                tables[name] = detector.sketch.table(1)
                tables[name][arrays[f"{name}.place"]] = arrays[name]
            known = int(state["days"]), int(state["known_until"])
            detector.memory_ = Memory(tables["now"], tables["total"], *known)
            waiting = {name.removeprefix("waiting."): a for name, a in arrays.items()}
            detector.waiting_ = Edges(*(waiting[name] for name in NAMES))
        return detector
