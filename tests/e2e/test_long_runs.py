"""Runs that take their time: repeated, resumed, killed, distributed, swept, and on public data."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from command_line import (
    PATIENCE_S,
    ROOT,
    SMALL,
    TRAIN,
    interrupt,
    last_run,
    read_json,
    reads,
    run,
    start,
    tracked,
    wait_for,
)
from polars.testing import assert_frame_equal
from safetensors.torch import load_file

from riskml.export.bundle import load_bundle

pytestmark = pytest.mark.slow

WEIGHTS = "detector/weights.safetensors"
ENDLESS = (
    "model=autoencoder",
    "callbacks=quiet",
    "model.training.max_epochs=1000000",
    "model.training.patience=1000000",
    "model.training.batch_size=16",
    *SMALL,
)


def checkpoints(outputs: Path, name: str) -> list[Path]:
    return list(outputs.glob(f"train/*/checkpoints/{name}"))


def test_same_command_twice_gives_the_same_bits(log: Path, trained: Path, tmp_path: Path) -> None:
    run("train.py", tmp_path / "outputs", *reads(log), *TRAIN, "logger=none")
    first, second = last_run(trained), last_run(tmp_path / "outputs")
    assert (first / WEIGHTS).read_bytes() == (second / WEIGHTS).read_bytes()
    features = "features/features.safetensors"
    assert (first / features).read_bytes() == (second / features).read_bytes()
    assert_frame_equal(
        pl.read_parquet(first / "scores.parquet"),
        pl.read_parquet(second / "scores.parquet"),
        check_exact=True,
    )


def test_another_model_on_the_data_of_the_run(trained: Path, tmp_path: Path) -> None:
    """With a budget of its own, which the trained run does not have."""
    done = run(
        "evaluate.py",
        tmp_path / "outputs",
        "model=pyod_iforest",
        f"run={last_run(trained)}",
        "threshold=daily_budget",
        "threshold.alerts_per_day=0.1",
        "baselines=[random]",
        "logger=none",
    )
    assert "1 alerts a day" in done.stdout
    document = read_json(last_run(tmp_path / "outputs", "evaluate") / "metrics.json")
    assert list(document["detectors"]) == ["pyod_iforest", "random"]
    assert document["metrics"]["roc_auc"] >= 0.8
    trained_on = read_json(last_run(trained) / "metrics.json")
    assert document["windows"] == trained_on["windows"]


def test_another_budget_needs_no_training(trained: Path, tmp_path: Path) -> None:
    """As the help of evaluate.py has it."""
    assert (
        "python evaluate.py threshold=daily_budget threshold.alerts_per_day=10"
        in (ROOT / "conf/evaluate.yaml").read_text()
    )
    run(
        "evaluate.py",
        tmp_path / "outputs",
        f"run={last_run(trained)}",
        "threshold=daily_budget",
        "threshold.alerts_per_day=0.1",
        "baselines=[]",
        "logger=none",
    )
    document = read_json(last_run(tmp_path / "outputs", "evaluate") / "metrics.json")
    before = read_json(last_run(trained) / "metrics.json")
    assert document["metrics"]["roc_auc"] == before["metrics"]["roc_auc"]
    assert document["metrics"]["alerts_at_budget"] < before["metrics"]["alerts_at_budget"]


def test_ctrl_c_and_going_on_equals_one_go(log: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    process = start("train.py", parts, *reads(log), *ENDLESS)
    wait_for(process, lambda: bool(checkpoints(parts, "best.ckpt")))
    output = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in output
    (last,) = checkpoints(parts, "last.ckpt")
    assert f"ckpt_path={last}" in output
    (tracked_run,) = tracked(parts)
    assert tracked_run.info.status == "FINISHED"
    assert tracked_run.data.tags["riskml.interrupted"] == "true"
    assert not (parts / "latest.json").exists(), "nothing finished that could be evaluated"

    epochs = torch.load(last, weights_only=True)["epoch"] + 3
    settings = (*reads(log), *ENDLESS, f"model.training.max_epochs={epochs}", "logger=none")
    run("train.py", parts, *settings, f"ckpt_path={last}")
    run("train.py", whole, *settings)
    ours, theirs = load_file(last_run(parts) / WEIGHTS), load_file(last_run(whole) / WEIGHTS)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    assert_frame_equal(
        pl.read_parquet(last_run(parts) / "scores.parquet"),
        pl.read_parquet(last_run(whole) / "scores.parquet"),
        check_exact=True,
    )


def test_killed_and_failing_runs_end_as_failed(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    process = start("train.py", outputs, *reads(log), *ENDLESS)
    wait_for(process, lambda: bool(checkpoints(outputs, "last.ckpt")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert [run.info.status for run in tracked(outputs)] == ["RUNNING"]

    done = run("train.py", outputs, *reads(tmp_path / "nowhere.csv"), *ENDLESS, code=2)
    assert "nowhere.csv does not exist" in done.stderr
    assert [run.info.status for run in tracked(outputs)] == ["FAILED", "FAILED"]


def test_two_processes(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    run("train.py", outputs, *reads(log), *TRAIN, "trainer=ddp")
    document = read_json(last_run(outputs) / "metrics.json")
    assert document["metrics"]["roc_auc"] >= 0.9
    assert load_bundle(last_run(outputs) / "bundle").manifest["detector"] == "vae"
    (tracked_run,) = tracked(outputs)
    assert tracked_run.info.status == "FINISHED"
    assert {"train/loss", "val/loss"} <= set(tracked_run.data.metrics)


def test_jobs_of_a_sweep_have_a_folder_each(log: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    run("train.py", outputs, *reads(log), "logger=none", "model=random,window_length", "-m")
    found = sorted(read_json(path)["detector"] for path in outputs.rglob("metrics.json"))
    assert found == ["random", "window_length"]


def test_two_runs_at_once_have_a_folder_each(log: Path, tmp_path: Path) -> None:
    """Started in the same second, as by a script."""
    outputs = tmp_path / "outputs"
    seeds = ("1", "2")
    processes = [
        start("train.py", outputs, "model=random", f"seed={s}", *reads(log), "logger=none")
        for s in seeds
    ]
    for process in processes:
        printed = process.communicate(PATIENCE_S)
        assert process.returncode == 0, printed
    found = sorted(read_json(path)["seed"] for path in outputs.rglob("metrics.json"))
    assert found == [int(s) for s in seeds]


# ---- public data


def data_folder() -> Path | None:
    for folder in (os.environ.get("RISKML_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "sea" / "events.parquet").is_file():
            return Path(folder)
    return None


public = pytest.mark.skipif(data_folder() is None, reason="no sea/events.parquet below RISKML_DATA")


def measured(outputs: Path, *command: str) -> dict[str, Any]:
    """The metrics document of a run on public data."""
    run(
        "train.py",
        outputs,
        *command,
        "logger=none",
        "callbacks=quiet",
        f"paths.data={data_folder()}",
    )
    document: dict[str, Any] = read_json(last_run(outputs) / "metrics.json")
    return document


@pytest.mark.needs_data
@public
def test_vae_on_sea(tmp_path: Path) -> None:
    document = measured(tmp_path / "outputs", "data=sea", "model=vae")
    assert document["metrics"]["roc_auc"] >= 0.90
    assert document["metrics"]["positive_windows"] == 115
    assert document["windows"]["test"] == 2500


@pytest.mark.needs_data
@public
def test_masquerades_are_found(tmp_path: Path) -> None:
    metrics = measured(tmp_path / "outputs", "experiment=masquerade")["metrics"]
    assert metrics["roc_auc"] >= 0.98
    assert metrics["recall_at_fpr_0.013"] >= 0.60
    assert metrics["recall_at_fpr_0.046"] >= 0.85


@pytest.mark.needs_data
@public
def test_block_sequences_that_fail_are_found(tmp_path: Path) -> None:
    metrics = measured(tmp_path / "outputs", "experiment=hdfs")["metrics"]
    assert metrics["f1_at_threshold"] >= 0.985
