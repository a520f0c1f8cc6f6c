"""The one way to an MLflow store: quiet, and telling nobody."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SQLITE = "sqlite:///"


def connect(tracking_uri: str) -> MlflowClient:
    """A client; a store in a file that is not there yet is made.

    Args:
        tracking_uri: of the store.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
    """
    # MLflow tells its makers how it is used unless it is asked not to before it is imported
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # heavy: only where a store is really looked at
    from mlflow.tracking import MlflowClient

    for noisy in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if tracking_uri.startswith(SQLITE):
        Path(tracking_uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri)


def told_uri() -> str | None:
    """The store that MLflow was told of in this process or its environment.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    return str(mlflow.get_tracking_uri()) if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]


def experiment_id(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    """Of an experiment, made where it is not there yet.

    Args:
        client: of the store.
        name: of the experiment.
        artifact_location: folder or URI for files of a new one; None: where the store says.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=artifact_location))


@contextmanager
def asking(what: str) -> Iterator[None]:
    """What MLflow refuses is one line for people.

    Args:
        what: was asked for, to begin the line.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{what}: {reason}") from error
