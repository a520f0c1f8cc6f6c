"""MLflow runs that always end: FINISHED, or FAILED where something went wrong."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytorch_lightning as pl

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PROCESS_TAG = "riskml.process"
INTERRUPTED_TAG = "riskml.interrupted"
PARENT_TAG = "mlflow.parentRunId"


class Tracker(Protocol):
    """Where a run tells what it does."""

    run_id: str
    """Of the run that is told of; empty where there is none."""

    def run(self, name: str, again: str = "") -> Any:
        """Context manager: the run, ended whatever happens; `again` goes on with an earlier one."""
        ...

    def join(self, run_id: str) -> None:
        """Tell of a run that another process has begun and will end."""
        ...

    def child(self, name: str) -> Any:
        """Context manager: the tracker of a run inside this one, ended whatever happens."""
        ...

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Chosen settings."""
        ...

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers; undefined ones are left out."""
        ...

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """A file or a folder of files."""
        ...

    def page(self) -> str:
        """How to look at it."""
        ...


class NoTracker:
    """Tells nobody."""

    run_id = ""

    @contextmanager
    def run(self, name: str, again: str = "") -> Iterator[None]:
        """Do nothing around a run."""
        yield

    def join(self, run_id: str) -> None:
        """Nothing."""

    @contextmanager
    def child(self, name: str) -> Iterator[Tracker]:
        """Itself."""
        yield self

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Nothing."""

    def page(self) -> str:
        """Nothing to look at."""
        return "not tracked (logger=none)"


class MLflowTracker:
    """Writes to an MLflow store.

    Args:
        tracking_uri: of the store, absolute, so that it is the same from every folder.
        artifact_location: folder or URI for files of a new experiment.
        experiment: its name.
    """

    def __init__(self, tracking_uri: str, artifact_location: str, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_location = artifact_location
        self.experiment = experiment
        self.run_id = ""

    @contextmanager
    def run(self, name: str, again: str = "") -> Iterator[None]:
        """Start a run; end it FINISHED, FAILED on an error, FINISHED and tagged on Ctrl-C.

        Args:
            name: for people.
            again: id of an earlier run that is gone on with; if the store has it no more, a new
                one is begun.
        """
        self._client = self._connect()
        experiment = self._experiment_id()
        self._end_abandoned(experiment)
        if again and self._revived(again):
            self.run_id = again
        else:
            self.run_id = self._begun(experiment, name, {})
        with self._ending():
            yield

    def join(self, run_id: str) -> None:
        """Tell of a run that another process has begun and will end."""
        self._client = self._connect()
        self.run_id = run_id

    @contextmanager
    def child(self, name: str) -> Iterator[Tracker]:
        """A run inside this one, shown below it; ended as `run` ends one."""
        inner = MLflowTracker(self.tracking_uri, self.artifact_location, self.experiment)
        inner._client = self._client
        tags = {PARENT_TAG: self.run_id}
        inner.run_id = inner._begun(self._experiment_id(), name, tags)
        with inner._ending():
            yield inner

    def _begun(self, experiment: str, name: str, tags: dict[str, str]) -> str:
        """Id of a new run."""
        tags = {PROCESS_TAG: this_process(), **tags}
        run = self._client.create_run(experiment, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _revived(self, run_id: str) -> bool:
        """Take up an earlier run again; False where there is none of this id."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        self._client.set_tag(run_id, PROCESS_TAG, this_process())
        return True

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._client.set_tag(self.run_id, INTERRUPTED_TAG, "true")
            self._client.set_terminated(self.run_id, "FINISHED")
            raise
        except BaseException:
            self._client.set_terminated(self.run_id, "FAILED")
            raise
        self._client.set_terminated(self.run_id, "FINISHED")

    def _connect(self) -> MlflowClient:
        # heavy: only when a run really starts
        from mlflow.tracking import MlflowClient

        for noisy in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(
                parents=True, exist_ok=True
            )
        return MlflowClient(self.tracking_uri)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(
            self._client.create_experiment(
                self.experiment, artifact_location=self.artifact_location
            )
        )

    def _end_abandoned(self, experiment: str) -> None:
        """Runs of killed processes of this machine cannot end themselves: end them as FAILED."""
        running = self._client.search_runs([experiment], "attributes.status = 'RUNNING'")
        for run in running:
            host, _, process = run.data.tags.get(PROCESS_TAG, "").rpartition(":")
            ours = host == socket.gethostname() and process.isdigit()
            if ours and not alive(int(process)):
                self._client.set_terminated(run.info.run_id, "FAILED")

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log chosen settings."""
        for name, value in values.items():
            self._client.log_param(self.run_id, name, value)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers in one batch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id,
            metrics=[
                Metric(name, float(value), now, step)
                for name, value in values.items()
                if value is not None
            ],
        )

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or all files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), folder)
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def page(self) -> str:
        """The command that opens the page."""
        return f"mlflow ui --backend-store-uri {self.tracking_uri}"


def this_process() -> str:
    """Host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class EpochMetrics(pl.Callback):
    """Tells the tracker train and validation loss after every epoch."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what Lightning has collected."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.tracker.metrics(values, step=trainer.current_epoch)
