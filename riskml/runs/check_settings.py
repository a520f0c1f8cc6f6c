"""Limits for the checks of a load: a YAML file as in conf/quality, and single settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from riskml.core.errors import ConfigError
from riskml.core.targets import instantiate
from riskml.data.batch_checks import BatchChecks

TARGET = "riskml.data.batch_checks.BatchChecks"


def read_checks(file: Path | None, changes: Sequence[str] = ()) -> BatchChecks:
    """The checks that a file describes; a field that it leaves out is as it comes.

    Args:
        file: with the fields of conf/quality/default.yaml, None for none.
        changes: single settings that win over it, such as actions.volume=refuse.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or impossible.
    """
    found = OmegaConf.create({}) if file is None else _mapping(file)
    for change in changes:
        name, is_one, _ = change.partition("=")
        if not name or not is_one:
            raise ConfigError(f"'{change}' is no setting; write for example actions.volume=refuse")
    try:
        whole: Any = OmegaConf.merge(found, OmegaConf.from_dotlist(list(changes)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{' '.join(changes)}: {str(error).splitlines()[0]}") from error
    if whole.setdefault("_target_", TARGET) != TARGET:
        raise ConfigError(f"{file}: _target_ must be {TARGET}, or be left out")
    checks: BatchChecks = instantiate(whole)
    return checks


def _mapping(file: Path) -> DictConfig:
    try:
        found = OmegaConf.load(file)
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(found, DictConfig):
        raise ConfigError(f"{file} must hold settings, as conf/quality/default.yaml does")
    return found
