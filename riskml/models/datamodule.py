"""Train and validation batches for Lightning."""

from __future__ import annotations

import pytorch_lightning as pl

from riskml.models.batches import TOGETHER, Batch, BatchLoader


class WindowsDataModule(pl.LightningDataModule):
    """Train and validation batches; every process of a distributed run takes its share of rows."""

    def __init__(
        self, train: Batch, validation: Batch, batch_size: int, score_batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self.train, self.validation = train, validation
        self.batch_size, self.score_batch_size, self.seed = batch_size, score_batch_size, seed

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches, `TOGETHER` an item."""
        return self._loader(self.train, self.batch_size, self.seed, TOGETHER)

    def val_dataloader(self) -> BatchLoader:
        """Batches in order."""
        return self._loader(self.validation, self.score_batch_size, None, 1)

    def _loader(
        self, tensors: Batch, batch_size: int, seed: int | None, together: int
    ) -> BatchLoader:
        assert self.trainer is not None, "Lightning attaches the trainer before it asks for loaders"
        return BatchLoader(
            tensors, batch_size, seed, self.trainer.global_rank, self.trainer.world_size, together
        )
