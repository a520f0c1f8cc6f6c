"""Fits a detector of any kind, deep ones through a Lightning trainer that can be interrupted."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, ProgressBar

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.models.deep import DeepDetector, TrainingSettings
from riskml.runs.assembly import build
from riskml.runs.context import CHECKPOINTS, Run
from riskml.runs.epochs import EpochMetrics
from riskml.wrappers.around import AroundDetector
from riskml.wrappers.ensemble import EnsembleDetector

LAST = "last.ckpt"
WRAPPERS = (EnsembleDetector, AroundDetector)
"""Detectors made of others, each of which is fitted as its own kind is."""


def fit(
    run: Run,
    detector: Detector,
    windows: PreparedWindows,
    training: TrainingSettings | None = None,
    further: Sequence[Callback] = (),
) -> float:
    """Fit on the train windows; deep detectors stop early on the calibration windows.

    Args:
        run: with trainer and callbacks in its config.
        detector: unfitted.
        windows: by period.
        training: whose epochs and patience count, where they are not those of `model`.
        further: callbacks of a deep detector's trainer, beside those of the config.

    Returns:
        Seconds that it took.

    Raises:
        ConfigError: `ckpt_path` names no checkpoint.
        KeyboardInterrupt: after the last checkpoint has been written.
    """
    start = time.perf_counter()
    if isinstance(detector, DeepDetector):
        _fit_deep(run, detector, windows, training, further)
    elif isinstance(detector, WRAPPERS):
        detector.fit(windows.train, windows.calibration, partial(_fit_part, run))
    else:
        with run.console.status(f"fitting {run.cfg.model.name}"):
            detector.fit(windows.train, windows.calibration)
    return time.perf_counter() - start


def check_resumable(run: Run, detector: Detector) -> None:
    """Refuse a `ckpt_path` that cannot be gone on from.

    Raises:
        ConfigError: no checkpoint, or a detector that has none.
    """
    if _checkpoint(run.cfg.ckpt_path) and not isinstance(detector, DeepDetector):
        raise ConfigError(f"ckpt_path: {run.cfg.model.name} keeps no checkpoints to go on from")


def check_device(cfg: DictConfig, detector: Detector) -> None:
    """Refuse a GPU that is not there before any data is read.

    Raises:
        ConfigError: the trainer is to run where torch sees nothing to run on.
    """
    accelerator = cfg.trainer.get("accelerator")
    deep = any(isinstance(one, DeepDetector) for one in _with_those_inside(detector))
    wanted = accelerator in ("gpu", "cuda") and deep
    if wanted and not torch.accelerator.is_available():
        raise ConfigError(
            f"trainer.accelerator={accelerator}: torch sees no GPU here; choose trainer=cpu, or "
            "install a torch that is built for the GPU"
        )


def _with_those_inside(detector: Detector) -> Iterator[Detector]:
    """A detector and all that it is made of."""
    yield detector
    members = detector.detectors if isinstance(detector, EnsembleDetector) else []
    if isinstance(detector, AroundDetector):
        members = [detector.detector]
    for member in members:
        yield from _with_those_inside(member)


def _fit_deep(
    run: Run,
    detector: DeepDetector,
    windows: PreparedWindows,
    training: TrainingSettings | None,
    further: Sequence[Callback],
) -> None:
    resume = _checkpoint(run.cfg.get("ckpt_path"))
    folder = resume.parent if resume else run.folder / CHECKPOINTS
    trainer = build_trainer(run, folder, training, further)
    try:
        detector.fit(windows.train, windows.calibration, trainer, str(resume) if resume else None)
    except (KeyboardInterrupt, SystemExit) as stopped:
        # Lightning turns Ctrl-C into SystemExit
        run.say(f"interrupted; go on with: ckpt_path={folder / LAST}")
        raise KeyboardInterrupt from stopped


def _fit_part(run: Run, detector: Detector, windows: Windows, later: Windows, title: str) -> None:
    """Fit a detector inside another, and say so; deep ones as long as their own settings say."""
    if isinstance(detector, WRAPPERS):
        detector.fit(windows, later, partial(_fit_part, run))
    elif isinstance(detector, DeepDetector):
        run.say(f"fitting {title}")
        folder = run.folder / CHECKPOINTS / title
        detector.fit(windows, later, build_trainer(run, folder, detector.training_settings))
    else:
        with run.console.status(f"fitting {title}"):
            detector.fit(windows, later)


def build_trainer(
    run: Run,
    checkpoints: Path,
    training: TrainingSettings | None = None,
    further: Sequence[Callback] = (),
) -> pl.Trainer:
    """The trainer of the config with its callbacks, telling the run's tracker of every epoch.

    Args:
        run: with trainer and callbacks in its config.
        checkpoints: where they go. A resumed run goes on in the folder it began in, or Lightning
            would forget which epoch was the best.
        training: whose epochs and patience count, where they are not those of `model`.
        further: callbacks beside those of the config.
    """
    # its notes on devices and plug-ins are not about this run
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    callbacks: list[Callback] = []
    for node in run.cfg.callbacks.values():
        if node:
            callbacks.append(build(node))
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = str(checkpoints)
        if isinstance(callback, EarlyStopping) and training:
            callback.patience = training.patience
    limits = {"max_epochs": training.max_epochs} if training else {}
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    callbacks += [EpochMetrics(run.tracker), FirstCheckpoint(), *further]
    given = {"callbacks": callbacks, "logger": False, "enable_progress_bar": bar, **limits}
    trainer: pl.Trainer = build(run.cfg.trainer, **given)
    if trainer.num_devices > 1 and run.cfg.trainer.get("strategy", "auto") == "auto":
        # by itself Lightning would start the whole command again for each further device
        trainer = build(run.cfg.trainer, **given, strategy="ddp_spawn")
    return trainer


class FirstCheckpoint(Callback):
    """Writes a checkpoint before the first step, so that an early Ctrl-C leaves one too."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it where the others will be."""
        checkpoint = trainer.checkpoint_callback
        if isinstance(checkpoint, ModelCheckpoint) and trainer.current_epoch == 0:
            trainer.save_checkpoint(Path(str(checkpoint.dirpath)) / LAST)


def _checkpoint(name: str | None) -> Path | None:
    """The checkpoint to go on from, once it has been seen to be one.

    Raises:
        ConfigError: no file, or no checkpoint.
    """
    if name is None:
        return None
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"ckpt_path={name} is no file; a run keeps its own in {CHECKPOINTS}/")
    try:
        known = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    except Exception as error:  # a foreign file can fail in any way
        raise ConfigError(f"ckpt_path={name} is no checkpoint of ours") from error
    if not any(key.startswith("network.") for key in known):
        raise ConfigError(f"ckpt_path={name} holds no network of ours")
    return path.resolve()
