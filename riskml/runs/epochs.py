"""The numbers of each epoch: kept, or told to a tracker as they come."""

from __future__ import annotations

from collections.abc import Mapping

import pytorch_lightning as pl

from riskml.runs.tracking import NoTracker, Tracker


class EpochRecord(NoTracker):
    """Keeps the numbers of each epoch.

    Attributes:
        epochs: by epoch.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Keep them; an epoch comes after the one before."""
        self.epochs.append({name: value for name, value in values.items() if value is not None})


class EpochMetrics(pl.Callback):
    """Tells the tracker train and validation loss after every epoch."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what Lightning has collected."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.tracker.metrics(values, step=trainer.current_epoch)
