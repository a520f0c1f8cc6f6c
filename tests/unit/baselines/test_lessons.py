"""The rows that a model is made of: a set, in whatever order and parts it came."""

from __future__ import annotations

import numpy as np
import pytest

from riskml.baselines.lessons import Lessons
from riskml.core.types import FloatArray

Rows = tuple[np.ndarray, FloatArray, FloatArray]


def some(n: int, blocks: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    block = np.sort(rng.integers(0, blocks, n))
    return block, rng.normal(size=(n, 2)).astype(np.float32), rng.random(n).astype(np.float32)


def in_parts(rows: Rows, order: np.ndarray, sizes: list[int], most: int, lag: int) -> Lessons:
    found = Lessons.none(2)
    for part in np.split(order, np.cumsum(sizes)):
        found = found.with_more(Lessons.of(*(column[part] for column in rows)), most, lag)
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("quarantine", [0.0, 0.2])
def test_what_is_left_out_on_the_way_would_not_have_counted(seed: int, quarantine: float) -> None:
    """Rows up to two blocks late, in parts of any size, against all of them at once."""
    lag, most = 2, 12
    rows, rng = some(150, 9, seed), np.random.default_rng(seed)
    whole, known = Lessons.of(*rows), Lessons.none(2)
    order = np.argsort(rows[0] + rng.random(150) * lag, kind="stable")
    for part in np.array_split(order, rng.integers(2, 40)):
        for block in np.unique(rows[0][part]):
            kept, ever = (x.until(int(block) - lag, most, quarantine) for x in (known, whole))
            np.testing.assert_array_equal(kept.x, ever.x)
            now = part[rows[0][part] == block]
            known = known.with_more(Lessons.of(*(c[now] for c in rows)), most, lag)
    assert len(known.block) < 6 * most


def test_order_and_parts_make_no_difference() -> None:
    rows = some(90, 6, 0)
    straight = in_parts(rows, np.arange(90), [90], 20, 3)
    shuffled = in_parts(rows, np.random.default_rng(1).permutation(90), [7, 30, 31, 80], 20, 3)
    for one, other in zip(straight.arrays().values(), shuffled.arrays().values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_newest_count_and_of_a_block_a_draw_that_does_not_follow_the_rows() -> None:
    block, x, score = some(200, 4, 0)
    x[:, 0] = np.arange(200)  # in order of time
    found = Lessons.of(block, x, score).until(2, 30, 0.0)
    assert set(found.block.tolist()) == {2}
    place = np.flatnonzero(np.isin(x[:, 0], found.x[:, 0])) - np.flatnonzero(block == 2)[0]
    assert np.corrcoef(place, np.sort(place))[0, 1] > 0
    assert place.max() - place.min() > 30


def test_high_scores_stay_out() -> None:
    rows = some(100, 3, 0)
    found = Lessons.of(*rows).until(2, 50, 0.1)
    everybody = Lessons.of(*rows).until(2, 50, 0.0)
    assert len(found.score) == 45
    assert found.score.max() < np.sort(everybody.score)[-5]


def test_saved_and_restored_it_is_the_same() -> None:
    found = Lessons.of(*some(50, 3, 0))
    again = Lessons.restored(found.arrays())
    np.testing.assert_array_equal(again.until(1, 20, 0.1).x, found.until(1, 20, 0.1).x)
