"""Small worlds, made once for all the simulator's tests."""

from pathlib import Path

import pytest

from riskml.data.simulator import SimulationSettings, simulate
from riskml.data.simulator.acceptance_features import UserDays, user_days

SMALL = SimulationSettings(users=60, days=45, test_days=15, positive_rate=0.03, seed=3)
JUDGED = tuple(
    SimulationSettings(users=170, days=80, test_days=35, seed=seed) for seed in (0, 1, 2)
)


@pytest.fixture(scope="session")
def small_settings() -> SimulationSettings:
    return SMALL


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def judged_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [simulate(settings, tmp_path_factory.mktemp("judged")) for settings in JUDGED]


@pytest.fixture(scope="session")
def judged(judged_folders: list[Path]) -> list[UserDays]:
    return [user_days(folder) for folder in judged_folders]
