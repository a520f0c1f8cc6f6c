"""MLflow runs that always end, those inside them too: FINISHED, or FAILED where something broke."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from riskml.core.errors import ConfigError
from riskml.core.mlflow_client import connect, experiment_id
from riskml.export.registry import Registry
from riskml.runs.processes import alive, this_process

if TYPE_CHECKING:
    import polars
    from mlflow.entities import DatasetInput

PROCESS_TAG = "riskml.process"
INTERRUPTED_TAG = "riskml.interrupted"
PARENT_TAG, NOTE_TAG, CONTEXT_TAG = (
    "mlflow.parentRunId",
    "mlflow.note.content",
    "mlflow.data.context",
)
"""Names that MLflow's own page knows."""
PAGE = "http://127.0.0.1:5000"
"""Where `mlflow ui` answers unless it is told otherwise."""
DIGEST = 12
"""How many characters of a fingerprint tell one data set from another; MLflow takes 36."""
METRICS_AT_ONCE, PARAMETERS_AT_ONCE = 1000, 100
"""What MLflow takes in one request."""


class Tracker(Protocol):
    """Where a run tells what it does."""

    @property
    def run_id(self) -> str:
        """Of the run that is told of; empty where there is none."""
        ...

    def run(self, name: str, again: str = "") -> AbstractContextManager[None]:
        """The run, ended whatever happens; `again` goes on with an earlier one of this id."""
        ...

    def join(self, run_id: str) -> None:
        """Tell of a run that another process has begun and will end."""
        ...

    def child(
        self, name: str, tags: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Tracker]:
        """A run inside this one, ended whatever happens, with a tracker of its own."""
        ...

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Chosen settings."""
        ...

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers; undefined ones are left out."""
        ...

    def dataset(self, name: str, events: polars.DataFrame, fingerprint: str) -> None:
        """What the run, and each run right inside it from now on, learns from and is tested on."""
        ...

    def describe(self, text: str) -> None:
        """A description in Markdown."""
        ...

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """A file or a folder of files."""
        ...

    def register(self, bundle: Path, name: str, alias: str) -> str:
        """Put a bundle into the model registry, as of the run; gives its version."""
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
    def child(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Tracker]:
        """Nobody is told of a run inside either."""
        yield self

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Nothing."""

    def dataset(self, name: str, events: polars.DataFrame, fingerprint: str) -> None:
        """Nothing."""

    def describe(self, text: str) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Nothing."""

    def register(self, bundle: Path, name: str, alias: str) -> str:
        """Refuse: the registry is MLflow's.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"register={name} needs an MLflow store: choose logger=mlflow")

    def page(self) -> str:
        """Nothing to look at."""
        return "not tracked (logger=none)"


class MLflowTracker:
    """Writes to an MLflow store.

    Args:
        tracking_uri: of the store, absolute, so that it is the same from every folder.
        artifact_location: folder or URI for files of a new experiment; None: where the store says.
        experiment: its name.
    """

    def __init__(self, tracking_uri: str, artifact_location: str | None, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_location = artifact_location
        self.experiment = experiment
        self._run_id = self._experiment = ""
        self._inputs: list[DatasetInput] = []

    @property
    def run_id(self) -> str:
        """Of the run that is told of; empty before it."""
        return self._run_id

    @contextmanager
    def run(self, name: str, again: str = "") -> Iterator[None]:
        """Start a run; end it FINISHED, FAILED on an error, FINISHED and tagged on Ctrl-C.

        Args:
            name: for people.
            again: id of an earlier run that is gone on with; where the store does not have it, a
                new one is begun.
        """
        self.join("")
        self._end_abandoned(self._experiment)
        with self._started(name, {}, again):
            yield

    def join(self, run_id: str) -> None:
        """Tell of a run that another process has begun and will end."""
        self._client = connect(self.tracking_uri)
        self._experiment = experiment_id(self._client, self.experiment, self.artifact_location)
        self._run_id = run_id

    @contextmanager
    def child(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Tracker]:
        """Start a run inside this one; it ends as `run` does, children of children too.

        Args:
            name: of it.
            tags: to find it by.
        """
        inside = MLflowTracker(self.tracking_uri, self.artifact_location, self.experiment)
        inside._client, inside._experiment = self._client, self._experiment
        with inside._started(name, {PARENT_TAG: self._run_id, **(tags or {})}):
            if self._inputs:
                inside._client.log_inputs(inside._run_id, datasets=self._inputs)
            yield inside

    @contextmanager
    def _started(self, name: str, tags: Mapping[str, str], again: str = "") -> Iterator[None]:
        tags = {PROCESS_TAG: this_process(), **tags}
        if again and self._revived(again):
            self._run_id = again
        else:
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
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

    def _revived(self, run_id: str) -> bool:
        """Take up an earlier run again; False where the store has none of this id."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        self._client.set_tag(run_id, PROCESS_TAG, this_process())
        return True

    def _end_abandoned(self, experiment: str) -> None:
        """Runs of killed processes of this machine cannot end themselves: end them as FAILED."""
        running = self._client.search_runs([experiment], "attributes.status = 'RUNNING'")
        for run in running:
            host, _, process = run.data.tags.get(PROCESS_TAG, "").rpartition(":")
            ours = host == socket.gethostname() and process.isdigit()
            if ours and not alive(int(process)):
                self._client.set_terminated(run.info.run_id, "FAILED")

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log chosen settings, many in one request: each costs a transaction."""
        from mlflow.entities import Param

        chosen = [Param(name, str(value)) for name, value in values.items()]
        for start in range(0, len(chosen), PARAMETERS_AT_ONCE):
            some = chosen[start : start + PARAMETERS_AT_ONCE]
            self._client.log_batch(self._run_id, params=some)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers, many in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        defined = [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if value is not None
        ]
        for start in range(0, len(defined), METRICS_AT_ONCE):
            some = defined[start : start + METRICS_AT_ONCE]
            self._client.log_batch(self._run_id, metrics=some)

    def dataset(self, name: str, events: polars.DataFrame, fingerprint: str) -> None:
        """Log name, short fingerprint, columns and number of events; no values."""
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.polars_dataset import from_polars
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow by itself would note the user and the script as the source
        source = CodeDatasetSource({"fingerprint": fingerprint})
        described = from_polars(events, source, name=name, digest=fingerprint[:DIGEST])
        context = InputTag(CONTEXT_TAG, "train, test")  # one data set can have one only
        self._inputs.append(DatasetInput(Dataset(**described.to_dict()), [context]))
        self._client.log_inputs(self._run_id, datasets=self._inputs[-1:])

    def describe(self, text: str) -> None:
        """Set the description that MLflow's page shows."""
        self._client.set_tag(self._run_id, NOTE_TAG, text)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or all files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self._run_id, str(path), folder)
        else:
            self._client.log_artifact(self._run_id, str(path), folder)

    def register(self, bundle: Path, name: str, alias: str) -> str:
        """Put a bundle into the model registry, as of the run; gives its version.

        Raises:
            ConfigError: MLflow refuses the name.
        """
        made = Registry(self.tracking_uri).register(bundle, name, alias, self._run_id)
        return made.version

    def page(self) -> str:
        """The address of the page, and the command before it where no server is running."""
        # MLflow opens on traces of language models unless the address says what is looked for
        path = f"/#/experiments/{self._experiment}/runs?workflowType=machine_learning"
        if self.tracking_uri.startswith(("http://", "https://")):
            return self.tracking_uri.rstrip("/") + path
        return (
            f"mlflow ui --backend-store-uri {self.tracking_uri}\n"
            f"            {PAGE}{path if self._experiment else ''}"
        )
