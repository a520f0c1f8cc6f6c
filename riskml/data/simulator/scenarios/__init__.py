"""The attacks, each a small class in a file of its own; ``register`` adds another one."""

from __future__ import annotations

from riskml.core.errors import ConfigError, did_you_mean
from riskml.data.simulator.scenarios.account_takeover import AccountTakeover
from riskml.data.simulator.scenarios.base import AttackDay, Incident, Scenario
from riskml.data.simulator.scenarios.credential_stuffing import CredentialStuffing
from riskml.data.simulator.scenarios.dormant_account import DormantAccount
from riskml.data.simulator.scenarios.hoarding_before_resignation import HoardingBeforeResignation
from riskml.data.simulator.scenarios.lateral_movement import LateralMovement
from riskml.data.simulator.scenarios.mimicry import Mimicry
from riskml.data.simulator.scenarios.off_hours_exfiltration import OffHoursExfiltration
from riskml.data.simulator.scenarios.privilege_abuse import PrivilegeAbuse
from riskml.data.simulator.scenarios.slow_leak import SlowLeak

__all__ = ["AttackDay", "Incident", "Scenario", "register", "scenario_named"]

_SCENARIOS: dict[str, Scenario] = {}


def register(scenario: type[Scenario]) -> type[Scenario]:
    """Make a scenario known by its name; use it as a class decorator.

    Worker processes know only what is registered on import, so a scenario that is registered
    elsewhere needs ``workers=1``.

    Raises:
        ConfigError: if another class already has the name.
    """
    known = _SCENARIOS.get(scenario.name)
    if known is not None and type(known) is not scenario:
        raise ConfigError(f"scenarios: the name {scenario.name!r} is taken; give the class another")
    _SCENARIOS[scenario.name] = scenario()
    return scenario


def scenario_named(name: str) -> Scenario:
    """Return a scenario by its name.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in _SCENARIOS:
        hint = did_you_mean(name, _SCENARIOS)
        raise ConfigError(f"scenarios: there is no scenario {name!r}; {hint}")
    return _SCENARIOS[name]


for _scenario in (
    OffHoursExfiltration,
    AccountTakeover,
    PrivilegeAbuse,
    LateralMovement,
    SlowLeak,
    HoardingBeforeResignation,
    CredentialStuffing,
    Mimicry,
    DormantAccount,
):
    register(_scenario)
