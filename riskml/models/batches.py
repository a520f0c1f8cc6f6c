"""Windows as tensors in memory, cut into batches without a per-row collate; no Lightning here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from riskml.core.types import IntArray, Windows

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""x [n, d], tokens [n, L], times [n, L or 0, 2], lengths [n], user [n]."""

TOGETHER = 16
"""Train batches that are gathered, moved and handed over at once, to save on each of it."""


def user_index(windows: Windows, users: Mapping[str, int]) -> IntArray:
    """Index of each window's user; 0 where the user was not in training."""
    names = windows.keys["user_id"]
    if len(names) < len(users):  # a few windows: a table of all users would take longer
        return np.array([users.get(name, 0) for name in names.to_list()], np.int32)
    index = names.replace_strict(users, default=0, return_dtype=None)
    return index.to_numpy().astype(np.int32)


def to_tensors(windows: Windows, users: Mapping[str, int]) -> Batch:
    """The network's inputs for all windows."""
    return (
        torch.from_numpy(np.ascontiguousarray(windows.x)),
        torch.from_numpy(windows.tokens.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(windows.times)),
        torch.from_numpy(windows.lengths.astype(np.int64)),
        torch.from_numpy(user_index(windows, users).astype(np.int64)),
    )


def take(tensors: Batch, rows: Tensor) -> Batch:
    """Some rows, with no more padding than the longest of them needs."""
    x, tokens, times, lengths, user = tensors
    chosen = lengths.index_select(0, rows)  # several times as fast as indexing
    longest = max(1, int(chosen.max()))
    return (
        x.index_select(0, rows),
        tokens[:, :longest].index_select(0, rows),
        times[:, :longest].index_select(0, rows),
        chosen,
        user.index_select(0, rows),
    )


def cut(rows: Batch, batch_size: int) -> list[Batch]:
    """Rows that were taken together as batches, each trimmed to its own longest."""
    batches: list[Batch] = []
    for x, tokens, times, lengths, user in zip(
        *(torch.split(part, batch_size) for part in rows), strict=True
    ):
        longest = max(1, int(lengths.max()))
        batches.append((x, tokens[:, :longest], times[:, :longest], lengths, user))
    return batches


def in_batches(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
    tensors: Batch,
    batch_size: int,
    device: torch.device | None = None,
) -> Tensor:
    """Apply a network function to all rows, windows of like length together.

    Args:
        function: a batch → [n] or [n, parts].
        tensors: all rows.
        batch_size: rows a call.
        device: where the function's network is.

    Returns:
        [n] or [n, parts] on the CPU, in the order of the rows; narrower parts are padded with 0.
    """
    order = torch.argsort(tensors[3], stable=True, descending=True)
    found = torch.zeros(0)
    for rows in torch.split(order, batch_size):
        output = function(*(part.to(device) for part in take(tensors, rows))).cpu()
        if not len(found):
            # one place for all, made for the longest: a list of results would hold the heap apart
            found = output.new_zeros(len(order), *output.shape[1:])
        if output.dim() == 2:
            output = pad(output, (0, found.size(1) - output.size(1)))
        found[rows] = output
    return found


class BatchLoader:
    """Batches by slicing whole tensors; shuffled anew each epoch, the same for the same seed.

    An item is a list of `together` batches (fewer at the end).

    Args:
        tensors: all rows.
        batch_size: rows a batch; the last one may be smaller.
        seed: of the shuffling; None keeps the order.
        rank, world_size: this process takes every world_size-th row from rank on.
        together: batches an item.
    """

    def __init__(
        self,
        tensors: Batch,
        batch_size: int,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        together: int = 1,
    ) -> None:
        self.tensors, self.batch_size, self.seed = tensors, batch_size, seed
        self.rank, self.world_size, self.together = rank, world_size, together
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; a resumed run sees what an uninterrupted one would."""
        self.epoch = epoch

    batch_sampler = None

    @property
    def sampler(self) -> BatchLoader:
        """Lightning tells the epoch to a loader's sampler."""
        return self

    def __len__(self) -> int:
        return -(-self._rows_here() // (self.batch_size * self.together))

    def _rows_here(self) -> int:
        # every process sees equally many rows, or they would wait for each other
        return -(-len(self.tensors[0]) // self.world_size)

    def __iter__(self) -> Iterator[list[Batch]]:
        rows = len(self.tensors[0])
        if self.seed is None:
            order = torch.arange(rows)
        else:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(rows, generator=generator)
        if self.world_size > 1:
            total = self._rows_here() * self.world_size
            # rows are repeated where they do not come out even
            order = order.repeat(-(-total // rows))[:total][self.rank :: self.world_size]
        for part in torch.split(order, self.batch_size * self.together):
            yield cut(take(self.tensors, part), self.batch_size)
