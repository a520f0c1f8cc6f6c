"""`trainer=ray`: what one process would have learnt, and nothing is left running."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import (
    PATIENCE_S,
    SMALL,
    interrupt,
    last_run,
    read_json,
    reads,
    run,
    start,
    wait_for,
)
from safetensors.torch import load_file

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

# nothing is drawn at random and no row left out: two halves of a batch make the whole one
PLAIN = (
    "model=autoencoder",
    "model.user_dim=0",
    "model.input_dropout=0",
    "model.training.trim=0",
    "logger=none",
    *SMALL,
)
ENDLESS = ("model.training.max_epochs=1000000", "model.training.patience=1000000")


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[int, str]]:
    """The living processes below this test, Ray's daemons too, whose title holds a word.

    But for those from which commands are forked, and commands, which others wait for.
    """
    marker = f"MARKED_BY_A_TEST={tmp_path}"
    monkeypatch.setenv(*marker.split("=", 1))

    def find(word: str = "") -> dict[int, str]:
        found: dict[int, str] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                if marker.encode() in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_text()
        return {n: title for n, title in found.items() if word in title and "warm.py" not in title}

    return find


def gone(left: Callable[[str], dict[int, str]]) -> bool:
    """Whether all have ended, given a moment."""
    for _ in range(100):
        if not left(""):
            return True
        time.sleep(0.1)
    return False


def test_two_workers_learn_what_one_process_does(log: Path, tmp_path: Path, left: Any) -> None:
    epochs = "model.training.max_epochs=4"
    alone, workers = tmp_path / "alone", tmp_path / "workers"
    run("train.py", alone, *reads(log), *PLAIN, epochs, "model.training.batch_size=64")
    halves = ("trainer=ray", "trainer.workers=2", "model.training.batch_size=32")
    done = run("train.py", workers, *reads(log), *PLAIN, epochs, *halves)
    assert gone(left), left("")

    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("epoch")] == [
        str(epoch) for epoch in range(4)
    ]
    document = read_json(last_run(workers) / "metrics.json")
    assert all(math.isfinite(v) for v in document["metrics"].values() if isinstance(v, float))
    weights = "detector/weights.safetensors"
    ours, theirs = load_file(last_run(workers) / weights), load_file(last_run(alone) / weights)
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}
    scores = [
        pl.read_parquet(last_run(outputs) / "scores.parquet")["score"].to_numpy()
        for outputs in (workers, alone)
    ]
    np.testing.assert_allclose(*scores, rtol=1e-3)
    assert (last_run(workers) / "checkpoints" / "best.ckpt").is_file()
    assert not list(last_run(workers).glob("*ray*"))


def test_ctrl_c_and_failures_end_the_workers(log: Path, tmp_path: Path, left: Any) -> None:
    outputs = tmp_path / "outputs"
    command = (*reads(log), *PLAIN, *ENDLESS, "trainer=ray")
    process = start("train.py", outputs, *command)
    wait_for(process, lambda: bool(list(outputs.glob("train/*/checkpoints/best.ckpt"))))
    output = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in output
    (last,) = outputs.glob("train/*/checkpoints/last.ckpt")
    assert f"ckpt_path={last}" in output
    assert gone(left), left("")

    odd = ("model.training.learning_rate=1e30", "trainer.workers=1")
    done = run("train.py", outputs, *command, *odd, code=2)
    assert "loss became" in done.stderr
    assert "Traceback" not in done.stderr
    assert gone(left), left("")


def test_killed_worker(log: Path, tmp_path: Path, left: Any) -> None:
    outputs = tmp_path / "outputs"
    process = start("train.py", outputs, *reads(log), *PLAIN, *ENDLESS, "trainer=ray")
    wait_for(process, lambda: bool(list(outputs.glob("train/*/checkpoints/best.ckpt"))))
    worker, *_ = left("TrainWorker")
    os.kill(worker, signal.SIGKILL)
    output = "".join(process.communicate(PATIENCE_S))
    assert process.returncode == 2
    assert "was killed, as a rule for want of memory" in output
