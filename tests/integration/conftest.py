"""Planted anomalies, made once."""

from __future__ import annotations

import pytest
from planted import Planted, plant


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant()
