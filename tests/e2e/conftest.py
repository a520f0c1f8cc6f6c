"""Runs that several tests look at; each is made once, by whichever worker comes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import TRAIN, once, reads, run, write_log


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def log(shared: Path) -> Path:
    return once(shared, "log", lambda folder: write_log(folder / "log.csv")) / "log.csv"


@pytest.fixture(scope="session")
def trained(shared: Path, log: Path) -> Path:
    """The outputs folder of one training and its evaluation, tracked with MLflow."""

    def make(folder: Path) -> None:
        outputs = folder / "outputs"
        done = run("train.py", outputs, *reads(log), *TRAIN)
        (folder / "train.out").write_text(done.stdout + done.stderr)
        done = run("evaluate.py", outputs, "baselines=[random,window_length]")
        (folder / "evaluate.out").write_text(done.stdout + done.stderr)

    return once(shared, "trained", make) / "outputs"
