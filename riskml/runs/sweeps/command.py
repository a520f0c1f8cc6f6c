"""`python train.py -m sweep=vae`: try settings, choose, and refit the best."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from riskml.core.errors import ConfigError, DataError
from riskml.core.interrupts import ctrl_c_waits
from riskml.runs.assembly import build_detector, build_threshold, model_config
from riskml.runs.context import Run, start_run
from riskml.runs.fitting import check_device
from riskml.runs.sweeps.refit import refit
from riskml.runs.sweeps.report import Watch, choose, report
from riskml.runs.sweeps.settings import (
    SweepSettings,
    compared,
    read_settings,
    study_name,
)
from riskml.runs.sweeps.space import Space, read_space
from riskml.runs.sweeps.study import (
    TRACKED,
    SweepStudy,
    agree,
    open_storage,
    open_study,
    storage_url,
)
from riskml.runs.sweeps.worker import STOPPED, Work, be_quiet, work_apart
from riskml.runs.top_settings import check_top

LOOK_EVERY_S = 0.5
BEFORE_ASKING_S, LAST_WAIT_S = 3, 60
"""How long workers have to end by themselves, and to end once they were asked to."""


def sweep(cfg: DictConfig) -> Path:
    """Run trials until there are `sweep.n_trials`, then choose and refit.

    Returns:
        The run folder: sweep.json, plots, and a folder for each refitted detector.

    Raises:
        ConfigError: a setting is wrong; it says so before the data are read.
        DataError: no trial came to an end.
    """
    be_quiet()
    check_top(cfg)
    settings, space = read_settings(cfg), read_space(cfg)
    check(cfg, settings)
    same = compared(cfg)
    whole = for_trials(cfg, study_name(cfg, same))
    study = open_study(open_storage(storage_url(settings)), whole.sweep.study, settings)
    agree(study, same)
    begun = study.study.user_attrs.get(TRACKED, "")
    name = f"sweep of {cfg.model.name} on {cfg.data.name}"
    with start_run(whole, name, begun) as run:
        if run.tracker.run_id and run.tracker.run_id != begun:
            study.study.set_user_attr(TRACKED, run.tracker.run_id)
            about = {"study": study.name, "n_trials": settings.n_trials, "seed": cfg.seed}
            run.tracker.parameters({**about, "model": cfg.model.name, "data": cfg.data.name})
        say_before(run, study, space, settings)
        work(run, study, space, settings)
        choice = choose(study, settings)
        report(run, study, space, settings, choice)
        refit(run, cfg, space, settings, choice)
        run.say(f"run folder  {run.folder}\nMLflow page {run.tracker.page()}")
    return run.folder


def check(cfg: DictConfig, settings: SweepSettings) -> None:
    """Build what the trials will need, so that what is wrong says so before the work.

    Raises:
        ConfigError: a part of the config, or a trainer that is none of one process.
    """
    if cfg.ckpt_path:
        raise ConfigError("ckpt_path: a sweep goes on by itself from what its study holds")
    trainer = cfg.trainer
    if trainer.get("workers") or trainer.get("devices", 1) not in (1, "auto"):
        raise ConfigError(
            "trainer: a trial runs in one process on one device; choose trainer=cpu or "
            "trainer=gpu, and sweep.workers for several trials side by side"
        )
    build_threshold(cfg.threshold)
    build_detector(cfg.model, cfg)
    for name in settings.simple if settings.weights["agreement"] else ():
        build_detector(model_config(cfg, name), cfg)


def for_trials(cfg: DictConfig, study: str) -> DictConfig:
    """A copy for the trials: named study, run folder written out, no bars and few files."""
    whole = OmegaConf.create(OmegaConf.to_container(cfg))
    assert isinstance(whole, DictConfig)
    with open_dict(whole):
        whole.sweep.study = study
        whole.paths.run = str(cfg.paths.run)
        for name in ("progress_bar", "last"):
            if name in whole.callbacks:
                whole.callbacks[name] = None
        if whole.trainer.get("devices") == "auto":
            whole.trainer.devices = 1
    return whole


def say_before(run: Run, study: SweepStudy, space: Space, settings: SweepSettings) -> None:
    """What is going to be tried, and what there is already."""
    done = len(study.counted())
    more = f"goes on after {done}" if done else "begins"
    run.say(
        f"study {study.name}: {settings.n_trials} trials of {len(space.settings)} settings, {more}"
    )
    outside = space.outside()
    if outside:
        run.say(
            "the settings as they are will not be among the trials: the space does not hold "
            f"{', '.join(outside)} as configured"
        )


def work(run: Run, study: SweepStudy, space: Space, settings: SweepSettings) -> None:
    """See to it that there are enough trials, here or in processes of our own.

    Raises:
        KeyboardInterrupt: once the trials at hand have been marked.
        DataError: the workers cannot work.
    """
    check_device(run.cfg, build_detector(run.cfg.model, run.cfg))
    with Watch(run, study) as watch:
        while True:
            buried = study.bury()
            if buried:
                run.say(f"trials {', '.join(map(str, buried))} died with their process")
            if not study.wanted():
                if not study.running():
                    return
                watch.look("waiting for other processes")
                time.sleep(LOOK_EVERY_S)
            elif settings.workers == 1:
                Work(run.cfg, settings, space, run.tracker, lambda _: watch.look()).on(study)
            else:
                _side_by_side(run, settings, watch)


def _side_by_side(run: Run, settings: SweepSettings, watch: Watch) -> None:
    text = OmegaConf.to_yaml(run.cfg)
    with _processes(text, run.tracker.run_id, settings.workers) as processes:
        while any(process.is_alive() for process in processes):
            watch.look()
            time.sleep(LOOK_EVERY_S)
        watch.look()
    codes = [process.exitcode for process in processes]
    if STOPPED in codes:
        raise KeyboardInterrupt
    if not any(code == 0 for code in codes):
        raise DataError(f"no worker could work (exit codes {codes}); what they said is above")


@contextmanager
def _processes(text: str, run_id: str, count: int) -> Iterator[list[BaseProcess]]:
    """Workers that are gone when this ends, whatever happens."""
    context = multiprocessing.get_context("spawn")  # threads of ours do not survive a fork
    processes: list[BaseProcess] = [
        context.Process(target=work_apart, args=(text, run_id), name=f"sweep worker {i}")
        for i in range(count)
    ]
    try:
        with ctrl_c_waits():
            for process in processes:
                process.start()
        yield processes
    finally:
        # a terminal has told them of Ctrl-C, too; otherwise they are told here
        _join(processes, BEFORE_ASKING_S)
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        _join(processes, LAST_WAIT_S)
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()


def _join(processes: list[BaseProcess], seconds: float) -> None:
    end = time.monotonic() + seconds
    for process in processes:
        if process.pid is not None:
            process.join(max(0.0, end - time.monotonic()))
