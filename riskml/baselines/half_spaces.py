"""Half-space trees (Tan, Ting & Liu 2011) as River grows and reads them, all of them at once.

Each tree halves space at random, without having seen a point; what it knows is how many points of
late have come to each of its nodes. A point is odd whose way soon leads where few have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray

Int64 = npt.NDArray[np.int64]

SPAN = 10.0
"""Space reaches as far on either side of 0; what lies further out counts as its edge."""
PADDING = 0.15
"""Share of a side that a cut keeps away from either end."""
FEW = 0.1
"""Share of the points below which a node is not divided any further."""
PAIRS = 65_536
"""Pairs of a point and a tree that are worked on together."""


@dataclass(frozen=True)
class HalfSpaceTrees:
    """Perfect binary trees; the children of node i are 2i + 1 and, from the cut upwards, 2i + 2.

    Args:
        side, cut: int64 and float32 [trees, inner nodes], where space is halved.
        mass: float32 [trees, nodes], points that have come to each node.
    """

    side: Int64
    cut: FloatArray
    mass: FloatArray

    @classmethod
    def grow(cls, x: FloatArray, trees: int, height: int, seed: int) -> Self:
        """Trees that have seen some points.

        Args:
            x: float32 [n, d], n > 0, mostly within ±10.
            trees: how many.
            height: cuts from root to leaf.
            seed: of the cuts.
        """
        side, cut = _planted(x.shape[1], trees, height, seed)
        made = cls(side, cut, np.zeros((trees, 2 ** (height + 1) - 1), np.float32))
        for part in made._parts(x):
            node, tree, point = made._at_the_roots(part)
            for _ in range(height):
                node = made._below(part, node, tree, point)
            came = np.bincount(made._place(node, tree), minlength=made.mass.size)
            made.mass.ravel()[:] += came.astype(np.float32)
        for depth in reversed(range(height)):
            first, ends = 2**depth - 1, 2 ** (depth + 1) - 1
            below = made.mass[:, ends : 2 * ends + 1].reshape(trees, -1, 2)
            made.mass[:, first:ends] = below.sum(2)
        return made

    def score(self, x: FloatArray) -> FloatArray:
        """How few have been where each point [n, d] leads, in bits, float32 [n].

        River's score is 1 − s, with s the masses on the way down to the first node of few points,
        each counted double with every depth, over the most that they could be. This is −log2(s):
        the same order, and it keeps apart what lies close to 1.
        """
        points, found = float(self.mass[0, 0]), [np.zeros(0)]
        depths = int(self.mass.shape[1]).bit_length()
        most = len(self.mass) * points * self.mass.shape[1]
        for part in self._parts(x):
            node, tree, point = self._at_the_roots(part)
            total = np.zeros(len(part))
            for depth in range(depths):
                if depth:
                    node = self._below(part, node, tree, point)
                mass = self.mass.ravel().take(self._place(node, tree))
                total += np.bincount(point, mass, len(part)) * 2.0**depth
                goes_on = np.flatnonzero(mass >= FEW * points)
                node, tree, point = (column.take(goes_on) for column in (node, tree, point))
            found.append(np.log2(most / total))
        return np.concatenate(found).astype(np.float32)

    def _parts(self, x: FloatArray) -> list[FloatArray]:
        together = max(1, PAIRS // len(self.mass))
        return [x[first : first + together] for first in range(0, len(x), together)]

    def _at_the_roots(self, x: FloatArray) -> tuple[Int64, Int64, Int64]:
        """Node, tree and point of all pairs, each int64 [pairs]."""
        n, trees = len(x), len(self.mass)
        node = np.zeros(n * trees, np.int64)
        return node, np.tile(np.arange(trees), n), np.repeat(np.arange(n), trees)

    def _below(self, x: FloatArray, node: Int64, tree: Int64, point: Int64) -> Int64:
        """The child that each point comes to."""
        place = tree * self.side.shape[1] + node
        value = x.ravel().take(point * x.shape[1] + self.side.ravel().take(place))
        below: Int64 = 2 * node + 1 + (value >= self.cut.ravel().take(place))
        return below

    def _place(self, node: Int64, tree: Int64) -> Int64:
        """Of nodes in the masses of all trees."""
        place: Int64 = tree * self.mass.shape[1] + node
        return place


@lru_cache(maxsize=4)
def _planted(width: int, trees: int, height: int, seed: int) -> tuple[Int64, FloatArray]:
    """Sides and cuts of trees in a space of some width, [trees, inner nodes] each."""
    # the bits of a generator that is named stay as they are from release to release
    rng = np.random.Generator(np.random.PCG64(seed))
    side = (rng.random((trees, 2**height - 1)) * width).astype(np.int64)
    place = PADDING + (1 - 2 * PADDING) * rng.random(side.shape, np.float32)
    cut = np.zeros(side.shape, np.float32)
    for depth in range(height):
        node = np.arange(2**depth - 1, 2 ** (depth + 1) - 1)
        low = np.full((trees, len(node)), -SPAN, np.float32)
        high, child = -low, node
        for _ in range(depth):
            # how far the node reaches on its side, by the cuts above it through the same side
            above, upper = (child - 1) // 2, child % 2 == 0
            same = side[:, above] == side[:, node]
            found = cut[:, above]
            low = np.where(same & upper, np.maximum(low, found), low)
            high = np.where(same & ~upper, np.minimum(high, found), high)
            child = above
        cut[:, node] = low + place[:, node] * (high - low)
    return side, cut
