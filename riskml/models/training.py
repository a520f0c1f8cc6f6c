"""How the deep detectors step: by hand, several batches a call of Lightning's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from riskml.core.arguments import check_arguments
from riskml.core.errors import ConfigError, RiskmlError, require
from riskml.models.batches import TOGETHER, Batch
from riskml.models.networks import DetectorNetwork

VALIDATION_LOSS = "val/loss"


class TrainingError(RiskmlError):
    """Training cannot go on; the message says why and what to try."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a deep detector is trained.

    Args:
        learning_rate: of Adam with decoupled weight decay.
        weight_decay: strength of the decay.
        batch_size: windows a step.
        score_batch_size: windows a forward pass in scoring.
        max_epochs: passes over the train windows at most; with 0 the network stays untrained.
        patience: epochs without a better validation loss before training stops.
        seed: of weights, order and dropout.
        trim: share of a batch, the most surprising windows, that is not learnt from: what is odd
            among the train rows stays odd (Rousseeuw 1984, least trimmed squares).
        max_steps: optimiser steps at most, where the detector makes its own trainer.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    batch_size: int = 128
    score_batch_size: int = 4096
    max_epochs: int = 60
    patience: int = 5
    seed: int = 0
    trim: float = 0.1
    max_steps: int = 2000

    def __post_init__(self) -> None:
        check_arguments(type(self), vars(self))
        for name in ("batch_size", "score_batch_size", "patience", "max_steps"):
            value = getattr(self, name)
            require(f"training.{name}", value, value >= 1, "must be at least 1")
        require("training.max_epochs", self.max_epochs, self.max_epochs >= 0, "must be 0 or more")
        require("training.learning_rate", self.learning_rate, self.learning_rate > 0, "must be > 0")
        require("training.trim", self.trim, 0 <= self.trim < 1, "must be a share, below 1")
        require("training.weight_decay", self.weight_decay, self.weight_decay >= 0, "must be >= 0")


def clip_gradients(weights: Sequence[Tensor], limit: float) -> None:
    """Shrink gradients to a norm of `limit` all together; most steps need it not."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = get_total_norm(gradients)
    # looking at the norm would make a GPU wait
    if norm.is_cuda or norm > limit:
        clip_grads_with_norm_(weights, limit, norm)


class SteppingModule(pl.LightningModule):
    """Trains `network` on items that are lists of batches, with an optimiser step for each.

    A call of Lightning's costs more than a small step, so one call does several; the weights are
    those of a step a call. The losses of a call are looked at together and logged once an epoch.
    """

    network: DetectorNetwork
    training_settings: TrainingSettings

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._clip: float | None = None
        self._clip_each = False

    @contextmanager
    def stepping_for(self, trainer: pl.Trainer) -> Iterator[None]:
        """Clip as the trainer is told to; it refuses to do so itself for a module that steps.

        Raises:
            ConfigError: the trainer is to gather gradients over several batches.
        """
        if trainer.accumulate_grad_batches != 1:
            raise ConfigError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} must be 1: "
                "set model.training.batch_size instead"
            )
        self._clip, trainer.gradient_clip_val = trainer.gradient_clip_val, None
        self._clip_each = trainer.gradient_clip_algorithm == "value"
        try:
            yield
        finally:
            trainer.gradient_clip_val = self._clip

    def training_step(self, batches: list[Batch], batch_idx: int) -> None:
        """An optimiser step for each of several batches."""
        if batch_idx == 0:
            # by epoch, so that a resumed run draws what an uninterrupted one would
            torch.manual_seed(self.training_settings.seed * 1_000_003 + self.current_epoch)
            self._epoch_loss, self._epoch_rows = torch.zeros(2, device=self.device)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer), "one optimiser is configured"
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        losses: list[Tensor] = []
        rows: list[float] = []
        for batch in batches:
            loss = self._kept(self.network.loss(*batch)).mean()
            for weight in weights:
                weight.grad = None
            self.manual_backward(loss)
            self._clip_as_told(weights)
            optimizer.step()
            losses.append(loss.detach())
            rows.append(float(len(batch[0])))
            if self._all_steps_done():
                break
        together = torch.stack(losses)
        self._check_finite(together, "training", batch_idx * TOGETHER)
        sizes = torch.tensor(rows, device=self.device)
        self._epoch_loss += together @ sizes
        self._epoch_rows += sizes.sum()
        if self.trainer.is_last_batch or self._all_steps_done():
            mean = self._epoch_loss / self._epoch_rows
            self.log("train/loss", mean, on_step=False, on_epoch=True, prog_bar=True, batch_size=1)

    def validation_step(self, batches: list[Batch], batch_idx: int) -> None:
        """Mean held-out loss."""
        (batch,) = batches
        loss = self.network.loss(*batch).mean()
        self._check_finite(loss.reshape(1), "validation", batch_idx)
        self.log(VALIDATION_LOSS, loss, prog_bar=True, sync_dist=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay, fused."""
        settings = self.training_settings
        return torch.optim.AdamW(
            self.parameters(),
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _kept(self, losses: Tensor) -> Tensor:
        """Losses of a batch without the most surprising, [n] → [kept]."""
        trim = self.training_settings.trim
        if trim == 0:
            return losses
        kept = max(1, round(len(losses) * (1 - trim)))
        return losses.topk(kept, largest=False, sorted=False).values

    def _clip_as_told(self, weights: Sequence[Tensor]) -> None:
        if not self._clip:
            return
        if self._clip_each:
            clip_grad_value_(weights, self._clip)
        else:
            clip_gradients(weights, self._clip)

    def _all_steps_done(self) -> bool:
        # Lightning asks only after a call, which is several steps
        return 0 <= self.trainer.max_steps <= self.trainer.global_step

    def _check_finite(self, losses: Tensor, kind: str, first_batch: int) -> None:
        finite = torch.isfinite(losses)
        if not finite.all():
            at = int(finite.int().argmin())
            raise TrainingError(
                f"the {kind} loss became {losses[at].item()} in epoch {self.current_epoch}, "
                f"batch {first_batch + at}: lower model.training.learning_rate, or look for "
                "extreme feature values"
            )
