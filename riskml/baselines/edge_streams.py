"""Edges that come one after the other, each scored by how suddenly it comes so often.

MIDAS (Bhatia, Hooi, Yoon, Shin & Faloutsos 2020) and, of Bhatia, Liu, Hooi, Yoon, Shin & Faloutsos
(2022), MIDAS-R, which also counts how often both ends come and lets the ticks before tell, and
MIDAS-F, where what scores high does not teach. The work an edge needs does not grow with the graph.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from riskml.baselines.edge_sketches import (
    Array,
    Float64,
    Int64,
    Sketch,
    UInt64,
    joined,
    mixed,
    surprise,
)
from riskml.core.errors import DataError, reading, require
from riskml.features.rows import begins

META, STATE = "edges.json", "edges.safetensors"
CORES = ("plain", "relational", "filtering")
AT_A_TIME = 2**16
"""Edges that are hashed and counted together: they stay in the processor's cache."""


class EdgeStream:
    """Scores each edge by chi-squared: its count in this tick against its mean over all ticks.

    An edge is counted before it is scored, so that the hundredth of a tick scores higher than the
    first. Batches make no difference, even in the middle of a tick.

    Args:
        core: `plain` counts edges alone (MIDAS); `relational` also their sources and destinations,
            of which the highest score counts, and a tick keeps some of the one before (MIDAS-R);
            `filtering` lets only those counts join the past whose last score was below the
            threshold (MIDAS-F). There a first edge scores by its ends alone.
        rows, slots: of the sketches of counts (see `Sketch`).
        decay: what a tick keeps of the counts of the one before; not of `plain`.
        threshold: of `filtering`.
        seed: of the hash functions.

    Raises:
        ConfigError: a number is out of range, or there is no such core.

    >>> stream = EdgeStream("relational")
    >>> usual = stream.score([1, 2, 1, 2], [8, 9, 8, 9], [1, 1, 2, 2])
    >>> burst = stream.score([1] * 50, [9] * 50, [3] * 50)
    >>> bool(burst[-1] > 10 * usual.max())
    True
    """

    def __init__(
        self,
        core: str = "filtering",
        rows: int = 2,
        slots: int = 1024,
        decay: float = 0.5,
        threshold: float = 1000.0,
        seed: int = 0,
    ) -> None:
        require("core", core, core in CORES, f"must be one of {', '.join(CORES)}")
        require("decay", decay, 0 <= decay <= 1, "must lie between 0 and 1")
        require("threshold", threshold, threshold > 0, "must be above 0")
        self.core, self.decay, self.threshold = core, decay, threshold
        self.sketch = Sketch(rows, slots, seed)
        kinds = 1 if core == "plain" else 3
        self._now, self._total, self._last = (self.sketch.table(kinds) for _ in range(3))
        self._first: int | None = None
        self._tick = 1

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "core": self.core,
            "rows": self.sketch.rows,
            "slots": self.sketch.slots,
            "decay": self.decay,
            "threshold": self.threshold,
            "seed": self.sketch.seed,
        }

    def score(self, source: Any, destination: Any, tick: Any) -> Float64:
        """Score the next edges of the stream, each once it has been counted.

        Args:
            source: whole numbers [n] that name nodes.
            destination: likewise.
            tick: whole numbers [n] that never fall, from call to call; minutes or days. The first
                of the stream is the first tick.

        Returns:
            Float64 [n]; higher is odder, and 0 in the first tick.

        Raises:
            DataError: no whole numbers, of different lengths, or a tick of the past.
        """
        names = ("source", "destination", "tick")
        columns = [_whole(*each) for each in zip(names, (source, destination, tick), strict=True)]
        if len({len(column) for column in columns}) > 1:
            raise DataError("edges: source, destination and tick differ in length")
        ticks = columns[2].astype(np.int64)
        if not len(ticks):
            return np.zeros(0)
        first = int(ticks[0]) if self._first is None else self._first
        ticks = ticks - (first - 1)
        if ticks[0] < self._tick or (np.diff(ticks) < 0).any():
            raise DataError("edges: ticks fall; sort the edges by tick, and keep to it over calls")
        self._first = first
        scores = np.empty(len(ticks))
        for at in range(0, len(ticks), AT_A_TIME):
            part = slice(at, at + AT_A_TIME)
            source, destination = (mixed(column[part]) for column in columns[:2])
            scores[part] = self._score(source, destination, ticks[part])
        return scores

    def _score(self, source: UInt64, destination: UInt64, ticks: Int64) -> Float64:
        edge = joined(source, destination)
        keys = (edge,) if self.core == "plain" else (edge, source, destination)
        place = self.sketch.places(*keys)
        first = np.flatnonzero(begins(ticks))
        number = _running(place, self.sketch.slots, first)
        ends = [*first[1:].tolist(), len(ticks)]
        scores = np.empty(len(ticks))
        for begin, end, tick in zip(first.tolist(), ends, ticks[first].tolist(), strict=True):
            self._advance(tick)
            part = slice(begin, end)
            scores[part] = self._of_tick(place[:, part], number[:, part])
        return scores

    def _of_tick(self, at: Int64, number: Float64) -> Float64:
        """Of edges of this tick, of which the `number`-th come at each place."""
        # where a place comes again the last stays, which is the highest
        now = self._now[at] + number
        self._now[at] = now
        if self.core == "filtering":
            count, past = self.sketch.least(now), self.sketch.least(self._total[at])
            t = self._tick
            known = past > 0
            score = np.square(count + past - count * t) / np.where(known, past * (t - 1), 1)
            score *= known
            self._last[at] = np.repeat(score, self.sketch.rows, axis=0)
        else:
            total = self._total[at] + number
            self._total[at] = total
            score = surprise(self.sketch.least(now), self.sketch.least(total), self._tick)
        highest: Float64 = score[0] if len(score) == 1 else score.max(0)
        return highest

    def _advance(self, tick: int) -> None:
        """End the ticks before this one."""
        if tick == self._tick:
            return
        if self.core == "filtering":
            # what was odd counts as the mean of the ticks before
            mean = self._total / (self._tick - 1) if self._tick > 1 else 0 * self._total
            self._total += np.where(self._last < self.threshold, self._now, mean)
        self._now *= 0 if self.core == "plain" else self.decay
        self._tick = tick

    def save(self, folder: Path | str) -> None:
        """Write settings and tick as JSON, and counts as safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        meta = {"settings": self.settings(), "first": self._first, "tick": self._tick}
        (folder / META).write_text(json.dumps(meta, indent=1))
        tables = {"now": self._now, "total": self._total, "last": self._last}
        save_file(tables, folder / STATE)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Go on from what `save` wrote.

        Raises:
            BundleError: missing or damaged.
        """
        folder = Path(folder)
        with reading(folder / META):
            meta = json.loads((folder / META).read_text())
            stream = cls(**meta["settings"])
            stream._first, stream._tick = meta["first"], int(meta["tick"])
        with reading(folder / STATE):
            tables = load_file(folder / STATE)
            if any(tables[name].shape != stream._now.shape for name in ("now", "total", "last")):
                raise ValueError("counts of another size than the settings say")
            stream._now, stream._total = tables["now"], tables["total"]
            stream._last = tables["last"]
        return stream


def _whole(name: str, values: Any) -> Array:
    found = np.asarray(values)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iu"):
        raise DataError(f"{name}: expected whole numbers [n], got {found.dtype} {found.shape}")
    return found


def _running(place: Int64, slots: int, first: Int64) -> Float64:
    """The how-manieth of its tick each edge is at its place, [kinds × rows, n] from 1 on.

    Args:
        place: [kinds × rows, n].
        slots: of a row.
        first: row of each tick's first edge.
    """
    n = place.shape[1]
    tick = np.repeat(np.arange(len(first)), np.diff(np.append(first, n)))
    rows = np.arange(n)
    found = np.empty(place.shape)
    for row, at in enumerate(place):
        slot = at & (slots - 1)
        # sixteen bits are sorted by radix, an order faster
        order = np.argsort(slot.astype(np.uint16) if slots <= 2**16 else slot, kind="stable")
        new = begins(slot[order]) | begins(tick[order])
        begin = np.maximum.accumulate(np.where(new, rows, 0))
        found[row, order] = rows - begin + 1
    return found
