"""Runs train.py and evaluate.py as a person would, on a small log with planted attacks."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from filelock import FileLock
from warm import Process

ROOT = Path(__file__).parents[2]
ACTIONS = [f"action_{i:02d}" for i in range(12)]
USERS, DAYS = 8, 45
ATTACKED_DAYS = {33: "user_1", 35: "user_4", 37: "user_6", 40: "user_2", 42: "user_5"}
START = datetime(2024, 1, 1)  # a Monday
PATIENCE_S = 300

SMALL = ("model.hidden=[16,8]", "model.latent_dim=4", "features.families.action_embedding.epochs=1")
"""Overrides that make a deep detector quick to train."""

TRAIN = ("model=vae", "callbacks=quiet", "model.training.max_epochs=6", *SMALL)


def write_log(path: Path, attacked: dict[int, str] = ATTACKED_DAYS, seed: int = 0) -> Path:
    """A login log in CSV with foreign column names, a `label` column, and some attacked days.

    Every user has four actions and hours of their own; attacks come at night with others' actions.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str, str, int]] = []
    for day in range(DAYS):
        for u in range(USERS):
            user, date = f"user_{u}", START + timedelta(days=day)
            usual = [ACTIONS[(u + i) % 12] for i in range(4)]
            attack = attacked.get(day) == user
            for _ in range(int(rng.integers(6, 12))):
                at = date + timedelta(hours=8 + u % 4, minutes=int(rng.integers(0, 480)))
                rows.append((f"{at}Z", user, str(rng.choice(usual)), f"r{rng.integers(5)}", 0))
            # no two attacks alike, else a feature could be the label itself
            for i in range(20 + day % 7 if attack else 0):
                at = date + timedelta(hours=2, minutes=i, seconds=int(rng.integers(60)))
                foreign = ACTIONS[(u + 6 + i % (3 + day % 3)) % 12]
                rows.append((f"{at}Z", user, foreign, f"secret{i}", 1))
    rows.sort()
    names = ["login_time", "who", "what", "resource", "label"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(path)
    return path


def reads(path: Path) -> list[str]:
    """Overrides that read a log made by `write_log`."""
    return [
        "data=csv",
        f"path={path}",
        "columns.timestamp=login_time",
        "columns.user_id=who",
        "columns.action=what",
    ]


def environment() -> dict[str, str]:
    """Of a child: one thread a pool, and nothing of ours that would change what it does."""
    ours = ("HYDRA", "RISKML", "MLFLOW")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return inherited | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "COLUMNS": "200"}


def run(
    script: str, outputs: Path, *overrides: str, code: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; `code` is the exit code that is expected, None for any."""
    process = start(script, outputs, *overrides)
    out, err = process.communicate(PATIENCE_S)
    assert process.returncode is not None
    done = subprocess.CompletedProcess(process.argv, process.returncode, out, err)
    return _expected(done, code)


def run_cold(script: str, outputs: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """The same in a new interpreter, imports and all."""
    done = subprocess.run(
        [sys.executable, *_argv(script, outputs, overrides)],
        cwd=outputs.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return _expected(done, 0)


def _expected(
    done: subprocess.CompletedProcess[str], code: int | None
) -> subprocess.CompletedProcess[str]:
    assert code is None or done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def _argv(script: str, outputs: Path, overrides: Iterable[str]) -> list[str]:
    return [str(ROOT / script), f"paths.outputs={outputs}", *overrides]


def run_all(cases: dict[str, list[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """Run many commands (script first) one after the other, paying for the imports once.

    Each has a folder of its own in `folder`, with outputs in `outputs`. Gives exit code, stdout
    and stderr by name.
    """
    for name, (script, *overrides) in cases.items():
        (folder / name).mkdir()
        arguments = [f"paths.outputs={folder / name / 'outputs'}", *overrides]
        (folder / name / "argv.json").write_text(json.dumps([str(ROOT / script), *arguments]))
    done = subprocess.run(
        [sys.executable, __file__, *(str(folder / name) for name in cases)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: read_json(folder / name / "result.json") for name in cases}


def _run_here(folder: Path) -> None:
    """As a process of its own would run; the child of `run_all`."""
    sys.argv = json.loads((folder / "argv.json").read_text())
    os.chdir(folder)
    sys.path[0] = str(ROOT)  # as for a script there
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
    result = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    (folder / "result.json").write_text(json.dumps(result))


def start(script: str, outputs: Path, *overrides: str) -> Process:
    """Start a script in a process group of its own, as a terminal does."""
    return Process(_argv(script, outputs, overrides), outputs.parent, environment())


def wait_for(process: Process, happened: Callable[[], bool]) -> None:
    """Watch a running process until something is seen to have happened."""
    given_up = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < given_up, "nothing happened"
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended too early:\n{process.communicate(0.05)}")


def interrupt(process: Process) -> str:
    """Press Ctrl-C and wait for the end; gives what it printed."""
    os.killpg(process.pid, signal.SIGINT)
    return "".join(process.communicate(PATIENCE_S))


def last_run(outputs: Path, job: str = "train") -> Path:
    """The run folder made last."""
    return max((outputs / job).iterdir())


def read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def tracked(outputs: Path) -> list[Any]:
    """All MLflow runs, newest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["attributes.start_time DESC"]))


def artifacts(outputs: Path, run_id: str) -> set[str]:
    """Paths of all files that a run tracked."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")

    def walk(folder: str | None) -> Iterable[str]:
        for entry in client.list_artifacts(run_id, folder):
            if entry.is_dir:
                yield from walk(entry.path)
            else:
                yield entry.path

    return set(walk(None))


def once(shared: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder made by one worker and used by all."""
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(str(shared / f"{name}.lock")):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        _run_here(Path(argument))
