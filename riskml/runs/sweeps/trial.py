"""One trial: fit with what was drawn on every fold, measure, give up early if it lags behind."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import Trial
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from riskml.core.errors import DataError
from riskml.data.datasets import Dataset
from riskml.evaluation.choice import progress
from riskml.evaluation.unlabelled import Judge
from riskml.features.preparation import PreparedWindows
from riskml.models.deep import DeepDetector
from riskml.runs.assembly import build_detector
from riskml.runs.context import Run
from riskml.runs.fitting import fit
from riskml.runs.sweeps.folds import Past, make_judges, prepare_past
from riskml.runs.sweeps.settings import ASHA, NONE, SweepSettings
from riskml.runs.sweeps.space import Space
from riskml.runs.sweeps.study import SCORE_SECONDS, SECONDS, TERMS
from riskml.runs.tracking import NoTracker, Tracker

Report = Callable[[int, float], None]
"""Tells a step and a value; raises `optuna.TrialPruned` where that is not good enough."""


@dataclass
class Bench:
    """What the trials of one process share: the data, read once, and the folds of each features.

    Args:
        cfg: of the sweep, without what is drawn.
        settings: of the sweep.
        space: what is tried.
        weights: of the terms that count.
        dataset: without the test period.
        judges: by the features' settings, made once each.
    """

    cfg: DictConfig
    settings: SweepSettings
    space: Space
    weights: Mapping[str, float]
    dataset: Dataset
    judges: dict[str, list[Judge]] = field(default_factory=dict)

    def prepare(self, cfg: DictConfig, past: Past) -> None:
        """Make the folds of windows that are there already."""
        self.judges[features_key(cfg)] = make_judges(past, self.cfg, self.settings, self.weights)

    def judges_for(self, cfg: DictConfig) -> list[Judge]:
        """The folds with the features of this config."""
        key = features_key(cfg)
        if key not in self.judges:
            self.judges.clear()  # those of other features would fill the memory
            self.prepare(cfg, prepare_past(self.dataset, cfg.features))
        return self.judges[key]


def features_key(cfg: DictConfig) -> str:
    """The settings of the features as a text."""
    return json.dumps(OmegaConf.to_container(cfg.features, resolve=True), sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """What a trial has found.

    Args:
        terms: means over folds and seeds, higher is better.
        seconds: that fitting took in all.
        score_seconds: that a thousand windows take to be scored.
    """

    terms: dict[str, float]
    seconds: float
    score_seconds: float

    def attributes(self) -> dict[str, Any]:
        """As they are kept with a trial."""
        return {TERMS: self.terms, SECONDS: self.seconds, SCORE_SECONDS: self.score_seconds}

    def metrics(self) -> dict[str, float]:
        """As they are told to MLflow."""
        terms = {f"sweep/{name}": value for name, value in self.terms.items()}
        return {**terms, "fit_seconds": self.seconds, "score_seconds_per_1000": self.score_seconds}

    def values(self, weights: Mapping[str, float], settings: SweepSettings) -> list[float]:
        """As they are told to Optuna, one an objective."""
        values = [progress(self.terms, weights)]
        return [*values, self.score_seconds] if settings.several_objectives else values


def run_trial(bench: Bench, drawn: Mapping[str, Any], tracker: Tracker, report: Report) -> Outcome:
    """Fit and measure on every fold with every seed.

    Args:
        bench: data and settings.
        drawn: values of the space.
        tracker: is told of every epoch of the first fit.
        report: is told after every epoch of the first fit, and after each further fit.

    Raises:
        optuna.TrialPruned: from `report`.
        RiskmlError: the settings do not go together, or what came out is no number.
    """
    cfg = bench.space.applied(bench.cfg, drawn)
    judges = bench.judges_for(cfg)
    found: list[dict[str, float]] = []
    seconds, score_seconds = 0.0, []
    steps = last_step(cfg)
    for number, (judge, shift) in enumerate(
        (judge, shift) for judge in judges for shift in range(bench.settings.seeds)
    ):
        with open_dict(cfg):
            cfg.seed = int(bench.cfg.seed) + shift
        detector = build_detector(cfg.model, cfg)
        watch: list[Callback] = []
        if number == 0 and isinstance(detector, DeepDetector):
            watch = [EpochReports(judge, bench.weights, report)]
        with tempfile.TemporaryDirectory() as folder:
            tells = tracker if number == 0 else NoTracker()
            run = Run(cfg, Path(folder), Console(quiet=True), tells)
            fold = judge.fold
            parts = PreparedWindows(fold.train, fold.calibration, fold.held, None)
            start = time.perf_counter()
            fit(run, detector, parts, further=watch)
            seconds += time.perf_counter() - start
        terms, score = judge.measure(detector)
        found.append(terms)
        score_seconds.append(score)
        if number or not watch:
            report(steps + number + 1, progress(_mean(found), bench.weights))
    terms = _mean(found)
    for name, value in terms.items():
        if not math.isfinite(value):
            raise DataError(f"the term '{name}' is {value}, no finite number")
    return Outcome(terms, seconds, float(np.min(score_seconds)))


def last_step(cfg: DictConfig) -> int:
    """The most epochs that a fit can have; 0 for what is not trained in epochs."""
    return int(OmegaConf.select(cfg, "model.training.max_epochs") or 0)


class EpochReports(Callback):
    """Reports after every epoch how good the detector is by then."""

    def __init__(self, judge: Judge, weights: Mapping[str, float], report: Report) -> None:
        self.judge, self.weights, self.report = judge, weights, report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure as the network is now, and go on training."""
        assert isinstance(pl_module, DeepDetector)
        training = pl_module.training
        found = self.judge.quick(pl_module) or self.judge.measure(pl_module)[0]
        pl_module.train(training)
        self.report(trainer.current_epoch + 1, progress(found, self.weights))


def reporting(trial: Trial, settings: SweepSettings) -> Report:
    """Tells an Optuna trial, and stops where its pruner says so."""

    def report(step: int, value: float) -> None:
        if settings.several_objectives:
            return  # Optuna prunes by one objective alone
        trial.report(value, step)
        if settings.pruner != NONE and trial.should_prune():
            raise optuna.TrialPruned(f"{value:.3f} at step {step} was not among the best")

    return report


def make_pruner(settings: SweepSettings, cfg: DictConfig) -> BasePruner:
    """What decides which trials are given up.

    Steps are the epochs of the first fit; a detector that is not trained in epochs has a step a
    fit.
    """
    if settings.pruner == NONE or settings.several_objectives:
        return NopPruner()
    first = settings.min_epochs if last_step(cfg) else 1
    if settings.pruner == ASHA:
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=settings.reduction)
    most = max(last_step(cfg), settings.folds * settings.seeds, first)
    return HyperbandPruner(
        min_resource=first, max_resource=most, reduction_factor=settings.reduction
    )


def _mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for terms in found for name in terms)
    return {name: float(np.mean([t[name] for t in found if name in t])) for name in names}
