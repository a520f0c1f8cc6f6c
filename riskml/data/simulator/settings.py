"""The settings of a simulated world, and their digest for caches."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from riskml.core.errors import ConfigError

SIMULATOR_VERSION = "1.2.0"
"""Raise it with every change that alters the bytes of a world: caches are keyed by it."""

DIFFICULTY = {"easy": -1.0, "medium": 0.0, "hard": 0.5}

STANDARD_SCENARIOS = (
    "off_hours_exfiltration",
    "account_takeover",
    "privilege_abuse",
    "lateral_movement",
    "slow_leak",
    "hoarding_before_resignation",
    "credential_stuffing",
)
RESERVED_SCENARIOS = ("mimicry", "dormant_account")


@dataclass(frozen=True)
class SimulationSettings:
    """Everything that decides a world; two equal settings give identical bytes.

    Attributes:
        users: accounts in the organisation, service accounts included; 20 to 20,000.
        days: length in days, at least 14.
        tier: how strong the attacks are: ``easy``, ``medium`` or ``hard``.
        seed: any whole number from 0.
        start: first day, ISO date; the log begins at 00:00 UTC.
        test_days: the last days, in which attacks are measured.
        scenarios: the attacks that happen.
        reserved_scenarios: attacks that happen too, but that nobody should tune on.
        positive_rate: share of the test period's user-days that hold an attack event.
        train_contamination: the same for the days before the test period.
        confounder_scale: multiplies the rate of every benign oddity; 0 turns them off.
        mass_events: whether reorganisations, migrations and outages happen.
        service_share: share of accounts that are machines.
        difficulty: overrides the tier's d; the attacks' effect size is 1 − d.

    Raises:
        ConfigError: if a value is out of range; the message names the setting and the remedy.
    """

    users: int = 300
    days: int = 120
    tier: str = "medium"
    seed: int = 0
    start: str = "2024-01-01"
    test_days: int = 40
    scenarios: tuple[str, ...] = STANDARD_SCENARIOS
    reserved_scenarios: tuple[str, ...] = RESERVED_SCENARIOS
    positive_rate: float = 0.0135
    train_contamination: float = 0.002
    confounder_scale: float = 1.0
    mass_events: bool = True
    service_share: float = 0.05
    difficulty: float | None = None

    def __post_init__(self) -> None:
        """Check every value; see the class for what is raised."""
        # Configuration files give lists; a frozen, hashable value needs tuples.
        object.__setattr__(self, "scenarios", tuple(self.scenarios))
        object.__setattr__(self, "reserved_scenarios", tuple(self.reserved_scenarios))
        _require(20 <= self.users <= 20_000, "users", self.users, "a number from 20 to 20000")
        _require(14 <= self.days <= 3_650, "days", self.days, "a number from 14 to 3650")
        _require(
            self.tier in DIFFICULTY, "tier", self.tier, "one of " + ", ".join(sorted(DIFFICULTY))
        )
        _require(self.seed >= 0, "seed", self.seed, "a whole number from 0")
        _require(
            1 <= self.test_days < self.days,
            "test_days",
            self.test_days,
            f"a number from 1 to {self.days - 1}, fewer than days",
        )
        _require(0 <= self.positive_rate <= 0.2, "positive_rate", self.positive_rate, "0 to 0.2")
        _require(
            0 <= self.train_contamination <= 0.2,
            "train_contamination",
            self.train_contamination,
            "0 to 0.2",
        )
        _require(
            0 <= self.confounder_scale <= 5, "confounder_scale", self.confounder_scale, "0 to 5"
        )
        _require(0 <= self.service_share <= 0.5, "service_share", self.service_share, "0 to 0.5")
        if self.difficulty is not None:
            _require(-4 <= self.difficulty <= 0.95, "difficulty", self.difficulty, "-4 to 0.95")
        try:
            date.fromisoformat(self.start)
        except ValueError as error:
            message = f"start={self.start!r} is no date; write it as 2024-01-01"
            raise ConfigError(message) from error

    @property
    def effect_size(self) -> float:
        """The multiplier m = 1 − d of what attackers do beyond normal activity."""
        d = DIFFICULTY[self.tier] if self.difficulty is None else self.difficulty
        return 1.0 - d

    @property
    def first_day(self) -> date:
        """The date of day 0."""
        return date.fromisoformat(self.start)

    @property
    def test_begins(self) -> date:
        """The first date of the test period."""
        return self.first_day + timedelta(days=self.days - self.test_days)

    @property
    def all_scenarios(self) -> tuple[str, ...]:
        """Names of every attack that happens, the reserved ones last."""
        return self.scenarios + self.reserved_scenarios

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def settings_digest(settings: SimulationSettings) -> str:
    """Return a short hash of the settings and of the simulator's version, for cache keys.

    >>> settings_digest(SimulationSettings()) == settings_digest(SimulationSettings(users=300))
    True
    """
    text = json.dumps({"version": SIMULATOR_VERSION, **settings.to_dict()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _require(holds: bool, setting: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{setting}={value!r} is out of range; give {wanted}")
