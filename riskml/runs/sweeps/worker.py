"""A process at work on a study: one trial after the other until none is left to take."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial
from rich.console import Console

from riskml.core.errors import RiskmlError
from riskml.core.interrupts import let_ctrl_c_through, quiet_interrupts
from riskml.core.redaction import printable
from riskml.core.targets import check_targets
from riskml.runs.assembly import build_dataset, build_tracker
from riskml.runs.processes import this_process
from riskml.runs.sweeps.folds import before_test, prepare_past
from riskml.runs.sweeps.sampler import RankSampler
from riskml.runs.sweeps.settings import SweepSettings, read_settings
from riskml.runs.sweeps.space import Space, read_space
from riskml.runs.sweeps.study import (
    ABOUT,
    COUNTS,
    OBJECTIVE,
    PROCESS,
    REASON,
    SweepStudy,
    keep_with,
    open_storage,
    open_study,
    storage_url,
)
from riskml.runs.sweeps.trial import Bench, make_pruner, reporting, run_trial
from riskml.runs.tracking import Tracker

LONGEST_REASON = 400
STOPPED, WRONG = 130, 2
"""Exit codes of a worker: interrupted, and stopped by an error that a person can put right."""

INTERRUPTED, TOO_MANY = "interrupted", "one more than was wanted"

AfterTrial = Callable[[SweepStudy], None]


class _TooManyError(Exception):
    """Another process has taken the last trial."""


@dataclass(frozen=True)
class Work:
    """What a worker needs beside the study.

    Args:
        cfg: of the sweep, as `prepared_config` gives it.
        settings: of the sweep.
        space: what is tried.
        tracker: tells of the sweep's run.
        after_trial: called once a trial is over.
    """

    cfg: DictConfig
    settings: SweepSettings
    space: Space
    tracker: Tracker
    after_trial: AfterTrial = lambda study: None

    def on(self, study: SweepStudy) -> None:
        """Take trials while there are any.

        Raises:
            RiskmlError: the data cannot be read or are too short; no trial is to blame then.
            KeyboardInterrupt: the trial at hand is marked and does not count.
        """
        parent = multiprocessing.parent_process()
        study.bury()
        if not study.wanted():
            return
        bench = self._bench(study)
        study.study.sampler = RankSampler(
            study, self.space, bench.weights, self.settings, int(self.cfg.seed)
        )
        study.study.pruner = make_pruner(self.settings, self.cfg)

        def objective(trial: Trial) -> Any:
            return self._objective(study, bench, trial)

        while study.wanted() and (parent is None or parent.is_alive()):
            study.study.optimize(objective, n_trials=1, catch=(Exception,))
            self.after_trial(study)
            study.bury()

    def _bench(self, study: SweepStudy) -> Bench:
        """Read the data once, and settle what counts if nobody has yet."""
        dataset = before_test(build_dataset(self.cfg.data, self.cfg.features))
        past = prepare_past(dataset, self.cfg.features)
        keep_with(study, ABOUT, past.about(), "log")
        weights = self.settings.counted(past.known_attacks, self.space)
        keep_with(study, OBJECTIVE, weights, "objective")
        bench = Bench(self.cfg, self.settings, self.space, weights, dataset)
        bench.prepare(self.cfg, past)
        return bench

    def _objective(self, study: SweepStudy, bench: Bench, trial: Trial) -> Any:
        """Values of a trial for Optuna; what else is known is kept with the trial."""
        trial.set_user_attr(PROCESS, this_process())
        if study.one_too_many(trial.number):
            study.note(trial.number, {REASON: TOO_MANY, COUNTS: False})
            raise _TooManyError
        try:
            return self._measured(bench, trial)
        except optuna.TrialPruned:
            raise
        except KeyboardInterrupt:
            study.note(trial.number, {REASON: INTERRUPTED, COUNTS: False})
            raise
        except Exception as error:
            study.note(trial.number, {REASON: reason(error), COUNTS: True})
            raise

    def _measured(self, bench: Bench, trial: Trial) -> Any:
        drawn = self.space.draw(trial)
        pruned: optuna.TrialPruned | None = None
        with self.tracker.child(f"trial {trial.number}") as child:
            child.parameters(self.space.values(drawn))
            try:
                outcome = run_trial(bench, drawn, child, reporting(trial, self.settings))
            except optuna.TrialPruned as stopped:
                child.parameters({"state": "pruned", REASON: str(stopped)})
                pruned = stopped
            except Exception as error:
                child.parameters({"state": "failed", REASON: reason(error)})
                raise
            else:
                child.parameters({"state": "complete"})
                child.metrics(outcome.metrics())
        if pruned is not None:
            trial.set_user_attr(REASON, str(pruned))
            raise pruned  # outside of the child, which has not failed
        for key, value in outcome.attributes().items():
            trial.set_user_attr(key, value)
        return outcome.values(bench.weights, self.settings)


def reason(error: BaseException) -> str:
    """Why a trial failed, in one line."""
    text = printable(" ".join(str(error).split()))
    name = "" if isinstance(error, RiskmlError) else f"{type(error).__name__}: "
    return f"{name}{text}"[:LONGEST_REASON]


def be_quiet() -> None:
    """Keep what Optuna and Lightning say of every trial to themselves."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)


def work_apart(text: str, run_id: str) -> None:
    """What a process of its own does; started by `multiprocessing`.

    Args:
        text: YAML of the config, with the study's name in it.
        run_id: of the sweep's MLflow run; empty where it is not tracked.
    """
    try:
        let_ctrl_c_through()
        be_quiet()
        quiet_interrupts()
        cfg = OmegaConf.create(text)
        assert isinstance(cfg, DictConfig)
        check_targets(cfg)
        settings = read_settings(cfg)
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // settings.workers))
        tracker = build_tracker(cfg)
        if run_id:
            tracker.join(run_id)
        study = open_study(open_storage(storage_url(settings)), str(cfg.sweep.study), settings)
        Work(cfg, settings, read_space(cfg), tracker).on(study)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED) from None
    except RiskmlError as error:
        Console(stderr=True).print(f"worker: {error}", highlight=False, markup=False)
        raise SystemExit(WRONG) from error
