"""Training with the callbacks and the trainer of the configs: best epoch, checkpoints, resuming."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from planted import Planted
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from riskml.baselines.simple import WindowLengthDetector
from riskml.core.errors import ConfigError
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.deep import DeepDetector, TrainingSettings
from riskml.models.lstm_ae import LSTMAutoencoderDetector
from riskml.models.vae import VAEDetector
from riskml.runs.context import CHECKPOINTS, Run
from riskml.runs.fitting import LAST, build_trainer, check_device, check_resumable, fit
from riskml.runs.tracking import NoTracker
from riskml.wrappers.ensemble import EnsembleDetector
from riskml.wrappers.slow_leak import SlowLeakDetector

CONF = Path(__file__).parents[2] / "conf"
GOOD = 5
"""Epochs after this one are made worse, so that the best is not the last."""

MAKE = {
    "autoencoder": lambda training: AutoencoderDetector((16, 8), 3, user_dim=4, training=training),
    "vae": lambda training: VAEDetector((16, 8), 3, user_dim=4, training=training),
    "lstm_ae": lambda training: LSTMAutoencoderDetector(8, 3, user_dim=4, training=training),
}


def make_run(folder: Path, epochs: int, ckpt_path: Path | None = None, **trainer: Any) -> Run:
    groups = {
        "trainer": OmegaConf.load(CONF / "trainer" / "cpu.yaml"),
        "callbacks": OmegaConf.load(CONF / "callbacks" / "default.yaml"),
    }
    cfg = OmegaConf.create(
        {
            **groups,
            "paths": {"run": str(folder)},
            "model": {"name": "x", "training": {"max_epochs": epochs, "patience": 1000}},
            "ckpt_path": str(ckpt_path) if ckpt_path else None,
        }
    )
    cfg.callbacks.progress_bar = None
    cfg.trainer.update(trainer)
    return Run(cfg, folder, Console(file=io.StringIO()), NoTracker())


class Spoil(Callback):
    """Shakes the weights before the validation of late epochs."""

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch > GOOD:
            generator = torch.Generator().manual_seed(trainer.current_epoch)
            with torch.no_grad():
                for weights in pl_module.parameters():
                    weights.add_(torch.randn(weights.shape, generator=generator))


def trained(name: str, run: Run, planted: Planted, *callbacks: Callback) -> DeepDetector:
    """Fit through `fit`, with further callbacks in front of those of the configs."""

    def build(*arguments: Any) -> Any:
        trainer = build_trainer(*arguments)
        trainer.callbacks[:0] = callbacks
        return trainer

    detector = MAKE[name](TrainingSettings(batch_size=32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("riskml.runs.fitting.build_trainer", build)
        fit(run, detector, planted.windows)
    return detector


def lstms_have_half_precision() -> bool:
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / CHECKPOINTS / name, weights_only=True)
    return content


class ValidationLosses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.values.append(float(trainer.callback_metrics["val/loss"]))


@pytest.mark.parametrize("name", MAKE)
def test_best_epoch_is_the_one_that_is_kept(name: str, planted: Planted, tmp_path: Path) -> None:
    losses = ValidationLosses()
    detector = trained(name, make_run(tmp_path, 10), planted, Spoil(), losses)
    best = losses.values.index(min(losses.values))
    assert best <= GOOD, "the last epoch is not the best, or this shows nothing"
    kept = checkpoint(tmp_path, "best.ckpt")
    assert kept["epoch"] == best
    assert same(detector.state_dict(), kept["state_dict"])


@pytest.mark.parametrize("name", MAKE)
def test_last_checkpoint_is_of_the_last_epoch(name: str, planted: Planted, tmp_path: Path) -> None:
    """Or a resumed run would have to do again what was done already."""
    trained(name, make_run(tmp_path, 10), planted, Spoil())
    assert checkpoint(tmp_path, LAST)["epoch"] == 9


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("stopped_after", [1, 4, 8])
def test_resumed_equals_uninterrupted(
    name: str, stopped_after: int, planted: Planted, tmp_path: Path
) -> None:
    """Also where the best epoch lies before the interruption."""
    whole = trained(name, make_run(tmp_path / "a", 10), planted, Spoil())
    trained(name, make_run(tmp_path / "b", stopped_after), planted, Spoil())
    last = tmp_path / "b" / CHECKPOINTS / LAST
    resumed = trained(name, make_run(tmp_path / "c", 10, last), planted, Spoil())
    assert same(whole.state_dict(), resumed.state_dict())


class CtrlC(Callback):
    """Interrupts in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.steps = 0

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.steps += trainer.current_epoch == self.epoch
        if self.steps == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [0, 3])
