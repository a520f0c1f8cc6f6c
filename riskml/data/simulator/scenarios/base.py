"""What an attack is: a small class that says when it acts and what it does on a day."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.day_state import HOUR
from riskml.data.simulator.randomness import Integers, hashed_uniform
from riskml.data.simulator.resources import USUAL

_SATURATION = 0.5
_OPENLY, _MOST_FAMILIAR = 1.15, 0.6


@dataclass(frozen=True)
class Incident:
    """One account's part in an attack, as planned.

    Attributes:
        number: index among the world's incidents.
        scenario: name of the scenario.
        user: account index of the victim or the insider.
        days: indices of the local days on which it acts, ascending.
        campaign: what incidents of one attacker share, such as the device.
        ordinal: place among the campaign's accounts, from 0.
        boldness: how much stronger than the typical one it is; multiplies the effect size.
        controls: account indices of matched users to whom nothing happens.
    """

    number: int
    scenario: str
    user: int
    days: tuple[int, ...]
    campaign: int
    ordinal: int
    boldness: float
    controls: tuple[int, ...]


class AttackDay:
    """One day of an incident: who, when and the brush to paint with.

    Args:
        incident: the incident.
        canvas: the day's canvas, with the incident's own generator.
        effect_size: m; amounts are multiplied by it and by the incident's boldness.
        phases: names of the scenario's phases.
    """

    def __init__(
        self, incident: Incident, canvas: Canvas, effect_size: float, phases: tuple[str, ...]
    ) -> None:
        """Bind the brush to the incident."""
        self.incident = incident
        self.canvas = canvas
        self.draw = canvas.draw
        self.effect_size = effect_size * incident.boldness
        self.phases = phases
        self.user = np.array([incident.user])
        self.step = incident.days.index(canvas.state.day)
        self.progress = self.step / max(len(incident.days) - 1, 1)
        endpoints = canvas.state.plan.endpoints
        # Strangers' codes above 3,000 are never noise, but private computers may have them too.
        moves = self.step if incident.campaign % 2 else 0
        number = 3_000 + (incident.campaign * 61 + 17 + 7 * moves) % 1_000
        self.foreign_device = int(endpoints.stranger(number))
        self.foreign_address = int(endpoints.stranger(number))
        # The stealthy often work through the victim's own computer.
        through = hashed_uniform(canvas.state.plan.settings.seed, "through", incident.number)
        if through < min(_OPENLY - self.effect_size, _MOST_FAMILIAR):
            self.foreign_device = int(canvas.state.device[incident.user])
            self.foreign_address = int(canvas.state.address[incident.user])

    def chance(self, share: float) -> bool:
        """Return true with the given chance at m = 1 and boldness 1, oftener at higher ones."""
        return bool(self.draw.random() < min(share * self.effect_size, 0.97))

    def amount(self, typical: float, least: int = 0) -> int:
        """Return a random number of events: Poisson about ``typical`` × effect size.

        Above 1 the effect saturates: the bold do more kinds of things rather than more of each.
        """
        strength = self.effect_size
        if strength > 1.0:
            strength **= _SATURATION
        return max(int(self.draw.poisson(typical * strength)), least)

    def during_work(self, minutes: float = 60.0) -> float:
        """Return a time of the working day, in seconds after local midnight."""
        return float(self.canvas.during_work(self.user, minutes)[0])

    def after_work(self, earliest: float = 1.0, latest: float = 5.0) -> float:
        """Return a time some hours after the working day, in seconds after local midnight."""
        return float(self.canvas.after_work(self.user, earliest, latest)[0])

    def utc(self, hour: float) -> float:
        """Return an hour of the UTC day as seconds after the user's local midnight."""
        plan, day = self.canvas.state.plan, self.canvas.state.day
        return hour * HOUR + float(plan.almanac.utc_offset[plan.people.zone[self.user[0]], day])

    def colleagues_device(self) -> int:
        """Return the code of somebody's computer."""
        return int(self.canvas.state.device[self.draw.integers(len(self.canvas.state.device))])

    def do(
        self,
        action: str,
        amount: int,
        phase: str,
        at: float,
        minutes: float = 20.0,
        *,
        reach: tuple[float, float, float] = USUAL,
        resources: Integers | None = None,
        foreign: bool = False,
        device: int | None = None,
        success: bool | None = None,
        size: float = 1.0,
    ) -> None:
        """Add events of one action.

        Args:
            action: name of the action.
            amount: number of events (see ``amount``).
            phase: one of the scenario's phases.
            at: seconds after local midnight of the earliest event.
            minutes: length of the stretch over which they spread.
            reach: shares of personal, role and organisation resources.
            resources: codes to choose from instead.
            foreign: from the attacker's device and address instead of the user's.
            device: code of the device, if it is another one.
            success: outcome; by default they fail as often as usual.
            size: multiplier of the bytes.
        """
        self.canvas.paint(
            action,
            self.user,
            amount,
            at,
            minutes,
            reach=reach,
            resources=resources,
            device=self.foreign_device if foreign else device,
            address=self.foreign_address if foreign else None,
            success=success,
            size=size,
            incident=self.incident.number,
            phase=self.phases.index(phase),
        )

    def sometimes(
        self,
        phase: str,
        at: float,
        minutes: float = 40.0,
        *,
        foreign: bool = False,
        **chances: float,
    ) -> None:
        """Add a few events of rarer actions, each with a chance of its own.

        Args:
            phase: one of the scenario's phases.
            at: seconds after local midnight of the earliest event.
            minutes: length of the stretch over which they spread.
            foreign: from the attacker's device and address instead of the user's.
            chances: the chance of each action at m = 1 and boldness 1, by the action's name.
        """
        for action, chance in chances.items():
            if self.chance(chance):
                self.do(action, self.amount(1.5, 1), phase, at, minutes, foreign=foreign)

    def work(
        self,
        amount: int,
        phase: str,
        at: float,
        minutes_apart: float = 2.0,
        *,
        foreign_device: bool = False,
        foreign_address: bool = False,
    ) -> None:
        """Add a session in the user's own grammar, logon to logoff."""
        self.canvas.work(
            self.user,
            amount,
            at,
            minutes_apart,
            device=np.array([self.foreign_device]) if foreign_device else None,
            address=np.array([self.foreign_address]) if foreign_address else None,
            incident=self.incident.number,
            phase=self.phases.index(phase),
        )

    def sensitive(self, kind: str, least: int = 2) -> Integers:
        """Return the codes of sensitive resources of a kind."""
        return self.canvas.sensitive(kind, least)


class Scenario(ABC):
    """One kind of attack.

    Attributes:
        name: the word in ``incidents.parquet``.
        phases: names of its phases, in order.
        touches: the user-day features that it raises, for people who read the truth.
        accounts: least and most accounts of one attack.
        quiet_days: whether it acts on days on which the user is not active.
        leaves_after: whether the user leaves the organisation soon after.
        silent_before: days without any activity that it needs before it acts.
        weight: its share of the attacked user-days, relative to the others.
    """

    name: ClassVar[str]
    phases: ClassVar[tuple[str, ...]]
    touches: ClassVar[tuple[str, ...]]
    accounts: ClassVar[tuple[int, int]] = (1, 1)
    quiet_days: ClassVar[bool] = False
    leaves_after: ClassVar[bool] = False
    silent_before: ClassVar[int] = 0
    weight: ClassVar[float] = 1.0

    @abstractmethod
    def length(self, draw: np.random.Generator) -> int:
        """Return on how many of the user's days it acts."""

    @abstractmethod
    def act(self, day: AttackDay) -> None:
        """Add the attack's events of one day."""
