"""The best few trials as detectors: refitted on the whole train period, exported, and together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from riskml.models.base import dotted
from riskml.runs.context import CONFIG_FILE, REFERENCE, Run, load_config, remember_latest
from riskml.runs.sweeps.report import Choice, read, write
from riskml.runs.sweeps.settings import SweepSettings
from riskml.runs.sweeps.space import Space
from riskml.runs.sweeps.trial import features_key
from riskml.runs.train import Trained, train_in
from riskml.wrappers.ensemble import EnsembleDetector

ENSEMBLE = "ensemble"


def refit(run: Run, cfg: DictConfig, space: Space, settings: SweepSettings, choice: Choice) -> None:
    """Train the best as `train.py` does, each in a folder of its own, and one of all of them.

    The choice is made by now: the test period is scored here for the first time.

    Args:
        run: of the sweep.
        cfg: as it was given.
        space: what was tried.
        settings: of the sweep.
        choice: best trials first.
    """
    trained: list[Trained] = []
    best = choice.best[: settings.keep]
    for place, trial in enumerate(best, 1):
        name = f"best_{place}"
        whole = _alone(space.applied(cfg, trial.params), run.folder / name)
        run.say(f"refitting trial {trial.number} as {name}")
        same = trained[0] if trained and _same_features(trained[0], whole) else None
        trained.append(_train(run, whole, f"{name} (trial {trial.number})", same))
    folders = [f"best_{place}" for place in range(1, len(trained) + 1)]
    together = [one for one in trained if one.windows is trained[0].windows]
    if settings.ensemble and len(together) > 1:
        folders.append(ENSEMBLE)
        _ensemble(run, together)
    if trained:
        remember_latest(Path(cfg.paths.outputs), run.folder / "best_1")
    write(run, read(run.folder) | {"refitted": folders})


def _alone(cfg: DictConfig, folder: Path) -> DictConfig:
    """The config of an ordinary training."""
    with open_dict(cfg):
        cfg.sweep = None
        cfg.paths.run = str(folder)
    return cfg


def _train(
    run: Run, cfg: DictConfig, title: str, read_already: Trained | None, fitted: Any = None
) -> Trained:
    folder = Path(cfg.paths.run)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / CONFIG_FILE, resolve=True)
    pl.seed_everything(cfg.seed, verbose=False)
    with run.tracker.child(title) as child:
        child.artifact(folder / CONFIG_FILE)
        inner = Run(cfg, folder, Console(quiet=True), child)
        if read_already is not None:
            (folder / REFERENCE).write_bytes((read_already.folder / REFERENCE).read_bytes())
        return train_in(inner, read_already, fitted)


def _ensemble(run: Run, trained: list[Trained]) -> None:
    """The hyper-ensemble (Ding et al. 2022) of detectors that are fitted already."""
    first = trained[0]
    detector = EnsembleDetector.of_fitted(
        [one.detector for one in trained], first.windows.train, first.windows.calibration
    )
    whole = _alone(load_config(first.folder), run.folder / ENSEMBLE)
    with open_dict(whole):
        whole.model = {
            "name": ENSEMBLE,
            "_target_": dotted(EnsembleDetector),
            "detectors": [load_config(one.folder).model for one in trained],
            "combine": detector.combine,
            "keep": None,
        }
    run.say(f"the best {len(trained)} as one detector")
    _train(run, whole, ENSEMBLE, first, detector)


def _same_features(trained: Trained, cfg: DictConfig) -> bool:
    return features_key(trained.cfg) == features_key(cfg)
