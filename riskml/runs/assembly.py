"""From a checked Hydra config to the objects of a run; no other room sees a config."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from riskml.core.errors import ConfigError, did_you_mean, require
from riskml.core.targets import instantiate
from riskml.data.batch_checks import BatchChecks
from riskml.data.batch_reference import BatchReference
from riskml.data.datasets import Dataset, load_dataset
from riskml.data.pseudonymous import PseudonymousLog
from riskml.data.splits import Split
from riskml.features.extractor import FeatureExtractor
from riskml.models.base import Detector
from riskml.runs.tracking import Tracker
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import Threshold

NAME, MEMBER, MEMBERS = "name", "detector", "detectors"
SEED, TABLE_NAME = "seed", "as"


def build(node: DictConfig | None, **arguments: Any) -> Any:
    """Instantiate a config node; its `name` is for people, not for the constructor."""
    if node is None:
        return None
    node = copy.copy(node)
    with open_dict(node):
        node.pop(NAME, None)
    return instantiate(node, **arguments)


def build_dataset(
    node: DictConfig, features: DictConfig, reference: BatchReference | None = None
) -> Dataset:
    """Read a log, check it and cut it into periods.

    Args:
        node: `data` of a config. Without a node `quality` the checks are as they come; where it
            is null there are none.
        features: of the same config; pseudonyms leave the columns that these and the split read.
        reference: what earlier logs were like.
    """
    split: Split = build(node.split)
    pseudonyms: PseudonymousLog | None = build(node.get("pseudonyms"))
    if pseudonyms is not None:
        pseudonyms = pseudonyms.keeping((*build_extractor(features).reads(), *split.columns()))
    return load_dataset(
        build(node.source),
        split,
        node.normal_weight,
        node.get("single_user", False),
        build(node.quality) if "quality" in node else BatchChecks(),
        pseudonyms,
        reference,
        node.get("warm_up", 0.0),
    )


def build_extractor(node: DictConfig) -> FeatureExtractor:
    """The unfitted feature extractor."""
    extractor: FeatureExtractor = build(node)
    return extractor


def build_detector(node: DictConfig, cfg: DictConfig, seed: int | None = None) -> Detector:
    """The unfitted detector; those inside others are found by their names.

    Args:
        node: `model` of a config. Under `detector` or `detectors` may stand names of files in
            conf/model, or whole nodes: a `name` with settings that win over its file's, or a
            `_target_`.
        cfg: the whole config, which model files refer to.
        seed: takes the place of every `seed` in the node, unless it is None.

    Raises:
        ConfigError: no such model, or one inside itself.
    """
    whole = _with_members(node, cfg, "model", (str(node.get(NAME)),))
    if seed is not None:
        whole = copy.deepcopy(whole)
        _set_seeds(whole, seed)
    detector: Detector = build(whole)
    return detector


def _set_seeds(node: Any, seed: int) -> None:
    if isinstance(node, DictConfig):
        for key in node:
            if key == SEED:
                node[key] = seed
            else:
                _set_seeds(node[key], seed)
    elif isinstance(node, ListConfig):
        for value in node:
            _set_seeds(value, seed)


def chosen_detectors(cfg: DictConfig) -> dict[str, DictConfig]:
    """Each of `detectors` by its name, as a whole node; the first is in focus.

    Args:
        cfg: with names of files in conf/model in it, or nodes of a `name` with settings that win
            over its file's. `as` is another name for the table, where one comes twice.

    Raises:
        ConfigError: no such model, or two of one name.
    """
    given = cfg.detectors
    fits = isinstance(given, ListConfig) and len(given) > 0
    require("detectors", given, fits, "must be a list of models, such as [vae,pyod_iforest]")
    nodes: dict[str, DictConfig] = {}
    for i, member in enumerate(given):
        key = f"detectors[{i}]"
        member = OmegaConf.create({NAME: member}) if isinstance(member, str) else member
        if not isinstance(member, DictConfig) or not {NAME, TABLE_NAME} & member.keys():
            raise ConfigError(f"{key}={member} must be the name of a model, or settings with one")
        own = {str(name): value for name, value in member.items() if name != TABLE_NAME}
        node = _member(OmegaConf.create(own), cfg, key, ())
        name = str(member.get(TABLE_NAME) or member[NAME])
        if name in nodes:
            raise ConfigError(
                f"{key}: '{name}' comes twice: name them apart, {{name: {member.get(NAME)}, "
                f"{TABLE_NAME}: ...}}"
            )
        nodes[name] = OmegaConf.merge({NAME: name}, node)  # type: ignore[assignment]
    return nodes


def _with_members(
    node: DictConfig, cfg: DictConfig, key: str, inside: tuple[str, ...]
) -> DictConfig:
    """A copy in which whole nodes stand for the names of detectors.

    Args:
        node: of a detector.
        cfg: see `build_detector`.
        key: of the node, for errors.
        inside: the names of the model files that it comes from and stands in.
    """
    node = copy.copy(node)
    with open_dict(node):
        if node.get(MEMBER) is not None:
            node[MEMBER] = _member(node[MEMBER], cfg, f"{key}.{MEMBER}", inside)
        if node.get(MEMBERS) is not None:
            several = isinstance(node[MEMBERS], ListConfig)
            require(f"{key}.{MEMBERS}", node[MEMBERS], several, "must be a list")
            node[MEMBERS] = [
                _member(member, cfg, f"{key}.{MEMBERS}[{i}]", inside)
                for i, member in enumerate(node[MEMBERS])
            ]
    return node


def _member(member: Any, cfg: DictConfig, key: str, inside: tuple[str, ...]) -> DictConfig:
    """The whole node of a detector inside another, without its name."""
    given = OmegaConf.create({NAME: member}) if isinstance(member, str) else copy.copy(member)
    if not isinstance(given, DictConfig) or not {NAME, "_target_"} & given.keys():
        raise ConfigError(
            f"{key}={member} must be the name of a model, or settings with `name` or `_target_`"
        )
    name = given.get(NAME)
    if name in inside and not {MEMBER, MEMBERS} & given.keys():
        raise ConfigError(f"{key}: '{name}' inside itself; say which detector is to be in it")
    if name is not None and "_target_" not in given:
        try:
            whole = OmegaConf.merge(model_config(cfg, name), given)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error
        assert isinstance(whole, DictConfig)
        given = whole
    given = _with_members(given, cfg, key, (*inside, str(name)))
    given.pop(NAME, None)
    return given


def build_threshold(node: DictConfig) -> Threshold:
    """The rule for alerts."""
    threshold: Threshold = build(node)
    return threshold


def build_scoring(node: DictConfig | None) -> ScoringSettings:
    """How scores are read; as they come in runs from before there were settings for it."""
    settings: ScoringSettings = build(node) or ScoringSettings()
    return settings


def build_tracker(cfg: DictConfig) -> Tracker:
    """Where the run tells what it does."""
    tracker: Tracker = build(cfg.logger)
    return tracker


def model_config(cfg: DictConfig, name: str) -> DictConfig:
    """The node of `conf/model/<name>.yaml`, its references to `cfg` resolved.

    Raises:
        ConfigError: there is no such model.
    """
    folder = Path(cfg.paths.conf) / "model"
    known = [path.stem for path in folder.glob("*.yaml")]
    if name not in known:
        raise ConfigError(f"no model '{name}': {did_you_mean(name, known)}")
    whole = OmegaConf.create({**cfg, "model": OmegaConf.load(folder / f"{name}.yaml")})
    model = OmegaConf.create(OmegaConf.to_container(whole.model, resolve=True))
    assert isinstance(model, DictConfig)
    return model


def chosen_parameters(cfg: DictConfig) -> dict[str, Any]:
    """The settings worth a column in a table of runs: seed, data, model, windows, threshold."""
    chosen: dict[str, Any] = {"seed": cfg.seed, "data": cfg.data.name}
    for group in ("model", "features", "threshold"):
        chosen.update(_flat(group, OmegaConf.to_container(cfg[group], resolve=True)))
    return chosen


def detector_parameters(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """The settings of each detector of an evaluation by its name, baselines too."""
    if cfg.get("detectors") is None:
        nodes = {str(cfg.model.name): cfg.model}
    else:
        nodes = chosen_detectors(cfg)
    for name in cfg.get("baselines") or ():
        if name not in nodes:
            nodes[name] = model_config(cfg, name)
    return {
        name: _flat("model", OmegaConf.to_container(node, resolve=True))
        for name, node in nodes.items()
    }


def _flat(prefix: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if key != "_target_":
            flat.update(_flat(f"{prefix}.{key}", value))
    return flat
