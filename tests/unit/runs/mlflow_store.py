"""Looks into an MLflow store."""

from __future__ import annotations

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from riskml.runs.tracking import MLflowTracker


def client(tracker: MLflowTracker) -> MlflowClient:
    return MlflowClient(tracker.tracking_uri)


def runs(tracker: MLflowTracker) -> list[Run]:
    """Of the tracker's experiment, oldest first."""
    experiment = client(tracker).get_experiment_by_name(tracker.experiment)
    found = client(tracker).search_runs([experiment.experiment_id])
    return sorted(found, key=lambda run: run.info.start_time)
