"""Who works here: roles, teams, managers, time zones, habits, joiners and leavers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.almanac import TIME_ZONE_SHARES, TIME_ZONES
from riskml.data.simulator.randomness import Flags, Floats, Integers, generator
from riskml.data.simulator.roles import ROLES, SERVICE_ROLE
from riskml.data.simulator.settings import SimulationSettings
from riskml.data.simulator.vocabulary import ACTION_CODE, ACTION_NAMES

NEVER = 1_000_000
"""A day that does not come."""
ALWAYS = -NEVER
"""A day long before the log begins."""

TEAM_SIZE = 8
_RARE_ACTIONS = (
    "usb_connect",
    "usb_copy",
    "privilege_change",
    "db_export",
    "upload",
    "remote_logon",
    "admin_command",
    "share_change",
    "file_delete",
)


@dataclass(frozen=True)
class People:
    """One entry per account in each array.

    Attributes:
        role: index into ``ROLES`` on day 0.
        role_after: the role after ``move_day``.
        move_day: day of a role move, or ``NEVER``.
        team: team number; teams are of one role and one time zone where possible.
        manager: account index of the manager, or -1.
        zone: index into ``TIME_ZONES``.
        joined: first day, or ``ALWAYS`` for those who were there before the log begins.
        left: the day from which the account is no longer used, or ``NEVER``.
        leave_from, leave_until: one long absence, such as parental leave.
        service: whether the account is a machine.
        start_hour, work_hours: the personal working day, local hours.
        pace: multiplier of the role's daily events.
        weekend_rate: chance to be active on a day off.
        home_rate: chance to work from home.
        on_call: whether the person takes turns on call.
        curiosity: multiplier of the share of events outside the usual resources.
        taste: log-scale preference for each action: [users, actions].
    """

    role: Integers
    role_after: Integers
    move_day: Integers
    team: Integers
    manager: Integers
    zone: Integers
    joined: Integers
    left: Integers
    leave_from: Integers
    leave_until: Integers
    service: Flags
    start_hour: Floats
    work_hours: Floats
    pace: Floats
    weekend_rate: Floats
    home_rate: Floats
    on_call: Flags
    curiosity: Floats
    taste: Floats

    @property
    def count(self) -> int:
        """Number of accounts."""
        return len(self.role)

    def role_on(self, day: int) -> Integers:
        """Return everybody's role index on a day."""
        return np.where(day >= self.move_day, self.role_after, self.role)

    def employed(self, day: int) -> Flags:
        """Return who may be active on a day: joined, not left and not on a long leave."""
        away = (self.leave_from <= day) & (day < self.leave_until)
        return np.asarray((self.joined <= day) & (day < self.left) & ~away)


def account_names(count: int) -> list[str]:
    """Return the ``user_id`` of every account."""
    return [f"u{index:05d}" for index in range(count)]


def make_people(settings: SimulationSettings) -> People:
    """Draw the staff of a world."""
    draw = generator(settings.seed, "people")
    users = settings.users
    machines = round(users * settings.service_share)
    service = np.zeros(users, dtype=np.bool_)
    service[draw.permutation(users)[:machines]] = True

    shares = np.array([role.share for role in ROLES])
    role = draw.choice(len(ROLES), users, p=shares / shares.sum())
    # Every human role exists, however small the world.
    humans = np.flatnonzero(~service)
    role[humans[:SERVICE_ROLE]] = np.arange(SERVICE_ROLE)[: len(humans)]
    role[service] = SERVICE_ROLE
    zone = draw.choice(len(TIME_ZONES), users, p=TIME_ZONE_SHARES)
    team, manager = _teams(role, zone, service, draw)

    joined = np.where(draw.random(users) < 0.05, draw.integers(1, settings.days, users), ALWAYS)
    left = np.where(draw.random(users) < 0.05, draw.integers(10, settings.days, users), NEVER)
    left = np.where((left <= joined + 20) | service, NEVER, left)
    joined = np.where(service, ALWAYS, joined)
    move_day = np.where(
        (draw.random(users) < 0.04) & ~service, draw.integers(5, settings.days, users), NEVER
    )
    other = draw.choice(len(ROLES), users, p=shares / shares.sum())
    absent = (draw.random(users) < 0.05) & ~service
    leave_from = np.where(absent, draw.integers(-20, settings.days, users), NEVER)
    leave_until = leave_from + draw.integers(25, 70, users)

    taste = draw.normal(0.0, 0.30, (users, len(ACTION_NAMES)))
    rare = [ACTION_CODE[name] for name in _RARE_ACTIONS]
    taste[:, rare] *= 2.0
    taste[service] *= 0.5
    # A few people use memory sticks as a habit.
    habit = draw.random(users) < 0.10
    taste[habit, ACTION_CODE["usb_connect"]] += 2.0

    role_start = np.array([item.start_hour for item in ROLES])[role]
    on_call_share = np.array([item.on_call for item in ROLES])[role]
    return People(
        role=role,
        role_after=np.where(move_day < NEVER, other, role),
        move_day=move_day,
        team=team,
        manager=manager,
        zone=zone,
        joined=joined,
        left=left,
        leave_from=leave_from,
        leave_until=leave_until,
        service=service,
        start_hour=np.where(service, role_start, role_start + draw.normal(0.0, 0.8, users)),
        work_hours=np.where(service, 22.0, np.clip(draw.normal(8.6, 0.9, users), 4.5, 11.5)),
        pace=draw.lognormal(0.0, 0.35, users),
        weekend_rate=np.where(service, 1.0, np.clip(draw.gamma(1.6, 0.05, users), 0.0, 0.6)),
        home_rate=np.where(service, 0.0, draw.beta(1.5, 2.5, users)),
        on_call=draw.random(users) < on_call_share,
        curiosity=draw.lognormal(-0.1, 0.55, users),
        taste=taste,
    )


def _teams(
    role: Integers, zone: Integers, service: Flags, draw: np.random.Generator
) -> tuple[Integers, Integers]:
    """Group people of a role (and a zone, as far as it goes) and give each team a head."""
    team = np.full(len(role), -1, dtype=np.int64)
    manager = np.full(len(role), -1, dtype=np.int64)
    executive = [item.name for item in ROLES].index("executive")
    chiefs = np.flatnonzero((role == executive) & ~service)
    number = 0
    for code in np.unique(role):
        members = np.flatnonzero(role == code)
        members = members[np.argsort(zone[members], kind="stable")]
        for start in range(0, len(members), TEAM_SIZE):
            group = members[start : start + TEAM_SIZE]
            head = int(draw.choice(group))
            team[group] = number
            manager[group] = head
            manager[head] = int(draw.choice(chiefs)) if len(chiefs) else -1
            number += 1
    manager[manager == np.arange(len(role))] = -1
    return team, manager
