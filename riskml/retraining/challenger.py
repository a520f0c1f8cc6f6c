"""Trains a champion's challenger: the champion's own settings on the log as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError
from riskml.retraining.policy import RetrainPolicy
from riskml.retraining.snapshot import SNAPSHOT

SPLIT = "riskml.data.splits.TimeSplit"


@dataclass(frozen=True)
class Challenge:
    """What a challenger is trained on.

    Args:
        model: name in the registry that it goes to, as challenger.
        until: the first moment that it does not see.
        held: file with the events that it does not learn from.
        drifting_since: from when on windows are what later ones are held to, if the world changed.
        folder: of the run.
    """

    model: str
    until: datetime
    held: Path
    drifting_since: datetime | None
    folder: Path


def challenger_config(cfg: DictConfig, challenge: Challenge, policy: RetrainPolicy) -> DictConfig:
    """The config of the challenger's run, which `train` is given.

    Args:
        cfg: of the champion's run, with the log's own source.
        challenge: what it is trained on.
        policy: how much of the end of the log it is not fitted on.
    """
    since = challenge.drifting_since
    source = {
        "_target_": SNAPSHOT,
        "until": challenge.until.isoformat(),
        "held": str(challenge.held.resolve()),
        "source": cfg.data.source,
    }
    split = {"_target_": SPLIT, "test": policy.test, "calibration": policy.calibration}
    changes: dict[str | Any, Any] = {
        "data": {**cfg.data, "source": source, "split": split},
        "paths": {**cfg.paths, "run": str(challenge.folder.resolve())},
        "register": challenge.model,
        "bundle_knows": "everything",
        "ckpt_path": None,
        "drift_since": None if since is None else since.isoformat(),
    }
    return OmegaConf.create({**cfg, **changes})


def read_config(text: str, model: str) -> DictConfig:
    """The config of a champion's run.

    Raises:
        ConfigError: it is no config of train.py, or its log is not cut by time.
    """
    cfg = OmegaConf.create(text)
    for name in ("data", "features", "model", "threshold", "paths", "logger"):
        if not isinstance(cfg, DictConfig) or name not in cfg:
            raise ConfigError(f"the champion of {model} was not trained by train.py: no '{name}'")
    assert isinstance(cfg, DictConfig)
    split = cfg.data.split.get("_target_")
    if split != SPLIT:
        raise ConfigError(f"{model}: data.split is {split}: what is not cut by time has no drift")
    return cfg
