"""Each deep detector, fitted once."""

from __future__ import annotations

import pytest
from made_windows import DEEP, make_windows

from riskml.core.types import Windows
from riskml.models.deep import DeepDetector


@pytest.fixture(scope="session")
def windows() -> Windows:
    return make_windows()


@pytest.fixture(scope="session")
def fitted_all(windows: Windows) -> dict[str, DeepDetector]:
    later = make_windows(seed=1, each=8)
    return {name: make().fit(windows, later) for name, make in DEEP.items()}


@pytest.fixture(params=list(DEEP))
def fitted(request: pytest.FixtureRequest, fitted_all: dict[str, DeepDetector]) -> DeepDetector:
    return fitted_all[request.param]
