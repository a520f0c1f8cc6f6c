"""Which attacks happen to whom and when, and who serves as their controls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from riskml.data.simulator.people import People
from riskml.data.simulator.plan import Plan
from riskml.data.simulator.randomness import Flags, Integers, generator
from riskml.data.simulator.scenarios import Incident, Scenario, scenario_named

_CONTROLS = 3
_KNOWN_BEFORE = 20
_SKIP_A_DAY = 0.25
_ROUNDS = 400


@dataclass(frozen=True)
class Attacks:
    """The incidents of a world and the plan in which they happen.

    Attributes:
        plan: the plan, in which some attackers leave and some accounts lie dormant.
        incidents: every incident.
        by_day: the incidents that act on each local day.
    """

    plan: Plan
    incidents: tuple[Incident, ...]
    by_day: dict[int, tuple[Incident, ...]]


def plan_attacks(plan: Plan) -> Attacks:
    """Choose attacks until the wanted share of user-days holds some."""
    settings = plan.settings
    scenarios = [scenario_named(name) for name in settings.all_scenarios]
    planner = _Planner(plan)
    test = settings.days - settings.test_days
    # The last day is left out: what spills over its midnight would be cut off.
    planner.fill(scenarios, test, settings.days - 1, settings.positive_rate, "test")
    if settings.train_contamination > 0:
        planner.fill(scenarios, _KNOWN_BEFORE, test, settings.train_contamination, "train")
    incidents = planner.with_controls()
    by_day: dict[int, list[Incident]] = {}
    for incident in incidents:
        for day in incident.days:
            by_day.setdefault(day, []).append(incident)
    people = replace(plan.people, left=planner.left)
    return Attacks(
        plan=replace(plan, people=people, active=planner.active),
        incidents=incidents,
        by_day={day: tuple(found) for day, found in by_day.items()},
    )


class _Planner:
    """Takes attacks one by one, each account once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.draw = generator(plan.settings.seed, "incidents")
        self.active = plan.active.copy()
        self.left = plan.people.left.copy()
        self.free: Flags = ~plan.people.service
        self.incidents: list[Incident] = []
        self.campaigns = 0

    def fill(
        self, scenarios: list[Scenario], first: int, until: int, rate: float, period: str
    ) -> None:
        """Plan attacks on the days ``first`` … ``until - 1`` up to the wanted share."""
        budget = rate * float(self.active[:, first:until].sum())
        spent = 0
        queue: list[Scenario] = []
        for _ in range(_ROUNDS if scenarios else 0):
            if not queue:
                queue = self._round(scenarios)
            scenario = queue.pop()
            planned = self._attack(scenario, first, until, budget - spent)
            spent += planned
            if spent >= budget - 1:
                break

    def _round(self, scenarios: list[Scenario]) -> list[Scenario]:
        """Return the scenarios in a random order, the rarer ones not every time."""
        order = [scenarios[i] for i in self.draw.permutation(len(scenarios))]
        return [item for item in order if self.draw.random() < item.weight]

    def _attack(self, scenario: Scenario, first: int, until: int, room: float) -> int:
        """Plan one attack if it fits, and return its number of user-days."""
        length = scenario.length(self.draw)
        least, most = scenario.accounts
        accounts = int(self.draw.integers(least, most + 1))
        if length * accounts > room + 1:
            return 0
        start = int(self.draw.integers(first, until))
        chosen: list[tuple[int, tuple[int, ...]]] = []
        for user in self.draw.permutation(np.flatnonzero(self._candidates(scenario, start))):
            days = self._days(scenario, int(user), start, until, length)
            if len(days) == length:
                chosen.append((int(user), days))
            if len(chosen) == accounts:
                break
        if len(chosen) < accounts:
            return 0
        for ordinal, (user, days) in enumerate(chosen):
            self._commit(scenario, user, days, ordinal)
        self.campaigns += 1
        return length * accounts

    def _candidates(self, scenario: Scenario, start: int) -> Flags:
        people = self.plan.people
        known = people.joined <= start - _KNOWN_BEFORE - scenario.silent_before
        return np.asarray(self.free & known & (start < self.left))

    def _days(
        self, scenario: Scenario, user: int, start: int, until: int, length: int
    ) -> tuple[int, ...]:
        """Return the days on which the attack acts, fewer than ``length`` if it does not fit."""
        if scenario.quiet_days:
            working = self.plan.almanac.weekday < 5
            pool = [day for day in range(start, until) if working[day]]
        else:
            pool = [day for day in range(start, until) if self.active[user, day]]
        # An attack on one day hits those who are there on that day.
        if not pool or (scenario.accounts[1] > 1 and pool[0] != start):
            return ()
        days = [pool[0]]
        for day in pool[1:]:
            if len(days) < length and self.draw.random() >= _SKIP_A_DAY:
                days.append(day)
        return tuple(days)

    def _commit(
        self, scenario: Scenario, user: int, days: tuple[int, ...], ordinal: int
    ) -> None:
        self.free[user] = False
        if scenario.leaves_after:
            self.left[user] = days[-1] + int(self.draw.integers(1, 6))
            self.active[user, self.left[user] :] = False
        if scenario.silent_before:
            silence = scenario.silent_before + int(self.draw.integers(0, 30))
            self.active[user, max(days[0] - silence, 0) : days[-1] + 1] = False
        self.incidents.append(Incident(
            number=len(self.incidents), scenario=scenario.name, user=user, days=days,
            campaign=self.campaigns, ordinal=ordinal, controls=(),
        ))

    def with_controls(self) -> tuple[Incident, ...]:
        """Give each incident its controls: same role, nearest volume, never attacked."""
        return tuple(
            replace(incident, controls=tuple(int(user) for user in self._controls(incident)))
            for incident in self.incidents
        )

    def _controls(self, incident: Incident) -> Integers:
        people: People = self.plan.people
        first = incident.days[0]
        role = people.role_on(first)
        there = (people.joined <= first - _KNOWN_BEFORE) & (self.left > first)
        pool = np.flatnonzero(self.free & there & (role == role[incident.user]))
        if len(pool) < _CONTROLS:
            pool = np.flatnonzero(self.free & there)
        distance = np.abs(np.log(people.pace[pool] / people.pace[incident.user]))
        return np.sort(pool[np.argsort(distance, kind="stable")[:_CONTROLS]])
