"""What happens to many people on the same day: reorganisations, migrations and outages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.randomness import Integers, generator
from riskml.data.simulator.settings import SimulationSettings
from riskml.data.simulator.vocabulary import RESOURCE_KINDS

_MOVABLE = tuple(RESOURCE_KINDS.index(kind) for kind in ("file", "table", "repository", "host"))
_SPACING = 15


@dataclass(frozen=True)
class MassEvents:
    """The mass events of a world.

    Attributes:
        reorganisations: day → seed of the choice of teams that change their projects.
        migrations: day → kind of resource of which a third is renamed.
        outages: day → (first local hour, last local hour) of failing systems.
    """

    reorganisations: dict[int, int]
    migrations: dict[int, int]
    outages: dict[int, tuple[float, float]]


def make_mass_events(settings: SimulationSettings, weekday: Integers) -> MassEvents:
    """Spread mass events over the world, about one every two weeks, on working days."""
    events = MassEvents({}, {}, {})
    if not settings.mass_events:
        return events
    draw = generator(settings.seed, "mass events")
    kinds: list[int] = []
    for start in range(0, settings.days, _SPACING):
        days = np.arange(start, min(start + _SPACING, settings.days))
        days = days[weekday[days] < 5]
        if not len(days):
            continue
        if not kinds:
            kinds = [int(kind) for kind in draw.permutation(3)]
        day, kind = int(draw.choice(days)), kinds.pop()
        if kind == 0:
            events.reorganisations[day] = int(draw.integers(1 << 30))
        elif kind == 1:
            events.migrations[day] = int(draw.choice(_MOVABLE))
        else:
            first = float(draw.uniform(8.0, 15.0))
            events.outages[day] = (first, first + float(draw.uniform(0.7, 2.5)))
    return events
