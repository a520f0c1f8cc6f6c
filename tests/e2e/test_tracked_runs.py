"""Tracked runs whose process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, environment, tracked

from riskml.runs.tracking import MLflowTracker

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
from riskml.runs.tracking import MLflowTracker
tracker = MLflowTracker(*sys.argv[1:])
with tracker.run("whole"), tracker.child("part") as part, part.child("piece"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_children_of_a_killed_process_are_failed_by_the_next_run(tmp_path: Path) -> None:
    where = (f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "files"), "riskml")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *where], cwd=ROOT, env=environment(), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert [run.info.status for run in tracked(tmp_path)] == ["RUNNING"] * 3
    with MLflowTracker(*where).run("next"):
        pass
    assert {run.info.run_name: run.info.status for run in tracked(tmp_path)} == {
        "whole": "FAILED",
        "part": "FAILED",
        "piece": "FAILED",
        "next": "FINISHED",
    }
