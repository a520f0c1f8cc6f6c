"""The simulated organisation as a source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

import riskml.data.simulated
from riskml.data.simulated import SimulatedSource

MAKE = riskml.data.simulated.simulate


def test_a_world_that_several_want_at_once_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def slowly(*given: object) -> Path:
        made.append(given[1])
        sleep(0.2)
        return MAKE(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(riskml.data.simulated, "simulate", slowly)

    def load(number: int) -> int:
        settings = {"test_days": 5, "positive_rate": 0.0, "train_contamination": 0.0}
        source = SimulatedSource(20, 16, "medium", 201, str(tmp_path / "cache"), **settings)
        return len(source.load().events)

    with ThreadPoolExecutor(3) as pool:
        lengths = list(pool.map(load, range(3)))
    assert len(made) == 1
    assert len(set(lengths)) == 1
    assert lengths[0] > 0
