"""What a sweep tries: settings with their types and ranges, as conf/sweep has them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from riskml.core.errors import ConfigError, did_you_mean, require

INT, FLOAT, CHOICE = "int", "float", "choice"
TYPES = (INT, FLOAT, CHOICE)
KEYS = ("name", "type", "low", "high", "log", "step", "choices", "default")
GROUPS = ("model", "features")
"""What a sweep may change."""

OPEN = "model.parameters."
"""Arguments of a PyOD class, which need not stand in the config."""


@dataclass(frozen=True)
class Setting:
    """One setting that is tried.

    Args:
        name: of the setting, dotted.
        distribution: of its values; a choice is among their JSON texts.
        default: its value in the config; None where that has none, or one outside the range.
    """

    name: str
    distribution: BaseDistribution
    default: Any = None

    def draw(self, trial: Trial, key: str) -> Any:
        """What Optuna suggests under this short name."""
        one = self.distribution
        if isinstance(one, CategoricalDistribution):
            return trial.suggest_categorical(key, one.choices)
        assert isinstance(one, IntDistribution | FloatDistribution)
        suggest = trial.suggest_int if isinstance(one, IntDistribution) else trial.suggest_float
        return suggest(key, one.low, one.high, step=one.step, log=one.log)  # type: ignore[arg-type]

    def value(self, drawn: Any) -> Any:
        """The setting's value for one drawn from the distribution."""
        return (
            json.loads(drawn) if isinstance(self.distribution, CategoricalDistribution) else drawn
        )


@dataclass(frozen=True)
class Space:
    """All that is tried, by short names."""

    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """For Optuna."""
        return {key: setting.distribution for key, setting in self.settings.items()}

    @property
    def default(self) -> dict[str, Any] | None:
        """What the config says without a sweep; None where the ranges do not hold it."""
        found = {key: setting.default for key, setting in self.settings.items()}
        return None if None in found.values() else found

    def outside(self) -> list[str]:
        """Names of the settings whose own value the range does not hold."""
        return [setting.name for setting in self.settings.values() if setting.default is None]

    def touches(self, group: str) -> bool:
        """Whether a setting of this group is tried."""
        return any(setting.name.startswith(f"{group}.") for setting in self.settings.values())

    def draw(self, trial: Trial) -> dict[str, Any]:
        """A value for each setting, by short names."""
        return {key: setting.draw(trial, key) for key, setting in self.settings.items()}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the names of the settings."""
        return {s.name: s.value(drawn[key]) for key, s in self.settings.items() if key in drawn}

    def applied(self, cfg: DictConfig, drawn: Mapping[str, Any]) -> DictConfig:
        """A copy of the config with drawn values in it."""
        whole = copy.deepcopy(cfg)
        for name, value in self.values(drawn).items():
            OmegaConf.update(whole, name, value, merge=False, force_add=name.startswith(OPEN))
        return whole


def read_space(cfg: DictConfig) -> Space:
    """The settings under `sweep.space`.

    Raises:
        ConfigError: names the setting that is wrong, and the remedy.
    """
    node = OmegaConf.to_container(cfg.sweep.space, resolve=True) or {}
    if not isinstance(node, dict) or not node:
        raise ConfigError("sweep.space is empty: choose a file of conf/sweep, e.g. sweep=vae")
    settings = {str(key): _setting(f"sweep.space.{key!s}", one, cfg) for key, one in node.items()}
    names = [setting.name for setting in settings.values()]
    for name in names:
        require("sweep.space", name, names.count(name) == 1, "is named twice")
    return Space(settings)


def _setting(where: str, node: Any, cfg: DictConfig) -> Setting:
    if not isinstance(node, dict):
        raise ConfigError(f"{where}={node} must be a mapping of {', '.join(KEYS)}")
    for key in node:
        if key not in KEYS:
            raise ConfigError(f"{where}.{key}: there is no such key; {did_you_mean(key, KEYS)}")
    name, kind = str(node.get("name")), node.get("type")
    group = name.partition(".")[0]
    hidden = any(part.startswith("_") for part in name.split("."))
    if group not in GROUPS or hidden or name.startswith("features.window"):
        raise ConfigError(
            f"{where}.name={name} must be a setting below {' or '.join(GROUPS)}, and not one that "
            "changes what is built or what a window is"
        )
    if kind not in TYPES:
        raise ConfigError(f"{where}.type={kind}: {did_you_mean(str(kind), TYPES)}")
    distribution = _distribution(where, kind, node)
    own = node["default"] if "default" in node else _own_value(where, name, cfg)
    return Setting(name, distribution, _as_drawn(own, distribution))


def _distribution(where: str, kind: str, node: Mapping[str, Any]) -> BaseDistribution:
    if kind == CHOICE:
        choices = node.get("choices")
        fits = isinstance(choices, list) and len(choices) > 0
        require(f"{where}.choices", choices, fits, "must list what there is to choose from")
        assert isinstance(choices, list)
        return CategoricalDistribution([json.dumps(choice) for choice in choices])
    low, high = node.get("low"), node.get("high")
    for end, value in (("low", low), ("high", high)):
        number = isinstance(value, int) if kind == INT else isinstance(value, int | float)
        fits = number and not isinstance(value, bool)
        require(f"{where}.{end}", value, fits, f"must be a number, as type is {kind}")
    log, step = bool(node.get("log", False)), node.get("step")
    try:
        if kind == INT:
            return IntDistribution(int(low or 0), int(high or 0), log, int(step or 1))
        return FloatDistribution(float(low or 0), float(high or 0), log, step)
    except ValueError as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from error


def _own_value(where: str, name: str, cfg: DictConfig) -> Any:
    try:
        value = OmegaConf.select(cfg, name, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}.name={name}: {' '.join(str(error).split())}") from error
    parent = OmegaConf.select(cfg, name.rpartition(".")[0])
    last = name.rpartition(".")[2]
    if not name.startswith(OPEN) and not (isinstance(parent, DictConfig) and last in parent):
        known = list(_below(cfg[name.partition(".")[0]], name.partition(".")[0]))
        raise ConfigError(
            f"{where}.name={name}: model={cfg.model.name} has no such setting; "
            f"{did_you_mean(name, known)}"
        )
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _below(node: DictConfig, key: str) -> Iterator[str]:
    for name in node:
        path = f"{key}.{name!s}"
        value = OmegaConf.select(node, str(name))
        yield path
        if isinstance(value, DictConfig):
            yield from _below(value, path)


def _as_drawn(own: Any, distribution: BaseDistribution) -> Any:
    """The config's value as the distribution would draw it; None where it never would."""
    if isinstance(distribution, CategoricalDistribution):
        text = json.dumps(own)
        return text if text in distribution.choices else None
    fits = isinstance(own, int | float) and not isinstance(own, bool)
    if not fits:
        return None
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    drawn = int(own) if isinstance(distribution, IntDistribution) else float(own)
    return drawn if drawn == own and distribution.low <= drawn <= distribution.high else None
