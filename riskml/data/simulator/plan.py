"""The plan of a world: small user × day arrays, made before any event, from the settings alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskml.data.simulator.almanac import Almanac, make_almanac
from riskml.data.simulator.endpoints import Endpoints, make_endpoints
from riskml.data.simulator.mass_events import MassEvents, make_mass_events
from riskml.data.simulator.people import People, make_people
from riskml.data.simulator.randomness import Flags, Integers, generator
from riskml.data.simulator.resources import Resources, make_resources
from riskml.data.simulator.roles import ROLES
from riskml.data.simulator.settings import SimulationSettings

Singles = NDArray[np.float32]
Bytes = NDArray[np.int8]

_DRIFT = 0.012
_VACATION_RATE = 0.006
_SICK_RATE = 0.015
_ON_CALL_RATE = 0.06
_LAPTOP_RATE = 0.004
_TRAVEL_RATE = 0.004
_PROJECT_RATE = 0.010
_DAY_OFF_PACE = 0.45
_MONTH_END_ROLES = ("finance", "sales", "analyst")


@dataclass(frozen=True)
class Plan:
    """Everything about a world that is decided before its events.

    Arrays are [users, days].

    Attributes:
        active: who has ordinary events.
        day_off: weekend, holiday or vacation.
        volume: expected number of ordinary events.
        on_call: who has the night shift.
        laptop: how many times the computer has been replaced.
        journey: number of the journey that the user is on, or 0.
        project: how many projects the user has begun.
        new_laptop, new_project: first day with it.
    """

    settings: SimulationSettings
    almanac: Almanac
    people: People
    mass_events: MassEvents
    resources: Resources
    endpoints: Endpoints
    active: Flags
    day_off: Flags
    volume: Singles
    on_call: Flags
    laptop: Bytes
    journey: Bytes
    project: NDArray[np.int16]
    new_laptop: Flags
    new_project: Flags

    def projects_on(self, day: int) -> Integers:
        """Return how many projects everybody has begun by a day: [users]."""
        return self.project[:, day].astype(np.int64)


def make_plan(settings: SimulationSettings) -> Plan:
    """Make the plan of a world; the same settings give the same plan in any process."""
    almanac = make_almanac(settings.first_day, settings.days)
    people = make_people(settings)
    mass_events = make_mass_events(settings, almanac.weekday)
    shape = (people.count, settings.days)
    draw = generator(settings.seed, "plan")
    person = ~people.service[:, None]

    vacation = _spells(draw, shape, _VACATION_RATE, 3, 15) & person
    sick = _spells(draw, shape, _SICK_RATE, 1, 4) & person
    off = (almanac.weekday >= 5)[None, :] | almanac.holiday[people.zone] | vacation
    off &= person
    employed = np.stack([people.employed(day) for day in range(settings.days)], axis=1)
    active = employed & ~sick
    active &= ~off | (draw.random(shape, dtype=np.float32) < people.weekend_rate[:, None])
    # Some have no events at all on a working day: meetings, training, part time.
    active &= (draw.random(shape, dtype=np.float32) > 0.04) | ~person

    on_call = people.on_call[:, None] & (
        draw.random(shape, dtype=np.float32) < _ON_CALL_RATE / _on_call_share(people)
    )
    volume = _volume(settings, people, almanac, off, mass_events.outages, draw)

    scale = settings.confounder_scale
    new_laptop = active & person & (draw.random(shape) < _LAPTOP_RATE * scale)
    new_project = active & person & (draw.random(shape) < _PROJECT_RATE * scale)
    for day, choice in mass_events.reorganisations.items():
        teams = np.unique(people.team)
        picked = np.random.default_rng(choice).random(len(teams)) < 0.25
        new_project[:, day] |= np.isin(people.team, teams[picked]) & active[:, day]
    laptop = np.minimum(np.cumsum(new_laptop, axis=1, dtype=np.int16), 23).astype(np.int8)
    return Plan(
        settings=settings,
        almanac=almanac,
        people=people,
        mass_events=mass_events,
        resources=make_resources(settings.seed, settings.days, mass_events.migrations),
        endpoints=make_endpoints(settings.seed, people),
        active=active,
        day_off=off,
        volume=volume,
        on_call=on_call & employed & person,
        laptop=laptop,
        journey=_journeys(draw, shape, _TRAVEL_RATE * scale, person),
        project=np.cumsum(new_project, axis=1, dtype=np.int16),
        new_laptop=new_laptop,
        new_project=new_project,
    )


def _volume(
    settings: SimulationSettings,
    people: People,
    almanac: Almanac,
    off: Flags,
    outages: Iterable[int],
    draw: np.random.Generator,
) -> Singles:
    """Return the expected events of a day: role × person × drift × calendar."""
    pace = np.array([role.events_per_day for role in ROLES])
    month_end_role = np.array([role.name in _MONTH_END_ROLES for role in ROLES])
    steps = draw.standard_normal((people.count, settings.days), dtype=np.float32)
    volume = np.exp(_DRIFT * np.cumsum(steps, axis=1, dtype=np.float32))
    for day in range(settings.days):
        role = people.role_on(day)
        level = pace[role] * people.pace
        level *= np.where(month_end_role[role], 1.0 + 0.3 * almanac.month_end[day], 1.0)
        level *= np.where(off[:, day], _DAY_OFF_PACE, 1.0)
        volume[:, day] *= level.astype(np.float32)
    for day in outages:
        volume[:, day] *= 0.75
    return np.asarray(volume, dtype=np.float32)


def _spells(
    draw: np.random.Generator, shape: tuple[int, int], rate: float, least: int, most: int
) -> Flags:
    """Return spells of ``least`` … ``most - 1`` days that begin at ``rate`` a day."""
    flags = np.zeros(shape, dtype=np.bool_)
    users, days = np.nonzero(draw.random(shape, dtype=np.float32) < rate)
    lengths = draw.integers(least, most, len(users))
    for ahead in range(most - 1):
        here = (lengths > ahead) & (days + ahead < shape[1])
        flags[users[here], days[here] + ahead] = True
    return flags


def _journeys(
    draw: np.random.Generator, shape: tuple[int, int], rate: float, person: Flags
) -> Bytes:
    """Number every user's journeys; a day at home is 0."""
    starts = (draw.random(shape, dtype=np.float32) < rate) & person
    number = np.minimum(np.cumsum(starts, axis=1), 29).astype(np.int8)
    journey = np.zeros(shape, dtype=np.int8)
    users, days = np.nonzero(starts)
    lengths = draw.integers(1, 5, len(users))
    for ahead in range(4):
        here = (lengths > ahead) & (days + ahead < shape[1])
        journey[users[here], days[here] + ahead] = number[users[here], days[here]]
    return journey


def _on_call_share(people: People) -> float:
    return max(float(people.on_call.mean()), _ON_CALL_RATE)
