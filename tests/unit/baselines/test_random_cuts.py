"""Robust random cut trees: their law, and displacement without inserting anything."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskml.baselines.random_cuts import RandomCutForest
from riskml.core.types import FloatArray


def normal(n: int, d: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def check_node(forest: RandomCutForest, x: FloatArray, node: int, rows: np.ndarray) -> None:
    """Against the rows of `x` that have come to it, and so all below it."""
    here = x[rows]
    np.testing.assert_array_equal(forest.low[node], here.min(0))
    np.testing.assert_array_equal(forest.high[node], here.max(0))
    assert forest.mass[node] == len(rows)
    assert forest.length[node] == pytest.approx((here.max(0) - here.min(0)).sum(), rel=1e-5)
    left = forest.left[node]
    if left < 0:
        assert (here == here[0]).all()
        return
    side, cut = forest.side[node], forest.cut[node]
    assert forest.low[node, side] <= cut < forest.high[node, side]
    above = here[:, side] > cut
    n_above = int(above.sum())
    assert 0 < n_above < len(rows)
    assert forest.ratio[left] == pytest.approx(n_above / (len(rows) - n_above + 1))
    assert forest.ratio[left + 1] == pytest.approx((len(rows) - n_above) / (n_above + 1))
    check_node(forest, x, left, rows[~above])
    check_node(forest, x, left + 1, rows[above])


@pytest.mark.parametrize("width", [1, 3, 40])
def test_every_node_holds_what_comes_to_it(width: int) -> None:
    x = normal(60, width, 0)
    x[20:26] = x[3]  # some are equal
    forest = RandomCutForest.grow(x, trees=5, sample=len(x), seed=0)
    for root in range(5):
        check_node(forest, x, root, np.arange(len(x)))


def test_trees_differ_and_samples_are_as_large_as_asked() -> None:
    forest = RandomCutForest.grow(normal(200, 3, 0), trees=30, sample=16, seed=0)
    assert forest.mass[:30].tolist() == [16] * 30
    assert len({forest.low[root].tobytes() for root in range(30)}) > 20
    few = RandomCutForest.grow(normal(7, 3, 0), trees=2, sample=16, seed=0)
    assert few.mass[:2].tolist() == [7, 7]


def test_a_side_is_cut_in_proportion_to_its_length_and_anywhere() -> None:
    x = np.array([[0, 0, 5], [6, 3, 5], [2, 1, 5]], np.float32)
    forest = RandomCutForest.grow(x, trees=3000, sample=3, seed=0)
    side, cut = forest.side[:3000], forest.cut[:3000]
    shares = np.bincount(side, minlength=3) / 3000
    np.testing.assert_allclose(shares, [6 / 9, 3 / 9, 0], atol=0.03)
    assert np.quantile(cut[side == 0], [0.25, 0.5, 0.75]) == pytest.approx([1.5, 3, 4.5], abs=0.3)


def inserted(
    forest: RandomCutForest, root: int, point: FloatArray, rng: np.random.Generator
) -> float:
    """Collusive displacement after one insertion, word for word as the paper has it."""
    node, above = root, []  # of the nodes on the way: (mass with the point, mass of the sibling)
    while True:
        low, high = forest.low[node].astype(float), forest.high[node].astype(float)
        most, least = np.maximum(high, point), np.minimum(low, point)
        length = (most - least).sum()
        if length == 0:  # equal to all that is here
            break
        cut, side = rng.random() * length, 0
        while cut >= most[side] - least[side]:
            cut, side = cut - (most[side] - least[side]), side + 1
        cut += least[side]
        if not low[side] <= cut < high[side]:  # it is cut off from the whole box
            above.append((1.0, float(forest.mass[node])))
            break
        goes_up = int(point[forest.side[node]] > forest.cut[node])
        node, sibling = forest.left[node] + goes_up, forest.left[node] + 1 - goes_up
        above.append((float(forest.mass[node]) + 1, float(forest.mass[sibling])))
    return max((sibling / mass for mass, sibling in above), default=0.0)


def test_score_is_the_mean_over_insertions() -> None:
    x = normal(24, 3, 1)
    x[5:8] = x[4]
    forest = RandomCutForest.grow(x, trees=2, sample=24, seed=3)
    asked = np.stack([x[0] * 3, x[1] + 0.05, normal(1, 3, 9)[0], x[4]])
    rng = np.random.default_rng(0)
    for point, score in zip(asked, forest.score(asked), strict=True):
        drawn = np.array([[inserted(forest, r, point, rng) for r in (0, 1)] for _ in range(1500)])
        error = np.sqrt((drawn.var(0) / len(drawn)).sum()) / 2
        assert score == pytest.approx(drawn.mean(), abs=4 * error + 1e-4)


def test_what_is_equal_to_all_displaces_nothing_and_what_is_not_displaces_all() -> None:
    x = np.ones((10, 2), np.float32)
    forest = RandomCutForest.grow(x, trees=3, sample=10, seed=0)
    assert forest.score(np.array([[1, 1], [1, 2]], np.float32)).tolist() == [0, 10]
    shares = forest.shares(np.array([[1, 1], [1, 2]], np.float32))
    np.testing.assert_allclose(shares, [[0, 0], [0, 10]])


def test_others_do_not_change_a_score_by_a_single_bit() -> None:
    forest = RandomCutForest.grow(normal(300, 9, 0), trees=20, sample=64, seed=0)
    asked = normal(700, 9, 5)
    whole = forest.score(asked)
    assert forest.score(asked[431:432]) == whole[431]
    np.testing.assert_array_equal(forest.score(asked[::-1]), whole[::-1])
    assert len(forest.score(asked[:0])) == 0


def test_shares_sum_to_the_score_and_name_the_odd_feature() -> None:
    forest = RandomCutForest.grow(normal(300, 6, 0), trees=20, sample=128, seed=0)
    asked = normal(50, 6, 5)
    asked[7, 2] = 9
    shares = forest.shares(asked)
    np.testing.assert_allclose(shares.sum(1), forest.score(asked), rtol=1e-5)
    assert shares[7].argmax() == 2
    assert shares[7, 2] > 0.8 * shares[7].sum()


def test_planted_points_are_found() -> None:
    x, odd = normal(600, 8, 0), normal(20, 8, 1)
    odd[np.arange(20), np.arange(20) % 8] += 6
    scores = RandomCutForest.grow(x[:512], trees=40, sample=256, seed=0).score(np.vstack([x, odd]))
    assert roc_auc_score([0] * 600 + [1] * 20, scores) > 0.97
