"""Who takes part in an evaluation, as a config names them, in a form that processes can share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from riskml.core.errors import ConfigError
from riskml.evaluation.backtesting.units import Fitted, Make, MakeFeatures, fit_by_itself
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector, load_detector
from riskml.models.deep import DeepDetector
from riskml.runs.assembly import build_detector, build_extractor, chosen_detectors, model_config
from riskml.runs.context import DETECTOR, FEATURES, Run
from riskml.runs.epochs import EpochRecord
from riskml.runs.fitting import check_device, fit
from riskml.runs.top_settings import baselines_of, seeds_of


@dataclass(frozen=True)
class Entrants:
    """The detectors of an evaluation.

    Args:
        detectors: the one in focus first.
        fit: fits them.
        seeds: of those that have chance in them.
        fit_seconds: of the one that comes fitted.
        merged: baselines that have no row of their own, since a detector has their name.
    """

    detectors: Mapping[str, Make | Detector]
    fit: FitByConfig
    seeds: list[int]
    fit_seconds: Mapping[str, float | None]
    merged: tuple[str, ...] = ()


@dataclass(frozen=True)
class MakeByConfig:
    """Makes a detector from its node.

    Args:
        node: of the detector.
        cfg: the whole config.
        seeded: whether the seed counts; else the node says which.
    """

    node: DictConfig
    cfg: DictConfig
    seeded: bool

    def __call__(self, seed: int) -> Detector:
        """The unfitted detector."""
        return build_detector(self.node, self.cfg, seed if self.seeded else None)


@dataclass(frozen=True)
class FitByConfig:
    """Fits some detectors with the trainer of the config, all others as they do by themselves.

    Args:
        cfg: with trainer and callbacks, resolved.
        by_trainer: names of those that the trainer fits.
        own_epochs: whether each of them trains as long as its own settings say; else as long as
            the trainer's.
    """

    cfg: DictConfig
    by_trainer: frozenset[str]
    own_epochs: bool

    def __call__(self, name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
        """Fit it; checkpoints go when it is done."""
        if name not in self.by_trainer:
            return fit_by_itself(name, detector, windows)
        epochs = EpochRecord()
        training = None
        if self.own_epochs and isinstance(detector, DeepDetector):
            training = detector.training_settings
        with tempfile.TemporaryDirectory() as folder:
            run = Run(self.cfg, Path(folder), Console(quiet=True), epochs)
            seconds = fit(run, detector, windows, training)
        return Fitted(seconds, tuple(epochs.epochs))


@dataclass(frozen=True)
class FeaturesByConfig:
    """Fits the extractor of a config, or loads the one of a train run.

    Args:
        node: `features` of a config.
        trained: the run, if it is one whose detector is evaluated.
    """

    node: DictConfig
    trained: Path | None = None

    def __call__(self, events: pl.DataFrame) -> FeatureExtractor:
        """The fitted extractor."""
        if self.trained is not None:
            return FeatureExtractor.load(self.trained / FEATURES)
        return build_extractor(self.node).fit(events)


def features_of(cfg: DictConfig, trained: Path | None) -> MakeFeatures:
    """What makes the windows; settings that are wrong say so before the data is read."""
    if trained is None:
        build_extractor(cfg.features)
    return FeaturesByConfig(cfg.features, trained)


def entrants_of(cfg: DictConfig, trained: Path | None) -> Entrants:
    """Everybody who takes part, each made once to see that it can be.

    Args:
        cfg: complete and resolved.
        trained: the run whose detector is in focus, or None where all are fitted afresh.

    Raises:
        ConfigError: no such model, a setting of it is wrong, or a GPU that is not there.
    """
    focus = {str(cfg.model.name): cfg.model} if cfg.detectors is None else chosen_detectors(cfg)
    nodes = {**focus}
    baselines = baselines_of(cfg)
    for name in baselines:
        try:
            nodes.setdefault(name, model_config(cfg, name))
        except ConfigError as error:
            raise ConfigError(f"baselines: {error}") from error
    seeded = cfg.seeds is not None
    detectors: dict[str, Make | Detector] = {}
    for name, node in nodes.items():
        detectors[name] = make = MakeByConfig(node, cfg, seeded)
        try:
            made = make(cfg.seed)
        except ConfigError as error:
            if cfg.detectors is None:
                raise
            raise ConfigError(f"{name}: {error}") from error
        if name in focus:
            check_device(cfg, made)
    if trained is not None:
        (name,) = focus
        detectors[name] = load_detector(trained / DETECTOR)
    return Entrants(
        detectors,
        FitByConfig(_without_bars(cfg), frozenset(focus), cfg.detectors is not None),
        seeds_of(cfg),
        {} if trained is None else {name: _fit_seconds(trained)},
        tuple(name for name in baselines if name in focus),
    )


def _without_bars(cfg: DictConfig) -> DictConfig:
    """The settings for units, which have one bar all together."""
    callbacks = {
        name: None if node and str(node.get("_target_")).endswith("ProgressBar") else node
        for name, node in cfg.callbacks.items()
    }
    kept = {name: cfg[name] for name in ("model", "trainer", "paths")}
    return OmegaConf.create({**kept, "callbacks": callbacks})


def _fit_seconds(trained: Path) -> float | None:
    """As measured when the run was trained."""
    try:
        seconds: float | None = json.loads((trained / "metrics.json").read_text())["metrics"][
            "fit_seconds"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # only a time for the table is lost
    return seconds
