"""Going on with an evaluation that was stopped, with the very settings that it was begun with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from riskml.core.errors import ConfigError
from riskml.core.targets import check_targets
from riskml.evaluation.backtesting.parts import check_parts
from riskml.evaluation.backtesting.plan import PLAN
from riskml.runs.context import CONFIG_FILE, PARTS, load_config

WORKERS, PRESET = "backtest.workers", "experiment"
FREE = ("resume", WORKERS, "paths", "callbacks", "hydra")
"""What may differ: it changes no number."""


def begun(cfg: DictConfig) -> tuple[DictConfig, str]:
    """The settings of the evaluation that `resume` names, and their fingerprint.

    Args:
        cfg: of the command line.

    Raises:
        ConfigError: no such evaluation, it was changed, or the command line has other settings.
        BundleError: something that it has done already is damaged.
    """
    folder = Path(cfg.resume)
    note = folder / PARTS / PLAN
    for path in (folder / CONFIG_FILE, note):
        if not path.is_file():
            raise ConfigError(
                f"resume={folder} is no evaluation that was begun: it has no "
                f"{path.relative_to(folder)}; evaluate.py writes to outputs/evaluate/<date>"
            )
    past = load_config(folder)
    try:
        mark = json.loads(note.read_text())["settings"]
        fingerprint = str(mark).partition(":")[0]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{note} is damaged: begin anew without resume") from error
    if mark != mark_of(past, fingerprint):
        raise ConfigError(
            f"resume={folder}: its {CONFIG_FILE} was changed after it was begun, so what is done "
            "would not go with what is not: begin anew without resume"
        )
    for key, typed in _given().items():
        if key in FREE or key.partition(".")[0] in FREE:
            continue
        if key == PRESET and typed != "null":  # chooses settings and is none, to be compared
            raise ConfigError(
                f"resume={folder} goes on with what it was begun with, whatever {PRESET}={typed} "
                f"says: leave {PRESET} out, or begin anew without resume"
            )
        now, then = _value(_merged(past, cfg, key), key), _value(past, key)
        if now != then:
            raise ConfigError(
                f"resume={folder}: {key} is {typed} here and was {_told(now, then)} when it was "
                f"begun: leave {key} out, or begin anew without resume"
            )
    check_parts(folder / PARTS)
    past.paths.run = str(folder.resolve())
    if WORKERS in _given():
        past.backtest.workers = cfg.backtest.workers
    past.callbacks = cfg.callbacks
    check_targets(past)
    return past, fingerprint


def mark_of(cfg: DictConfig, fingerprint: str) -> str:
    """What parts must have been made with to go together: the fingerprint, and all else there is.

    Args:
        cfg: resolved.
        fingerprint: of the settings.
    """
    kept = OmegaConf.to_container(cfg)
    assert isinstance(kept, dict)
    for name in FREE:
        kept.pop(name, None)
    kept["backtest"] = {**(kept.get("backtest") or {}), "workers": None}
    text = json.dumps(kept, sort_keys=True, default=str)
    return f"{fingerprint}:{sha256(text.encode()).hexdigest()}"


def drop_new_folder(resumed: Path) -> None:
    """Take away the folder that Hydra has made for this command: the results go to another.

    Args:
        resumed: the folder that is gone on with, which stays in any case.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder.resolve() == resumed.resolve():
        return
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for path in folder.glob("*.log"):
        if not path.stat().st_size:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _given() -> Mapping[str, Any]:
    """What the command line sets, as it was typed; nothing where the config comes from a script."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if not HydraConfig.initialized():
        return {}
    overrides = OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
    return {each.key_or_group: each.get_value_element_as_str() for each in overrides}


def _merged(past: DictConfig, cfg: DictConfig, key: str) -> DictConfig:
    """The settings of then with the part of now that a key belongs to.

    What is chosen now may refer to settings that a resumed command line leaves to then.
    """
    name = key.partition(".")[0]
    whole = OmegaConf.create({str(each): past._get_node(each) for each in past})
    assert isinstance(whole, DictConfig)
    whole[name] = cfg._get_node(name) if name in cfg else None
    return whole


def _value(cfg: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(cfg, key)
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException:
        return None
    if key == "backtest" and isinstance(value, dict):
        value.pop("workers", None)
    return value


def _told(now: Any, then: Any) -> str:
    """What a setting was, in few words: a choice by its name, and where it differs from now."""
    if not isinstance(then, dict):
        return str(then)
    name, same = _name(then), isinstance(now, dict) and _name(now) == _name(then)
    if not same:
        return name
    differing = [key for key in {**then, **now} if now.get(key) != then.get(key)]
    shown = ", ".join(f"{key}={then.get(key)}" for key in differing)
    return f"{name} with {shown}"


def _name(node: Mapping[str, Any]) -> str:
    """Of what was chosen: as its file calls it, else the class that it builds."""
    target = str(node.get("_target_", "other settings")).rpartition(".")[2]
    return str(node.get("name") or target)
