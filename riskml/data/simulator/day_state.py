"""What holds on one day before anything happens: hours, devices, addresses, tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.endpoints import PER_USER
from riskml.data.simulator.plan import Plan
from riskml.data.simulator.randomness import Flags, Floats, Integers, generator
from riskml.data.simulator.resources import USUAL
from riskml.data.simulator.roles import mix_table
from riskml.data.simulator.vocabulary import ACTION_NAMES

HOUR = 3600.0
_KNOT_DAYS = 45
_TASTE_DRIFT = 0.22
_MIX = mix_table()


@dataclass(frozen=True)
class DayState:
    """One entry per account in each array.

    Attributes:
        plan: the world's plan.
        day: index of the local day.
        active: who has ordinary events.
        start, end: working day in seconds after local midnight.
        role: role index.
        project: number of projects begun.
        device: code of the usual device.
        address: code of the usual address (desk, home or journey).
        mix: weight of each action: [users, actions].
        reach: shares of personal, role and organisation resources: [users, 3].
    """

    plan: Plan
    day: int
    active: Flags
    start: Floats
    end: Floats
    role: Integers
    project: Integers
    device: Integers
    address: Integers
    mix: Floats
    reach: Floats


def make_day_state(plan: Plan, day: int) -> DayState:
    """Return what holds on a day."""
    people, seed = plan.people, plan.settings.seed
    draw = generator(seed, "day state", day)
    users = np.arange(people.count)
    off = plan.day_off[:, day]
    role = people.role_on(day)

    # Days off begin later and are shorter.
    start = people.start_hour + draw.normal(0.0, 0.45, people.count)
    start += off * draw.uniform(0.0, 4.0, people.count)
    hours = people.work_hours + draw.normal(0.0, 0.7, people.count)
    hours = np.where(off, 0.45 * hours, hours)
    start = np.where(people.service, 0.2, np.clip(start, 4.5, 16.0))

    home = draw.random(people.count) < np.where(off, 0.97, people.home_rate)
    journey = plan.journey[:, day].astype(np.int64)
    place = np.where(journey > 0, 1 + journey, np.where(home & ~people.service, 1, 0))
    # Some days one stays with what one knows, on others one looks around.
    curiosity = people.curiosity * draw.gamma(0.8, 1.0 / 0.8, people.count)
    role_share = np.minimum(USUAL[1] * np.sqrt(curiosity), 0.5)
    far_share = np.minimum(USUAL[2] * curiosity, 0.3)
    return DayState(
        plan=plan,
        day=day,
        active=plan.active[:, day],
        start=start * HOUR,
        end=(start + np.clip(hours, 1.5, 23.0)) * HOUR,
        role=role,
        project=plan.projects_on(day),
        device=users * PER_USER + plan.laptop[:, day],
        address=users * PER_USER + place,
        mix=_MIX[role] * np.exp(people.taste + _taste_drift(seed, day, people.count)),
        reach=np.stack([1.0 - role_share - far_share, role_share, far_share], axis=1),
    )


def _taste_drift(seed: int, day: int, users: int) -> Floats:
    """Return the slow change of tastes: knots every 45 days, straight lines between them."""
    knot, within = divmod(day, _KNOT_DAYS)
    shape = (users, len(ACTION_NAMES))
    before = generator(seed, "taste knot", knot).normal(0.0, _TASTE_DRIFT, shape)
    after = generator(seed, "taste knot", knot + 1).normal(0.0, _TASTE_DRIFT, shape)
    share = within / _KNOT_DAYS
    return np.asarray((1.0 - share) * before + share * after)
