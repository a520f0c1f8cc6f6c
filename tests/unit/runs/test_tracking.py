"""MLflow runs end, whatever happens in them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from mlflow_store import client, runs

from riskml.runs.epochs import EpochMetrics
from riskml.runs.tracking import (
    CONTEXT_TAG,
    INTERRUPTED_TAG,
    NOTE_TAG,
    PARAMETERS_AT_ONCE,
    PARENT_TAG,
    PROCESS_TAG,
    MLflowTracker,
    NoTracker,
)


def test_finished(tracker: MLflowTracker, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two.json").write_text("{}")
    with tracker.run("name"):
        tracker.parameters({"seed": 3, "data": "csv", "hidden": [1, 2], "nothing": None})
        tracker.metrics({"loss": 2.0, "undefined": None}, step=0)
        tracker.metrics({"loss": 1.0}, step=1)
        tracker.artifact(tmp_path / "one.json")
        tracker.artifact(tmp_path / "folder", "plots")
        assert runs(tracker)[0].info.status == "RUNNING"
    (run,) = runs(tracker)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "name")
    assert run.info.end_time is not None
    assert run.data.params == {"seed": "3", "data": "csv", "hidden": "[1, 2]", "nothing": "None"}
    assert run.data.metrics == {"loss": 1.0}
    history = client(tracker).get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 2.0), (1, 1.0)]
    assert [f.path for f in client(tracker).list_artifacts(run.info.run_id)] == [
        "one.json",
        "plots",
    ]
    assert run.info.artifact_uri.startswith(tracker.artifact_location)


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit, MemoryError])
def test_error_ends_as_failed(tracker: MLflowTracker, error: type[BaseException]) -> None:
    with pytest.raises(error), tracker.run("name"):
        raise error
    assert [run.info.status for run in runs(tracker)] == ["FAILED"]


def test_ctrl_c_ends_as_finished_and_says_so(tracker: MLflowTracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("name"):
        raise KeyboardInterrupt
    (run,) = runs(tracker)
    assert (run.info.status, run.data.tags[INTERRUPTED_TAG]) == ("FINISHED", "true")


def test_finished_run_is_not_called_interrupted(tracker: MLflowTracker) -> None:
    with tracker.run("name"):
        pass
    assert INTERRUPTED_TAG not in runs(tracker)[0].data.tags


def test_children_are_inside_and_write_to_their_own(tracker: MLflowTracker) -> None:
    many = {f"setting_{i}": i for i in range(PARAMETERS_AT_ONCE + 1)}
    with tracker.run("whole"):
        with tracker.child("part", {"fold": "1"}) as part:
            part.parameters(many)
            with part.child("piece") as piece:
                piece.metrics({"loss": 3.0})
            part.metrics({"loss": 2.0})
            assert [run.info.status for run in runs(tracker)] == ["RUNNING", "RUNNING", "FINISHED"]
        tracker.metrics({"loss": 1.0})
    found = {run.info.run_name: run for run in runs(tracker)}
    assert {name: run.data.metrics for name, run in found.items()} == {
        "whole": {"loss": 1.0},
        "part": {"loss": 2.0},
        "piece": {"loss": 3.0},
    }
    ids = {name: run.info.run_id for name, run in found.items()}
    parents = {name: run.data.tags.get(PARENT_TAG) for name, run in found.items()}
    assert parents == {"whole": None, "part": ids["whole"], "piece": ids["part"]}
    assert found["part"].data.tags["fold"] == "1"
    assert found["part"].data.params == {name: str(value) for name, value in many.items()}
    assert {run.info.status for run in found.values()} == {"FINISHED"}


def test_child_fails_alone_where_its_error_is_caught(tracker: MLflowTracker) -> None:
    with tracker.run("whole"), pytest.raises(ValueError), tracker.child("part"):
        raise ValueError
    assert [run.info.status for run in runs(tracker)] == ["FINISHED", "FAILED"]


def test_ctrl_c_ends_children_as_their_parents(tracker: MLflowTracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("whole"), tracker.child("part"):
        raise KeyboardInterrupt
    for run in runs(tracker):
        assert (run.info.status, run.data.tags[INTERRUPTED_TAG]) == ("FINISHED", "true")


def abandon(tracker: MLflowTracker, process: str | None) -> str:
    """A run that nobody ended."""
    with tracker.run("first"):
        pass
    experiment = client(tracker).get_experiment_by_name(tracker.experiment)
    tags = {} if process is None else {PROCESS_TAG: process}
    run = client(tracker).create_run(experiment.experiment_id, tags=tags)
    return str(run.info.run_id)


def status_after_the_next_run(tracker: MLflowTracker, run_id: str) -> str:
    with tracker.run("next"):
        pass
    return str(client(tracker).get_run(run_id).info.status)


def test_run_of_a_dead_process_is_failed_by_the_next(tracker: MLflowTracker) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    run_id = abandon(tracker, f"{socket.gethostname()}:{dead.pid}")
    assert status_after_the_next_run(tracker, run_id) == "FAILED"
    assert client(tracker).get_run(run_id).info.end_time is not None


@pytest.mark.parametrize(
    "process",
    [f"{socket.gethostname()}:{os.getpid()}", "another-machine:1", None],
    ids=["alive", "elsewhere", "not ours"],
)
def test_other_running_runs_are_left_alone(tracker: MLflowTracker, process: str | None) -> None:
    run_id = abandon(tracker, process)
    assert status_after_the_next_run(tracker, run_id) == "RUNNING"


@pytest.mark.parametrize("process", [f"{socket.gethostname()}:", f"{socket.gethostname()}:x"])
def test_a_strange_tag_stops_no_run(tracker: MLflowTracker, process: str) -> None:
    run_id = abandon(tracker, process)
    assert status_after_the_next_run(tracker, run_id) in ("RUNNING", "FAILED")


def test_page_is_the_command_and_the_address(tracker: MLflowTracker) -> None:
    with tracker.run("name"):
        command, address = tracker.page().split("\n")
    assert command == f"mlflow ui --backend-store-uri {tracker.tracking_uri}"
    experiment = runs(tracker)[0].info.experiment_id
    path = f"/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert address.strip() == f"http://127.0.0.1:5000{path}"
    tracker.tracking_uri = "https://tracking.test/"
    assert tracker.page() == f"https://tracking.test{path}"


def test_data_set_is_told_of_without_its_values(tracker: MLflowTracker) -> None:
    events = pl.DataFrame({"user_id": ["secret", "b"], "bytes": [1, 2], "success": [True, None]})
    with tracker.run("whole"):
        tracker.dataset("csv", events, "0123456789abcdef" * 4)
        tracker.describe("what it is")
        with tracker.child("part"):
            pass
    for run in runs(tracker):
        (found,) = run.inputs.dataset_inputs
        assert (found.dataset.name, found.dataset.digest) == ("csv", "0123456789ab")
        assert [(tag.key, tag.value) for tag in found.tags] == [(CONTEXT_TAG, "train, test")]
        assert json.loads(found.dataset.profile)["num_rows"] == 2
        columns = json.loads(found.dataset.schema)["mlflow_colspec"]
        assert [(each["name"], each["type"]) for each in columns] == [
            ("user_id", "string"),
            ("bytes", "long"),
            ("success", "boolean"),
        ]
        assert json.loads(found.dataset.source) == {"tags": {"fingerprint": "0123456789abcdef" * 4}}
        assert "secret" not in str(found.dataset.to_dictionary())
    notes = [run.data.tags.get(NOTE_TAG) for run in runs(tracker)]
    assert notes == ["what it is", None]


def test_mlflow_is_asked_to_keep_to_itself(
    tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    with tracker.run("name"):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    with tracker.run("name"):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_no_tracker_tells_nobody(tmp_path: Path) -> None:
    nobody = NoTracker()
    with nobody.run("name"):
        nobody.parameters({"a": 1})
        nobody.metrics({"a": 1.0})
        nobody.artifact(tmp_path / "not there")
        nobody.dataset("csv", pl.DataFrame(), "")
        nobody.describe("nothing")
        with nobody.child("part", {"fold": "1"}) as part:
            part.metrics({"a": 1.0})
    assert "not tracked" in nobody.page()


class Told(NoTracker):
    def __init__(self) -> None:
        self.values: list[tuple[int, dict[str, Any]]] = []

    def metrics(self, values: Any, step: int = 0) -> None:
        self.values.append((step, dict(values)))


@pytest.mark.parametrize(("zero", "told"), [(True, [(4, {"val/loss": 0.5})]), (False, [])])
def test_epoch_metrics_come_from_the_first_process(zero: bool, told: list[Any]) -> None:
    trainer = SimpleNamespace(
        is_global_zero=zero,
        sanity_checking=False,
        current_epoch=4,
        callback_metrics={"val/loss": torch.tensor(0.5)},
    )
    tracker = Told()
    EpochMetrics(tracker).on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert tracker.values == told
