"""The settings of a sweep, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError, did_you_mean, require
from riskml.evaluation.choice import AGREEMENT, INJECTED, LABELS, LIKELIHOOD, TERMS
from riskml.evaluation.injection import check_families
from riskml.runs.sweeps.space import Space

QUALITY, SCORE_TIME = "quality", "score_time"
OBJECTIVES = (QUALITY, SCORE_TIME)
ASHA, HYPERBAND, NONE = "asha", "hyperband", "none"
PRUNERS = (ASHA, HYPERBAND, NONE)
SAMPLERS = TPE, RANDOM = ("tpe", "random")

NOT_COMPARED = ("study", "storage", "storage_variable", "n_trials", "workers", "keep", "ensemble")
"""What may differ from one command to the next on the same study."""

PLACES = ("path", "folder", "cache", "url", "url_variable")
"""Settings of a source that say where it lies on this machine."""


@dataclass(frozen=True)
class Labels:
    """When known attacks of the train and calibration periods count.

    Args:
        needed: incidents from which on they do.
        most_from: from which on they weigh most.
        most: the weight then.
    """

    needed: int = 20
    most_from: int = 50
    most: float = 3.0


@dataclass(frozen=True)
class SweepSettings:
    """Fields of `sweep` in a config, but for the space; see conf/sweep/base.yaml.

    Raises:
        ConfigError: a setting is impossible.
    """

    study: str | None
    storage: str | None
    storage_variable: str | None
    n_trials: int
    workers: int
    seeds: int
    folds: int
    held_out: float
    sampler: str
    startup_trials: int
    pruner: str
    min_epochs: int
    reduction: int
    objectives: Sequence[str]
    weights: dict[str, float]
    labels: Labels
    families: Sequence[str]
    share: float
    simple: Sequence[str]
    keep: int
    ensemble: bool

    def __post_init__(self) -> None:
        least = {"n_trials": 1, "workers": 1, "seeds": 1, "folds": 1, "startup_trials": 1}
        for name, low in {**least, "min_epochs": 1, "reduction": 2, "keep": 0}.items():
            value = getattr(self, name)
            fits = isinstance(value, int) and not isinstance(value, bool) and value >= low
            require(f"sweep.{name}", value, fits, f"must be a whole number of at least {low}")
        fits = self.held_out > 0 and self.folds * self.held_out <= 0.7
        rule = f"times folds={self.folds} must lie above 0 and up to 0.7: the rest is trained on"
        require("sweep.held_out", self.held_out, fits, rule)
        for name, allowed in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in allowed:
                value = str(getattr(self, name))
                raise ConfigError(f"sweep.{name}={value}: {did_you_mean(value, allowed)}")
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise ConfigError(f"sweep.objectives: {name}: {did_you_mean(name, OBJECTIVES)}")
        fits = len(self.objectives) > 0 and self.objectives[0] == QUALITY
        require("sweep.objectives", list(self.objectives), fits, f"must begin with {QUALITY}")
        for term, weight in self.weights.items():
            require(f"sweep.objective.{term}", weight, weight >= 0, "must be 0 (off) or more")
        on = sum(self.weights[term] for term in (LIKELIHOOD, INJECTED, AGREEMENT)) > 0
        rule = "must be above 0, or that of injected or agreement: labels may be too few"
        require("sweep.objective.likelihood", self.weights[LIKELIHOOD], on, rule)
        if self.weights[INJECTED]:
            check_families(self.families)
            fits = 0 < self.share <= 0.5
            require("sweep.injected.share", self.share, fits, "must lie above 0 and up to 0.5")
        if self.weights[AGREEMENT]:
            rule = "must name one or more detectors, or sweep.objective.agreement be 0"
            require("sweep.simple", list(self.simple), len(self.simple) > 0, rule)

    @property
    def several_objectives(self) -> bool:
        """Whether more than quality counts."""
        return len(self.objectives) > 1

    def counted(self, known_attacks: int, space: Space) -> dict[str, float]:
        """The terms of the objective with their weights, those that cannot count left out.

        Args:
            known_attacks: incidents in the train and calibration periods.
            space: what is tried. Likelihoods of other features cannot be compared.
        """
        weights = {term: weight for term, weight in self.weights.items() if weight > 0}
        if known_attacks < self.labels.needed:
            weights.pop(LABELS, None)
        elif known_attacks >= self.labels.most_from and LABELS in weights:
            weights[LABELS] = max(self.labels.most, weights[LABELS])
        if space.touches("features") and len(weights) > 1:
            weights.pop(LIKELIHOOD, None)
        return weights


def read_settings(cfg: DictConfig) -> SweepSettings:
    """The fields of `sweep`."""
    node: Any = OmegaConf.to_container(cfg.sweep, resolve=True)
    objective, labels = dict(node["objective"]), dict(node["labels"])
    known = {field.name for field in fields(SweepSettings)} & node.keys()
    whole = {name: node[name] for name in known - {"labels"}}
    return SweepSettings(
        **whole,
        weights={term: float(objective[term]) for term in TERMS},
        labels=Labels(labels["needed"], labels["most_from"], float(labels["most"])),
        families=node["injected"]["families"],
        share=node["injected"]["share"],
    )


def compared(cfg: DictConfig) -> dict[str, Any]:
    """What has to be the same for trials to belong into one study, flat by dotted names."""
    node: Any = OmegaConf.to_container(cfg, resolve=True)
    kept = {name: node[name] for name in ("seed", "model", "features", "threshold", "trainer")}
    data = {name: value for name, value in node["data"].items() if name != "quality"}
    data["source"] = {k: v for k, v in data["source"].items() if k not in PLACES}
    kept["data"] = data
    kept["sweep"] = {k: v for k, v in node["sweep"].items() if k not in NOT_COMPARED}
    kept["trainer"].pop("default_root_dir", None)
    return dict(_flat(kept))


def study_name(cfg: DictConfig, settings: dict[str, Any]) -> str:
    """`sweep.study`, or a name made of detector, data and what has to be the same."""
    if cfg.sweep.study:
        return str(cfg.sweep.study)
    text = repr(sorted(settings.items()))
    return f"{cfg.model.name}-{cfg.data.name}-{sha256(text.encode()).hexdigest()[:8]}"


def _flat(node: Any, key: str = "") -> list[tuple[str, Any]]:
    if not isinstance(node, dict):
        return [(key, node)]
    return [
        pair
        for name, value in node.items()
        for pair in _flat(value, f"{key}.{name}" if key else str(name))
    ]
