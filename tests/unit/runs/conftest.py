"""An MLflow store; making its database takes seconds: one for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from riskml.runs.tracking import MLflowTracker


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "deep" / "down"


@pytest.fixture
def tracker(store: Path, request: pytest.FixtureRequest) -> MLflowTracker:
    """Writes to an experiment of its own."""
    return MLflowTracker(
        f"sqlite:///{store}/mlflow.db", str(store / "files"), str(request.node.name)
    )