def test_interruption_leaves_a_checkpoint_to_go_on_from(
    epoch: int, planted: Planted, tmp_path: Path
) -> None:
    whole = trained("vae", make_run(tmp_path / "a", 6), planted)
    run = make_run(tmp_path / "b", 6)
    with pytest.raises(KeyboardInterrupt):
        trained("vae", run, planted, CtrlC(epoch))
    last = tmp_path / "b" / CHECKPOINTS / LAST
    assert str(last) in run.console.file.getvalue().replace("\n", "")  # type: ignore[attr-defined]
    resumed = trained("vae", make_run(tmp_path / "c", 6, last), planted)
    assert same(whole.state_dict(), resumed.state_dict())


def test_detectors_inside_others_are_fitted_as_their_own_kind(
    planted: Planted, tmp_path: Path
) -> None:
    """Deep ones for their own number of epochs, with the trainer and the callbacks of the run."""
    run = make_run(tmp_path, 9)
    deep = MAKE["vae"](TrainingSettings(batch_size=32, max_epochs=2, patience=7))
    ensemble = EnsembleDetector([SlowLeakDetector(deep), WindowLengthDetector()])
    fit(run, ensemble, planted.windows)
    kept = torch.load(tmp_path / CHECKPOINTS / "VAE" / LAST, weights_only=True)
    assert kept["epoch"] == 1
    assert "fitting VAE" in run.console.file.getvalue()  # type: ignore[attr-defined]
    assert ensemble.score(planted.windows.test).std() > 0


def test_ensembles_cannot_be_gone_on_with(planted: Planted, tmp_path: Path) -> None:
    trained("vae", make_run(tmp_path / "a", 1), planted)
    run = make_run(tmp_path / "b", 1, tmp_path / "a" / CHECKPOINTS / LAST)
    with pytest.raises(ConfigError, match="keeps no checkpoints to go on from"):
        check_resumable(run, EnsembleDetector([WindowLengthDetector()]))


def test_checkpoint_that_is_not_there(planted: Planted, tmp_path: Path) -> None:
    run = make_run(tmp_path, 1, tmp_path / "nowhere.ckpt")
    with pytest.raises(ConfigError, match=r"ckpt_path=.*nowhere\.ckpt is no file"):
        trained("vae", run, planted)


def test_file_that_is_no_checkpoint(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "odd.ckpt").write_text("not a checkpoint")
    run = make_run(tmp_path / "run", 1, tmp_path / "odd.ckpt")
    with pytest.raises(ConfigError, match=r"ckpt_path=.*odd\.ckpt"):
        trained("vae", run, planted)


def test_checkpoint_of_another_architecture(planted: Planted, tmp_path: Path) -> None:
    trained("autoencoder", make_run(tmp_path / "a", 1), planted)
    last = tmp_path / "a" / CHECKPOINTS / LAST
    with pytest.raises(ConfigError, match="ckpt_path="):
        trained("vae", make_run(tmp_path / "b", 1, last), planted)


def test_debug_leaves_a_usable_detector(planted: Planted, tmp_path: Path) -> None:
    detector = trained("vae", make_run(tmp_path, 5, fast_dev_run=True), planted)
    assert detector.score(planted.windows.test).std() > 0


@pytest.mark.parametrize("name", MAKE)
def test_half_precision_of_the_gpu_config_works_without_one(
    name: str, planted: Planted, tmp_path: Path
) -> None:
    if name == "lstm_ae" and not lstms_have_half_precision():
        pytest.skip("this processor has no bfloat16, which LSTMs need of it")
    precision = OmegaConf.load(CONF / "trainer" / "gpu.yaml").precision
    losses = ValidationLosses()
    detector = trained(name, make_run(tmp_path, 1, precision=precision), planted, losses)
    assert np.isfinite(losses.values).all()
    assert {weights.dtype for weights in detector.parameters()} == {torch.float32}
    assert np.isfinite(detector.score(planted.windows.test)).all()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_gpu_that_is_not_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1, accelerator="gpu")
    with pytest.raises(ConfigError, match=r"trainer\.accelerator=gpu: torch sees no GPU.*=cpu"):
        check_device(run.cfg, MAKE["vae"](TrainingSettings()))
    inside = EnsembleDetector([SlowLeakDetector(MAKE["vae"](TrainingSettings()))])
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        check_device(run.cfg, inside)


def test_several_devices_are_processes_of_this_command(tmp_path: Path) -> None:
    """Lightning's choice would run the command again for each."""
    trainer = build_trainer(make_run(tmp_path, 1, devices=2), tmp_path)
    assert trainer.strategy.launcher._start_method == "spawn"  # type: ignore[attr-defined]
