"""Half-space trees beside River's, which are grown and read one node after the other."""

from __future__ import annotations

import numpy as np
import pytest

from riskml.baselines.half_spaces import FEW, PADDING, SPAN, HalfSpaceTrees
from riskml.core.types import FloatArray


def normal(n: int, d: int, seed: int) -> FloatArray:
    return (2 * np.random.default_rng(seed).standard_normal((n, d))).astype(np.float32)


def below(trees: HalfSpaceTrees, tree: int, node: int, point: FloatArray) -> int:
    return 2 * node + 1 + int(point[trees.side[tree, node]] >= trees.cut[tree, node])


def test_mass_counts_what_comes_to_a_node() -> None:
    x = normal(90, 4, 0)
    trees = HalfSpaceTrees.grow(x, trees=3, height=5, seed=1)
    expected = np.zeros_like(trees.mass)
    for tree in range(3):
        for point in x:
            node = 0
            expected[tree, node] += 1
            for _ in range(5):
                node = below(trees, tree, node, point)
                expected[tree, node] += 1
    np.testing.assert_array_equal(trees.mass, expected)


def test_score_sums_masses_down_to_the_first_node_of_few() -> None:
    trees = HalfSpaceTrees.grow(normal(90, 4, 0), trees=3, height=5, seed=1)
    asked = normal(20, 4, 2)
    for point, score in zip(asked, trees.score(asked), strict=True):
        total = 0.0
        for tree in range(3):
            node = 0
            for depth in range(6):
                mass = trees.mass[tree, node]
                total += mass * 2**depth
                if mass < FEW * 90 or depth == 5:
                    break
                node = below(trees, tree, node, point)
        assert score == pytest.approx(-np.log2(total / (3 * 90 * (2**6 - 1))), rel=1e-5)


def test_every_cut_keeps_away_from_the_ends_of_its_part_of_space() -> None:
    trees = HalfSpaceTrees.grow(normal(5, 2, 0), trees=4, height=6, seed=0)

    def look(tree: int, node: int, low: FloatArray, high: FloatArray) -> None:
        if node >= trees.side.shape[1]:
            return
        side, cut = trees.side[tree, node], trees.cut[tree, node]
        room = PADDING * (high[side] - low[side]) * 0.999
        assert low[side] + room <= cut <= high[side] - room
        lower, upper = high.copy(), low.copy()
        lower[side] = upper[side] = cut
        look(tree, 2 * node + 1, low, lower)
        look(tree, 2 * node + 2, upper, high)

    for tree in range(4):
        look(tree, 0, np.full(2, -SPAN), np.full(2, SPAN))
    assert {0, 1} == set(trees.side.ravel().tolist())


def test_scores_are_those_of_river_for_the_same_trees() -> None:
    anomaly = pytest.importorskip("river.anomaly", reason="in the extra dev")
    width, height, window = 3, 5, 60
    x, asked = normal(window, width, 0), normal(40, width, 3)
    named = [{str(i): float(v) for i, v in enumerate(row)} for row in np.vstack([x, asked])]
    theirs = anomaly.HalfSpaceTrees(
        n_trees=4,
        height=height,
        window_size=window,
        limits={str(i): (-SPAN, SPAN) for i in range(width)},
        seed=7,
    )
    for row in named[:window]:
        theirs.learn_one(row)
    side, cut = np.zeros((4, 2**height - 1), np.int64), np.zeros((4, 2**height - 1))
    mass = np.zeros((4, 2 ** (height + 1) - 1), np.float32)
    for tree, root in enumerate(theirs.trees):
        level, place = [root], 0
        while level:
            for node in level:
                mass[tree, place] = node.r_mass
                if place < side.shape[1]:
                    side[tree, place], cut[tree, place] = int(node.feature), node.threshold
                place += 1
            level = [child for node in level for child in getattr(node, "children", ())]
    ours = HalfSpaceTrees(side, cut, mass)
    expected = [theirs.score_one(row) for row in named[window:]]
    np.testing.assert_allclose(1 - 2.0 ** -ours.score(asked), expected, rtol=1e-5)


def test_others_do_not_change_a_score() -> None:
    trees = HalfSpaceTrees.grow(normal(300, 6, 0), trees=30, height=8, seed=0)
    asked = normal(3000, 6, 1)
    whole = trees.score(asked)
    assert trees.score(asked[2900:2901]) == whole[2900]
    assert len(trees.score(asked[:0])) == 0
