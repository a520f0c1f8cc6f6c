"""The one way to an MLflow store: quiet, and telling nobody."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SQLITE = "sqlite:///"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
REACH_S = 5.0


def connect(tracking_uri: str) -> MlflowClient:
    """A client; a store in a file that is not there yet is made.

    Args:
        tracking_uri: of the store.

    Raises:
        ConfigError: nobody answers at its address, or what is there is no store.
        ModuleNotFoundError: MLflow is not installed.
    """
    reach(tracking_uri)
    # MLflow tells its makers how it is used unless it is asked not to before it is imported
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # heavy: only where a store is really looked at
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if tracking_uri.startswith(SQLITE):
        Path(tracking_uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    with asking("the MLflow store"):
        try:
            return MlflowClient(tracking_uri)
        except SQLAlchemyError as error:  # its address may hold a password
            reason = str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
            raise ConfigError(
                f"the MLflow store cannot be used: {reason}; give another, such as "
                f"{SQLITE}outputs/mlflow.db"
            ) from error


def require_store(tracking_uri: str) -> None:
    """Refuse a store in a file that is not there: asking it would make it.

    Raises:
        ConfigError: there is no such file.
    """
    file = Path(tracking_uri.removeprefix(SQLITE).partition("?")[0])
    if tracking_uri.startswith(SQLITE) and not file.exists():
        raise ConfigError(
            f"there is no file {file} (the MLflow store): name the store that has the models by "
            "MLFLOW_TRACKING_URI or --store (`riskml registry register` makes one)"
        )


def reach(tracking_uri: str) -> None:
    """Ask once: MLflow itself tries for minutes before it gives up.

    Raises:
        ConfigError: nobody answers at its address.
    """
    try:
        parts = urlsplit(tracking_uri)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme.partition("+")[0])
    except ValueError as error:
        raise ConfigError(f"the MLflow store's address is no URL: {error}") from error
    proxied = parts.scheme in getproxies() and not proxy_bypass(host or "")
    if host is None or port is None or proxied:
        return
    try:
        socket.create_connection((host, port), REACH_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"the MLflow store at {host}, port {port} cannot be reached: {reason}"
        ) from error


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
def asking(what: str, remedy: str = "") -> Iterator[None]:
    """What MLflow refuses is one line for people.

    Args:
        what: was asked for, to begin the line.
        remedy: to end it.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{what}: {reason.rstrip('.')}{remedy and f'; {remedy}'}") from error
