"""Going on with an evaluation that was stopped, with the very settings that it was begun with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from riskml.core.errors import ConfigError
from riskml.core.targets import check_targets
from riskml.evaluation.backtest import PLAN
from riskml.runs.context import CONFIG_FILE, PARTS, load_config

FREE = ("resume", "backtest.workers", "paths", "callbacks", "hydra")
"""What may differ: it changes no number."""


def begun(cfg: DictConfig) -> DictConfig:
    """The settings of the evaluation that `resume` names.

    Args:
        cfg: of the command line.

    Raises:
        ConfigError: no such evaluation, or the command line has other settings.
    """
    folder = Path(cfg.resume)
    for name in (CONFIG_FILE, f"{PARTS}/{PLAN}"):
        if not (folder / name).is_file():
            raise ConfigError(
                f"resume={folder} is no evaluation that was begun: it has no {name}; "
                "evaluate.py writes to outputs/evaluate/<date>"
            )
    past = load_config(folder)
    for key in _given():
        if key in FREE or key.partition(".")[0] in FREE:
            continue
        now, then = _value(cfg, key), _value(past, key)
        if now != then:
            raise ConfigError(
                f"resume={folder}: {key} is {now} here and was {then} when it was begun: leave "
                f"{key} out, or begin anew without resume"
            )
    past.paths.run = str(folder.resolve())
    past.resume = cfg.resume
    if "backtest.workers" in _given():
        past.backtest.workers = cfg.backtest.workers
    past.callbacks = cfg.callbacks
    check_targets(past)
    return past


def fingerprint_of(folder: Path) -> str:
    """Of the settings, as noted when the evaluation was begun.

    Raises:
        ConfigError: the note is damaged.
    """
    note = folder / PARTS / PLAN
    try:
        return str(json.loads(note.read_text())["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{note} is damaged: begin anew without resume") from error


def _given() -> Sequence[str]:
    """Keys that the command line sets; none where the config comes from a script."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if not HydraConfig.initialized():
        return []
    overrides = OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
    return [override.key_or_group for override in overrides]


def _value(cfg: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(cfg, key)
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException:
        return None
    if key == "backtest":
        value.pop("workers", None)
    return value
