"""Batches: every row once, in an order that seed and epoch decide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_windows import make_windows

from riskml.models.batches import Batch, BatchLoader, in_batches, take, to_tensors


def rows(n: int) -> Batch:
    """Rows that carry their own number as user."""
    lengths = torch.arange(n) % 5 + 1
    tokens = (torch.arange(5)[None, :] < lengths[:, None]).long() * 2
    times = tokens[:, :, None] * torch.ones(2)
    return torch.zeros(n, 2), tokens, times, lengths, torch.arange(n)


def order(loader: BatchLoader) -> list[int]:
    return [int(row) for batches in loader for batch in batches for row in batch[-1]]


def test_without_a_seed_the_order_stays() -> None:
    assert order(BatchLoader(rows(10), 4)) == list(range(10))


@pytest.mark.parametrize(("n", "size"), [(1, 1), (10, 3), (10, 5), (10, 64)])
def test_every_row_once(n: int, size: int) -> None:
    loader = BatchLoader(rows(n), size, seed=0)
    batches = [batch for (batch,) in loader]
    assert len(batches) == len(loader)
    assert all(len(batch[0]) <= size for batch in batches)
    assert sorted(order(loader)) == list(range(n))


@pytest.mark.parametrize(("n", "size", "together"), [(1, 1, 4), (10, 3, 2), (12, 3, 4), (50, 4, 5)])
def test_batches_together_are_the_batches_one_by_one(n: int, size: int, together: int) -> None:
    alone = [batch for (batch,) in BatchLoader(rows(n), size, seed=0)]
    loader = BatchLoader(rows(n), size, seed=0, together=together)
    items = list(loader)
    assert len(items) == len(loader)
    assert all(len(item) == together for item in items[:-1])
    for one, other in zip(alone, [batch for item in items for batch in item], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_order_follows_from_seed_and_epoch() -> None:
    def at(seed: int, epoch: int) -> list[int]:
        loader = BatchLoader(rows(50), 8, seed=seed)
        loader.set_epoch(epoch)
        return order(loader)

    assert at(0, 3) == at(0, 3)
    different = {tuple(at(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(different) == 6
    assert tuple(range(50)) not in different


def test_order_is_untouched_by_global_randomness() -> None:
    loader = BatchLoader(rows(50), 8, seed=0)
    torch.manual_seed(1)
    first = order(loader)
    torch.manual_seed(2)
    assert first == order(loader)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(("n", "world"), [(10, 2), (10, 3), (9, 4), (4, 4), (2, 5), (1, 3)])
def test_processes_share_all_rows_evenly(n: int, world: int, seed: int | None) -> None:
    shares = [order(BatchLoader(rows(n), 2, seed, rank, world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1, "or they would wait for each other"
    assert set().union(*map(set, shares)) == set(range(n))
    assert len(shares[0]) == -(-n // world)


def test_take_keeps_no_more_padding_than_needed() -> None:
    _, tokens, times, lengths, user = take(rows(10), torch.tensor([0, 1, 6]))
    assert tokens.shape == (3, 2)
    assert times.shape == (3, 2, 2)
    assert user.tolist() == [0, 1, 6]
    assert (tokens[torch.arange(3), lengths - 1] == 2).all()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_in_batches_gives_rows_in_their_order(size: int) -> None:
    result = in_batches(lambda x, tokens, times, lengths, user: user.float(), rows(10), size)
    assert result.tolist() == list(range(10))
    parts = in_batches(lambda x, tokens, times, lengths, user: tokens, rows(10), size)
    assert torch.equal(parts, rows(10)[1])


def test_tensors_of_windows() -> None:
    windows = make_windows()
    x, tokens, times, lengths, user = to_tensors(windows, {"user_0": 1, "user_2": 2})
    assert (x.dtype, tokens.dtype, times.dtype, lengths.dtype, user.dtype) == (
        torch.float32,
        torch.int64,
        torch.float32,
        torch.int64,
        torch.int64,
    )
    assert user[:3].tolist() == [1, 0, 2]
    np.testing.assert_array_equal(x, windows.x)
    assert np.shares_memory(x.numpy(), windows.x), "a fit copies no rows"
