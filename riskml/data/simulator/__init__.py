"""The simulated organisation: an audit log whose whole truth is known."""

from riskml.data.simulator.settings import (
    DIFFICULTY,
    RESERVED_SCENARIOS,
    SIMULATOR_VERSION,
    STANDARD_SCENARIOS,
    SimulationSettings,
    settings_digest,
)
from riskml.data.simulator.world import WORLD_FILE, simulate

__all__ = [
    "DIFFICULTY",
    "RESERVED_SCENARIOS",
    "SIMULATOR_VERSION",
    "STANDARD_SCENARIOS",
    "WORLD_FILE",
    "SimulationSettings",
    "settings_digest",
    "simulate",
]
