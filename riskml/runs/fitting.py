"""Fits a detector of any kind, deep ones through a Lightning trainer that can be interrupted."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from riskml.core.errors import ConfigError
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.models.deep import DeepDetector
from riskml.runs.assembly import build
from riskml.runs.context import CHECKPOINTS, Run
from riskml.runs.tracking import EpochMetrics

LAST = "last.ckpt"


def fit(run: Run, detector: Detector, windows: PreparedWindows) -> float:
    """Fit on the train windows; deep detectors stop early on the calibration windows.

    Returns:
        Seconds that it took.

    Raises:
        ConfigError: `ckpt_path` names no checkpoint.
        KeyboardInterrupt: after the last checkpoint has been written.
    """
    start = time.perf_counter()
    if isinstance(detector, DeepDetector):
        _fit_deep(run, detector, windows)
    else:
        with run.console.status(f"fitting {run.cfg.model.name}"):
            detector.fit(windows.train, windows.calibration)
    return time.perf_counter() - start


def _fit_deep(run: Run, detector: DeepDetector, windows: PreparedWindows) -> None:
    trainer = build_trainer(run)
    try:
        detector.fit(windows.train, windows.calibration, trainer, _checkpoint(run.cfg.ckpt_path))
    except (KeyboardInterrupt, SystemExit) as stopped:
        # Lightning turns Ctrl-C into SystemExit
        last = run.folder / CHECKPOINTS / LAST
        run.say(f"interrupted; go on with: ckpt_path={last}")
        raise KeyboardInterrupt from stopped


def build_trainer(run: Run) -> pl.Trainer:
    """The trainer of the config with its callbacks, telling the run's tracker of every epoch."""
    cfg = run.cfg
    # its notes on devices and plug-ins are not about this run
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    callbacks: list[Callback] = [_callback(run, node) for node in cfg.callbacks.values() if node]
    callbacks += [EpochMetrics(run.tracker), FirstCheckpoint()]
    trainer: pl.Trainer = build(cfg.trainer, callbacks=callbacks, logger=False)
    return trainer


def _callback(run: Run, node: DictConfig) -> Callback:
    callback: Callback = build(node)
    if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
        callback.dirpath = str(run.folder / CHECKPOINTS)
    return callback


class FirstCheckpoint(Callback):
    """Writes a checkpoint before the first step, so that an early Ctrl-C leaves one too."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it where the others will be."""
        checkpoint = trainer.checkpoint_callback
        if not isinstance(checkpoint, ModelCheckpoint):  # none in a fast_dev_run
            return
        path = Path(str(checkpoint.dirpath)) / LAST
        if trainer.current_epoch == 0 and not path.exists():
            trainer.save_checkpoint(path)


def _checkpoint(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise ConfigError(f"ckpt_path={path} is no file; a run keeps its own in {CHECKPOINTS}/")
    return path
