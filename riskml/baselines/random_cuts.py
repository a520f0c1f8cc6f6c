"""Robust random cut forest (Guha, Mishra, Roy & Schrijvers 2016), all trees of it at once.

A tree cuts the box around its points at random, a side being chosen in proportion to its length,
until every point is alone. What a point is worth is its collusive displacement: how many others
would move up if it were taken out, or it and those near it, at best per point taken out.

The paper inserts a point, reads its displacement, and takes it out again. Nothing is inserted here.
By the paper's own rule a point goes down along the cuts that are there, and at each box it is cut
off with a chance that follows from how far it lies outside; so the mean over all ways to insert it
is a sum along one path. That is the score: the same each time, and not changed by other points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray

Int64 = npt.NDArray[np.int64]

PAIRS = 5120
"""Pairs of a point and a tree that are worked on together: their boxes stay in the cache."""
LARGE = 16
"""Points a node on average from which on their boxes are found column by column."""
NEGLIGIBLE = 1e-9
"""Chance below which a path is not followed any further."""


@dataclass(frozen=True)
class _Step:
    """What points gain at one depth.

    Args:
        point: int64 [k].
        cut_off: float32 [k], gained by being cut off from the box there.
        outside: float32 [k, d], how far each lies outside of it.
        rest: float32 [k], gained whatever comes below.
    """

    point: Int64
    cut_off: FloatArray
    outside: FloatArray
    rest: FloatArray


@dataclass(frozen=True)
class RandomCutForest:
    """The nodes of all trees in columns; the first ones are the roots.

    Args:
        trees: how many.
        low, high: float32 [nodes, d], the box around a node's points.
        length: float32 [nodes], sum of the box's sides.
        mass: float32 [nodes], points.
        ratio: float32 [nodes], points of the sibling for each of the node's and one more.
        left: int64 [nodes], the child at or below the cut, the other behind it; −1: a leaf, whose
            points are all equal.
        side, cut: int64 and float32 [nodes], where its box is cut.
    """

    trees: int
    low: FloatArray
    high: FloatArray
    length: FloatArray
    mass: FloatArray
    ratio: FloatArray
    left: Int64
    side: Int64
    cut: FloatArray

    @staticmethod
    def grow(x: FloatArray, trees: int, sample: int, seed: int) -> RandomCutForest:
        """Trees of random samples.

        Args:
            x: float32 [n, d], n > 0.
            trees: how many.
            sample: points of a tree, all where there are no more.
            seed: of samples and cuts.
        """
        # the bits of a generator that is named stay as they are from release to release
        rng = np.random.Generator(np.random.PCG64(seed))
        sample = min(sample, len(x))
        drawn = np.argsort(rng.random((trees, len(x))), axis=1)[:, :sample]
        return _grown(np.ascontiguousarray(x, np.float32), drawn, rng)

    def score(self, x: FloatArray) -> FloatArray:
        """Mean displacement of each point [n, d] over all trees and ways to insert it, [n]."""
        scores = np.zeros(len(x))
        for first, part in self._parts(x):
            for step in self._down(part, to_the_leaf=False):
                gain = np.bincount(step.point, step.cut_off + step.rest, len(part))
                scores[first : first + len(part)] += gain
        return (scores / self.trees).astype(np.float32)

    def shares(self, x: FloatArray) -> FloatArray:
        """Of each feature in the score: how far it lay outside where the point was cut off.

        Returns:
            Float32 [n, d]. What a point gains that is equal to one in the tree is shared alike.
        """
        shares = np.zeros(x.shape)
        for first, part in self._parts(x):
            found = shares[first : first + len(part)]
            for step in self._down(part, to_the_leaf=True):
                far = np.maximum(step.outside.sum(1, dtype=np.float64), 1e-30)
                parts = step.outside * (step.cut_off / far)[:, None]
                np.add.at(found, step.point, parts + step.rest[:, None] / x.shape[1])
        return (shares / self.trees).astype(np.float32)

    def _parts(self, x: FloatArray) -> Iterator[tuple[int, FloatArray]]:
        together = max(1, PAIRS // self.trees)
        for first in range(0, len(x), together):
            yield first, np.ascontiguousarray(x[first : first + together], np.float32)

    def _down(self, x: FloatArray, to_the_leaf: bool) -> Iterator[_Step]:
        """All points down all trees, one depth after the other.

        Args:
            x: float32 [n, d].
            to_the_leaf: go on where it no longer matters for the sum, but for its shares.
        """
        n, d = x.shape
        flat, room = x.ravel(), np.empty((3, n * self.trees, d), np.float32)
        node, point = np.repeat(np.arange(self.trees), n), np.tile(np.arange(n), self.trees)
        # that it has come so far, and the most displaced above for each of the points taken out
        chance, best = np.ones(len(node), np.float32), np.zeros(len(node), np.float32)
        while len(node):
            outside = self._outside(x, node, point, room[:, : len(node)])
            far = np.einsum("ij->i", outside)
            share = far / np.maximum(far + self.length.take(node), 1e-30)
            cut_off = chance * share * np.maximum(self.mass.take(node), best)
            chance = chance * (1 - share)
            left = self.left.take(node)
            ends = left < 0
            value = flat.take(point * d + self.side.take(node))
            node = left + (value > self.cut.take(node))
            best = np.where(ends, best, np.maximum(best, self.ratio.take(node)))
            if not to_the_leaf:
                # nothing below could displace more than what lies above does
                ends |= self.mass.take(node) <= best
            yield _Step(point, cut_off, outside, np.where(ends, chance * best, np.float32(0)))
            on = np.flatnonzero(~ends & (chance > NEGLIGIBLE))
            node, point = node.take(on), point.take(on)
            chance, best = chance.take(on), best.take(on)

    def _outside(self, x: FloatArray, node: Int64, point: Int64, room: FloatArray) -> FloatArray:
        """How far points lie outside of boxes, [k, d], written into `room` [3, k, d]."""
        at, low, high = room
        # clip lets `take` write where it is told to
        x.take(point, 0, out=at, mode="clip")
        self.low.take(node, 0, out=low, mode="clip")
        self.high.take(node, 0, out=high, mode="clip")
        np.minimum(high, at, out=high)
        np.maximum(high, low, out=high)
        np.subtract(high, at, out=high)
        outside: FloatArray = np.abs(high, out=high)
        return outside


def _grown(x: FloatArray, drawn: Int64, rng: np.random.Generator) -> RandomCutForest:
    """A forest, grown one depth after the other over all trees.

    Args:
        x: float32 [n, d].
        drawn: int64 [trees, sample], rows of each tree.
        rng: for the cuts.
    """
    trees, sample = drawn.shape
    room = trees * (2 * sample - 1)
    low, high = np.empty((2, room, x.shape[1]), np.float32)
    mass, ratio, cut = np.zeros((3, room), np.float32)
    left, side = np.full((2, room), -1)
    node, size, rows, used = np.arange(trees), np.full(trees, sample), drawn.ravel(), trees
    mass[:trees] = sample
    while len(node):
        start = np.cumsum(size) - size
        points = x.take(rows, 0)
        low[node], high[node] = a, b = _boxes(points, size)
        which, where, length = _cuts(a, b, rng)
        of = np.repeat(np.arange(len(node)), size)
        above = points.ravel().take(np.arange(len(rows)) * x.shape[1] + which[of]) > where[of]
        below = size - np.add.reduceat(above, start, dtype=np.int64)
        cuts = length > 0  # else all points are equal
        kept = np.repeat(cuts, size)
        first = used + 2 * np.arange(np.count_nonzero(cuts))
        used += 2 * len(first)
        left[node[cuts]], side[node], cut[node] = first, which, where
        below_above = np.stack([below, size - below], 1)[cuts]
        child, size = (first[:, None] + [0, 1]).ravel(), below_above.ravel()
        mass[child] = size
        ratio[child] = below_above[:, ::-1].ravel() / (size + 1)
        # those below the cut first, then those above it, group by group
        higher = np.cumsum(above) - above
        higher -= higher[start][of]
        place = np.where(above, (start + below)[of] + higher, np.arange(len(rows)) - higher)
        parted = np.empty_like(rows)
        parted[place] = rows
        rows = parted[kept]
        alone = size == 1
        of_alone = np.repeat(alone, size)
        low[child[alone]] = high[child[alone]] = x.take(rows[of_alone], 0)
        node, size, rows = child[~alone], size[~alone], rows[~of_alone]
    low, high = low[:used], high[:used]
    return RandomCutForest(
        trees=trees,
        low=low,
        high=high,
        length=np.einsum("ij->i", high - low),
        mass=mass[:used],
        ratio=ratio[:used],
        left=left[:used],
        side=side[:used],
        cut=cut[:used],
    )


def _cuts(
    low: FloatArray, high: FloatArray, rng: np.random.Generator
) -> tuple[Int64, FloatArray, FloatArray]:
    """Side and place of a random cut through each box [k, d], and the sum of its sides, each [k].

    A cut lies at or above the lowest point and below the highest.
    """
    ends = np.cumsum(high - low, axis=1)
    length = ends[:, -1]
    chance, place = rng.random((2, len(low)), np.float32)
    at = np.minimum(chance * length, np.nextafter(length, np.float32(0)))
    which = np.minimum((ends <= at[:, None]).sum(1), low.shape[1] - 1)
    box = np.arange(len(low))
    least, most = low[box, which], high[box, which]
    where = least + place * (most - least)
    return which, np.where(where < most, where, least), length


def _boxes(points: FloatArray, size: Int64) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest of each group, float32 [groups, d].

    Args:
        points: float32 [n, d], one group after the other.
        size: int64 [groups], above 0.
    """
    start = np.cumsum(size) - size
    if len(points) > LARGE * len(size):
        columns = np.ascontiguousarray(points.T)
        low = np.minimum.reduceat(columns, start, axis=1)
        return low.T, np.maximum.reduceat(columns, start, axis=1).T
    low = high = points
    while size.max() > 1:
        # neighbours in pairs, time and again
        half = (size + 1) // 2
        of = np.repeat(np.arange(len(size)), half)
        first = 2 * np.arange(len(of)) + (start - 2 * (np.cumsum(half) - half))[of]
        second = np.minimum(first + 1, (start + size - 1)[of])
        low = np.minimum(low.take(first, 0), low.take(second, 0))
        high = np.maximum(high.take(first, 0), high.take(second, 0))
        size, start = half, np.cumsum(half) - half
    return low, high
