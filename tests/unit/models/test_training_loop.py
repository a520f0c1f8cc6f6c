"""Training through Lightning against a plain loop, under the trainer's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from made_windows import DEEP, make_windows, quick
from torch.nn.utils import clip_grad_norm_

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.batches import Batch, BatchLoader, to_tensors
from riskml.models.deep import DeepDetector, TrainingError
from riskml.models.training import clip_gradients

MANY = make_windows(each=100)
"""Enough for several batches together, and for a last part with fewer."""


def trainer(**settings: object) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings = {"max_epochs": 2, "enable_checkpointing": False, **quiet, **settings}
    return pl.Trainer(accelerator="cpu", devices=1, **settings)  # type: ignore[arg-type]


def by_hand(
    detector: DeepDetector, windows: Windows, epochs: int, clip: float, steps: int = 1000
) -> list[float]:
    """The same training without Lightning; mean loss of each epoch."""
    settings = detector.training_settings
    detector._build(windows)
    network = detector.network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    means = []
    with torch.random.fork_rng():
        for epoch in range(epochs):
            torch.manual_seed(settings.seed * 1_000_003 + epoch)
            loader = BatchLoader(
                to_tensors(windows, detector.users_), settings.batch_size, settings.seed
            )
            loader.set_epoch(epoch)
            total = 0.0
            for (batch,) in loader:
                if steps == 0:
                    return means
                steps -= 1
                optimizer.zero_grad()
                losses = network.loss(*batch)
                kept = max(1, round(len(losses) * (1 - settings.trim)))
                loss = losses.topk(kept, largest=False, sorted=False).values.mean()
                loss.backward()  # type: ignore[no-untyped-call]
                clip_grad_norm_(network.parameters(), clip)
                optimizer.step()
                total += float(loss) * len(batch[0])
            means.append(total / len(windows))
    return means


@pytest.mark.slow
@pytest.mark.parametrize("clip", [1.0, 1e9])
@pytest.mark.parametrize("name", DEEP)
def test_weights_are_those_of_a_plain_loop(name: str, clip: float) -> None:
    plain, ours = DEEP[name](training=quick()), DEEP[name](training=quick())
    means = by_hand(plain, MANY, 2, clip)
    through = trainer(gradient_clip_val=clip)
    ours.fit(MANY, trainer=through)
    assert through.global_step == 2 * -(-len(MANY) // 16), "every batch is a step"
    assert through.gradient_clip_val == clip, "the trainer is given back as it came"
    assert float(through.callback_metrics["train/loss"]) == pytest.approx(means[-1], rel=1e-5)
    expected = plain.network.state_dict()
    for key, value in ours.network.state_dict().items():
        assert torch.equal(value, expected[key]), key


class StepACall(AutoencoderDetector):
    """Leaves it to Lightning to step and to clip, one batch a call."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.automatic_optimization = True

    @contextmanager
    def stepping_for(self, trainer: pl.Trainer) -> Iterator[None]:
        yield

    def training_step(self, batches: list[Batch], batch_idx: int) -> torch.Tensor:  # type: ignore[override]
        if batch_idx == 0:
            torch.manual_seed(self.training_settings.seed * 1_000_003 + self.current_epoch)
        (batch,) = batches
        return self._kept(self.network.loss(*batch)).mean()


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("clip", [None, 0.01])
def test_weights_are_those_of_automatic_optimisation(
    clip: float | None, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"hidden": (12, 8), "latent_dim": 3, "training": quick()}
    told = {"gradient_clip_val": clip, "gradient_clip_algorithm": algorithm}
    ours = AutoencoderDetector(**arguments).fit(MANY, trainer=trainer(**told))
    monkeypatch.setattr("riskml.models.datamodule.TOGETHER", 1)
    theirs = StepACall(**arguments).fit(MANY, trainer=trainer(**told))
    expected = theirs.network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in ours.network.state_dict().items())


@pytest.mark.parametrize("steps", [1, 7, 16, 25])
def test_steps_are_the_optimisers(steps: int) -> None:
    """Also where they end within a call, or in a later epoch."""
    through = trainer(max_steps=steps, max_epochs=9)
    detector = DEEP["autoencoder"](training=quick()).fit(MANY, trainer=through)
    assert through.global_step == steps
    plain = DEEP["autoencoder"](training=quick())
    by_hand(plain, MANY, 2, clip=1e9, steps=steps)
    expected = plain.network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in detector.network.state_dict().items())
    assert "train/loss" in through.callback_metrics


def test_loss_that_is_no_number_is_named_by_epoch_and_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The 22nd batch of all: the third of the second epoch, within a call."""
    detector, calls = DEEP["autoencoder"](training=quick()), 0
    kept = detector._kept

    def spoilt(losses: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return kept(losses) * (float("nan") if calls == 22 else 1.0)

    monkeypatch.setattr(detector, "_kept", spoilt)
    with pytest.raises(TrainingError, match=r"training loss became nan in epoch 1, batch 2: "):
        detector.fit(MANY, trainer=trainer())


def test_gathering_gradients_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"accumulate_grad_batches=2 must be 1.*batch_size"):
        DEEP["vae"]().fit(MANY, trainer=trainer(accumulate_grad_batches=2))


def test_clipping_is_felt() -> None:
    scores = [
        DEEP["autoencoder"](training=quick())
        .fit(MANY, trainer=trainer(gradient_clip_val=clip))
        .score(MANY)
        for clip in (1e-3, None)
    ]
    assert not np.allclose(*scores)


def test_gradients_are_clipped_together() -> None:
    weights = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)]
    for weight, gradient in zip(weights, ([0.0, 3.0], [4.0]), strict=True):
        weight.grad = torch.tensor(gradient)
    clip_gradients(weights, 10.0)
    assert [weight.grad.tolist() for weight in weights if weight.grad is not None] == [[0, 3], [4]]
    clip_gradients(weights, 1.0)
    joined = torch.cat([weight.grad for weight in weights if weight.grad is not None])
    torch.testing.assert_close(joined, torch.tensor([0.0, 0.6, 0.8]))


def lstms_have_half_precision() -> bool:
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", DEEP)
def test_half_precision_trains(name: str) -> None:
    if name == "lstm_ae" and not lstms_have_half_precision():
        pytest.skip("this processor has no bfloat16, which LSTMs need of it")
    exact, half = (
        DEEP[name](training=quick()).fit(MANY, trainer=trainer(precision=precision)).score(MANY)
        for precision in ("32-true", "bf16-mixed")
    )
    assert np.isfinite(half).all()
    assert not np.array_equal(half, exact)
    assert np.corrcoef(half, exact)[0, 1] > 0.95
