"""Sweeps as commands: killed and gone on with, several processes, tracked runs, and the help."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from command_line import (
    PATIENCE_S,
    SMALL,
    artifacts,
    interrupt,
    last_run,
    read_json,
    reads,
    run,
    start,
    tracked,
    wait_for,
)
from optuna.trial import FrozenTrial, TrialState

from riskml.export.bundle import load_bundle
from riskml.models.base import load_detector
from riskml.wrappers.ensemble import EnsembleDetector

pytestmark = pytest.mark.slow

COMMON = (
    "callbacks=quiet",
    "features.families.action_embedding.epochs=1",
    "sweep.folds=1",
    "sweep.simple=[window_length]",
)
COUNTS = (*COMMON, "sweep=counts", "sweep.space.top_k.choices=[1,2,3,4,5,6,8]", "logger=none")
AE = (
    *COMMON,
    "sweep=autoencoder",
    *SMALL,
    "~sweep.space.hidden",
    "model.training.max_epochs=4",
    "sweep.min_epochs=1",
    "sweep.startup_trials=2",
)


def command(log: Path, *overrides: str) -> list[str]:
    """As a person types it: Hydra's options come before or after all overrides."""
    return [*reads(log), *overrides, "-m"]


def trials(outputs: Path) -> list[FrozenTrial]:
    """Of the only study; none while there is no database."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    path = outputs / "sweeps.db"
    if not path.is_file() or not path.stat().st_size:
        return []
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", {"connect_args": {"timeout": 60}})
        (name,) = optuna.get_all_study_names(storage)
    except Exception:  # its tables are made just now
        return []
    return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)


def document(outputs: Path) -> dict[str, Any]:
    """The newest sweep.json."""
    paths = sorted(outputs.rglob("sweep.json"), key=lambda path: path.stat().st_mtime)
    return read_json(paths[-1])


def test_a_whole_sweep_is_tracked_exported_and_evaluated(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    done = run(
        "train.py",
        outputs,
        *reads(log),
        *AE,
        "sweep.n_trials=6",
        "sweep.keep=2",
        "sweep.reduction=4",
    )
    assert "6 of 6" in done.stdout
    found = document(outputs)
    states = [found["trials"][state] for state in ("complete", "pruned", "failed")]
    assert sum(states) == 6 and states[2] == 0
    pruned = [trial for trial in trials(outputs) if trial.state == TrialState.PRUNED]
    assert pruned, "six trials, of which every other is given up after each rung"
    assert all(max(trial.intermediate_values) <= 4 for trial in pruned), "within the first fit"
    assert all("was not among the best" in trial.user_attrs["reason"] for trial in pruned)

    runs = tracked(outputs)
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    inside = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    names = sorted(r.info.run_name.partition(" (")[0] for r in inside)
    refitted = found["refitted"]
    assert names == sorted([*(f"trial {i}" for i in range(6)), *refitted])
    assert {r.info.status for r in runs} == {"FINISHED"}
    complete = [r for r in inside if r.data.params.get("state") == "complete"]
    assert len(complete) == states[0]
    assert {"sweep/injected", "train/loss", "fit_seconds"} <= set(complete[0].data.metrics)
    assert "model.latent_dim" in complete[0].data.params
    assert {"sweep.json", "plots/history.html", "plots/history.png"} <= artifacts(
        outputs, parent.info.run_id
    )

    assert refitted == ["best_1", "best_2", "ensemble"]
    best = next(outputs.rglob("best_1"))
    assert load_bundle(best / "bundle").manifest["detector"] == "autoencoder"
    detector = load_detector(best / "detector")
    latent_dim = found["best"][0]["settings"]["model.latent_dim"]
    assert detector.settings()["latent_dim"] == latent_dim
    together = load_detector(best.parent / "ensemble" / "detector")
    assert isinstance(together, EnsembleDetector)
    assert together.parts_[0].detector.settings() == detector.settings()
    assert (best.parent / "ensemble" / "metrics.json").is_file()
    run("evaluate.py", outputs, "baselines=[random]", "logger=none")
    evaluated = read_json(last_run(outputs, "evaluate") / "metrics.json")
    trained = read_json(best / "metrics.json")
    assert evaluated["metrics"]["roc_auc"] == pytest.approx(trained["metrics"]["roc_auc"])


def amid_a_trial(outputs: Path) -> bool:
    """Whether one is complete and the next one has begun, which its tracked run tells, too."""
    made = trials(outputs)
    if [t.state for t in made[-2:]] != [TrialState.COMPLETE, TrialState.RUNNING]:
        return False
    begun = [r for r in tracked(outputs) if r.info.run_name == f"trial {made[-1].number}"]
    return [r.info.status for r in begun] == ["RUNNING"]


def test_a_killed_sweep_goes_on_where_it_was(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    typed = command(log, *AE, "sweep.n_trials=4", "sweep.keep=0", "sweep.pruner=none")
    process = start("train.py", outputs, *typed)
    wait_for(process, lambda: amid_a_trial(outputs))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = trials(outputs)
    assert before[-1].state == TrialState.RUNNING

    done = run("train.py", outputs, *typed)
    after = trials(outputs)
    kept = [t for t in before if t.state == TrialState.COMPLETE]
    assert [t.values for t in after[: len(kept)]] == [t.values for t in kept]
    died = after[before[-1].number]
    assert died.state == TrialState.FAIL
    assert died.user_attrs["reason"] == "its process is gone"
    assert f"trials {died.number} died with their process" in done.stdout
    assert [t.state for t in after].count(TrialState.COMPLETE) == 4
    assert document(outputs)["trials"]["died_or_interrupted"] == 1

    parents = [r for r in tracked(outputs) if "mlflow.parentRunId" not in r.data.tags]
    assert [r.info.status for r in parents] == ["FINISHED"], "the same run goes on"
    dead = [r for r in tracked(outputs) if r.info.run_name == f"trial {died.number}"]
    assert [r.info.status for r in dead] == ["FAILED"]


def test_workers_and_commands_share_a_study(log: Path, tmp_path: Path) -> None:
    """Two commands, one of them with two workers: no trial is done twice, none too many."""
    outputs = tmp_path / "outputs"
    shared = (*COUNTS, "sweep.n_trials=30", "sweep.keep=0", "sweep.pruner=none")
    processes = [
        start("train.py", outputs, *command(log, *shared, f"sweep.workers={workers}"))
        for workers in (1, 2)
    ]
    told = [process.communicate(PATIENCE_S) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    made = trials(outputs)
    complete = [t for t in made if t.state == TrialState.COMPLETE]
    assert len(complete) == 30
    beyond = [t for t in made if t.state != TrialState.COMPLETE]
    assert all(t.user_attrs["reason"] == "one more than was wanted" for t in beyond)
    assert [t.user_attrs.get("default") for t in made].count(True) == 1
    assert document(outputs)["trials"]["complete"] == 30


def test_ctrl_c_marks_the_trial_and_says_so(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    endless = ("model.training.max_epochs=100000", "model.training.patience=100000")
    more = ("sweep.keep=0", "sweep.pruner=none", "logger=none", "sweep.workers=2")
    process = start("train.py", outputs, *command(log, *AE, *endless, *more))
    wait_for(
        process,
        lambda: sum("process" in t.user_attrs and bool(t.params) for t in trials(outputs)) == 2,
    )
    output = interrupt(process)
    assert process.returncode == 130, output
    assert "interrupted" in output and "Traceback" not in output
    made = trials(outputs)
    assert {t.state for t in made} == {TrialState.FAIL}
    assert {t.user_attrs["reason"] for t in made} == {"interrupted"}


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = run("train.py", tmp_path / "outputs", "sweep=vae", "model=counts", "-m", code=2)
    assert "error: sweep.space.hidden.name=model.hidden: model=counts has no such" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_tells_of_sweeps(tmp_path: Path) -> None:
    done = run("train.py", tmp_path / "outputs", "--help")
    assert "python train.py -m sweep=vae" in done.stdout
    assert "sweep:" in done.stdout
