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


class Tracker(Protocol):
    """Where a run tells what it does."""

    def run(self, name: str) -> Any:
        """Context manager: the run, ended whatever happens."""
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

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        """Do nothing around a run."""
        yield

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
        self._run_id = ""

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        """Start a run; end it FINISHED, FAILED on an error, FINISHED and tagged on Ctrl-C."""
        self._client = self._connect()
        experiment = self._experiment_id()
        self._end_abandoned(experiment)
        run = self._client.create_run(
            experiment, run_name=name, tags={PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}
        )
        self._run_id = run.info.run_id
        try:
            yield
        except KeyboardInterrupt:
            self._client.set_tag(self._run_id, INTERRUPTED_TAG, "true")
            self._client.set_terminated(self._run_id, "FINISHED")
            raise
        except BaseException:
            self._client.set_terminated(self._run_id, "FAILED")
            raise
        self._client.set_terminated(self._run_id, "FINISHED")

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
            if ours and not _alive(int(process)):
                self._client.set_terminated(run.info.run_id, "FAILED")

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log chosen settings."""
        for name, value in values.items():
            self._client.log_param(self._run_id, name, value)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers in one batch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run_id,
            metrics=[
                Metric(name, float(value), now, step)
                for name, value in values.items()
                if value is not None
            ],
        )

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or all files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self._run_id, str(path), folder)
        else:
            self._client.log_artifact(self._run_id, str(path), folder)

    def page(self) -> str:
        """The command that opens the page."""
        return f"mlflow ui --backend-store-uri {self.tracking_uri}"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class EpochRecord(NoTracker):
    """Keeps the numbers of each epoch.

    Attributes:
        epochs: by epoch.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Keep them; an epoch comes after the one before."""
        self.epochs.append({name: value for name, value in values.items() if value is not None})


class EpochMetrics(pl.Callback):
    """Tells the tracker train and validation loss after every epoch."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what Lightning has collected."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.tracker.metrics(values, step=trainer.current_epoch)
