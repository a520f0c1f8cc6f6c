"""What every step of a run is handed: its config, folder, console and tracker."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from riskml.core.errors import ConfigError, require
from riskml.runs.assembly import build_tracker
from riskml.runs.tracking import Tracker

CONFIG_FILE, LATEST_FILE, REFERENCE = "config.yaml", "latest.json", "reference.json"
LATEST = "latest"
FEATURES, DETECTOR, CHECKPOINTS, PLOTS, BUNDLE, PARTS = (
    "features",
    "detector",
    "checkpoints",
    "plots",
    "bundle",
    "parts",
)


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    cfg: DictConfig
    folder: Path
    console: Console
    tracker: Tracker

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(text, highlight=False)


@contextmanager
def start_run(cfg: DictConfig, name: str, again: str = "") -> Iterator[Run]:
    """Make the run folder, keep the resolved config in it, and start tracking.

    Args:
        cfg: of the run.
        name: for people.
        again: id of a tracked run that is gone on with.
    """
    folder = Path(cfg.paths.run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"paths.outputs: cannot write to {folder} ({error})") from error
    OmegaConf.save(cfg, folder / CONFIG_FILE, resolve=True)
    tracker = build_tracker(cfg)
    with tracker.run(name, again):
        tracker.artifact(folder / CONFIG_FILE)
        yield Run(cfg, folder, Console(soft_wrap=True), tracker)


def remember_latest(outputs: Path, folder: Path) -> None:
    """Note which train run was the last to finish, for `evaluate.py`.

    The folder of outputs may not be there yet: a run can have been sent elsewhere.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / LATEST_FILE).write_text(json.dumps({"train": str(folder.resolve())}))


def find_run(outputs: Path, run: str) -> Path:
    """The folder of a train run; `latest` is the last that finished.

    Raises:
        ConfigError: there is none, or the folder is no train run.
    """
    rule = "must be the folder of a train run, or latest"
    require("run", run, isinstance(run, str), rule)
    note = outputs / LATEST_FILE
    if run == LATEST:
        if not note.is_file():
            raise ConfigError(
                "there is no finished train run yet: run `python train.py` first, "
                "or name what to evaluate with model=... data=..."
            )
        try:
            run = json.loads(note.read_text())["train"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{note} is damaged; name the run: run=<folder>") from error
    folder = Path(run)
    for part in (CONFIG_FILE, FEATURES, DETECTOR):
        if not (folder / part).exists():
            raise ConfigError(f"run={folder} is no finished train run: it has no {part}")
    return folder


def load_config(folder: Path) -> DictConfig:
    """The resolved config of a run."""
    cfg = OmegaConf.load(folder / CONFIG_FILE)
    assert isinstance(cfg, DictConfig)
    return cfg


def command_of(cfg: DictConfig) -> str:
    """What to type to have the run made again; empty where no command line made it.

    An evaluation of the last train run names that run: another may be the last by then.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return ""
    job = HydraConfig.get()
    words = [word for word in job.overrides.task if not word.startswith(("run=", "paths."))]
    if cfg.get("run"):
        words.append(f"run={cfg.run}")
    return shlex.join(["python", f"{job.job.name}.py", *words])
