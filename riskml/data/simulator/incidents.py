"""Which attacks happen to whom and when, and who serves as their controls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from riskml.core.errors import ConfigError
from riskml.data.simulator.people import People
from riskml.data.simulator.plan import Plan
from riskml.data.simulator.randomness import Flags, Integers, generator
from riskml.data.simulator.scenarios import Incident, Scenario, scenario_named

_CONTROLS = 2
_KNOWN_BEFORE = 20
_SKIP_A_DAY = 0.25
_LEAST_TEST_DAYS = 3.0
_BOLDNESS_MEDIAN, _BOLDNESS_SPREAD, _BOLDNESS_RANGE = 1.3, 0.65, (0.35, 3.5)
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
    """Choose attacks until the wanted share of user-days holds some.

    Raises:
        ConfigError: if attacks are wanted and none of the scenarios fits into the test period.
    """
    settings = plan.settings
    scenarios = [scenario_named(name) for name in settings.all_scenarios]
    planner = _Planner(plan)
    test = settings.days - settings.test_days
    # The last day is left out: what spills over its midnight would be cut off.
    planner.fill(scenarios, test, settings.days - 1, settings.positive_rate, "test")
    if scenarios and settings.positive_rate > 0 and not planner.incidents:
        raise ConfigError(
            f"test_days={settings.test_days} leaves no room for an attack: none of "
            f"{', '.join(settings.all_scenarios)} fits into the test period and its share "
            f"positive_rate={settings.positive_rate:g} of {settings.users} users; give at least "
            "4 test days, more users, a higher positive_rate or shorter scenarios "
            "(positive_rate=0 makes a world without attacks)"
        )
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
        self.attacks_of: dict[str, int] = {}

    def fill(
        self, scenarios: list[Scenario], first: int, until: int, rate: float, period: str
    ) -> None:
        """Plan attacks on the days ``first`` … ``until - 1`` up to the wanted share."""
        if rate <= 0:
            return
        budget = rate * float(self.active[:, first:until].sum())
        if period == "test":
            # However small the world, there is something to find, or plan_attacks says why not.
            budget = max(budget, _LEAST_TEST_DAYS)
        spent = 0
        so_far = np.zeros(len(scenarios))
        weights = np.array([scenario.weight for scenario in scenarios])
        working = self._working_days(first, until)
        for _ in range(_ROUNDS if scenarios and len(working) else 0):
            # Mostly the scenario that lags behind its share, so that worlds resemble each other.
            lag = so_far / weights + budget / weights.sum() * self.draw.random(len(scenarios))
            chosen = int(np.argmin(lag))
            planned = self._attack(scenarios[chosen], working, until, budget - spent)
            so_far[chosen] += planned if planned else 0.05 * budget * weights[chosen]
            spent += planned
            if spent >= budget - 1:
                break

    def _attack(self, scenario: Scenario, starts: Integers, until: int, room: float) -> int:
        """Plan one attack if it fits, and return its number of user-days."""
        length = scenario.length(self.draw)
        least, most = scenario.accounts
        accounts = int(self.draw.integers(least, most + 1))
        if length * accounts > room + 1:
            return 0
        start = int(self.draw.choice(starts))
        chosen: list[tuple[int, tuple[int, ...]]] = []
        for user in self.draw.permutation(np.flatnonzero(self._candidates(scenario, start))):
            days = self._days(scenario, int(user), start, until, length)
            if len(days) == length:
                chosen.append((int(user), days))
            if len(chosen) == accounts:
                break
        if len(chosen) < accounts:
            return 0
        boldness = self._boldness(scenario)
        for ordinal, (user, days) in enumerate(chosen):
            self._commit(scenario, user, days, ordinal, boldness)
        self.campaigns += 1
        return length * accounts

    def _working_days(self, first: int, until: int) -> Integers:
        """Return the days on which an attack may begin.

        None begins at a weekend: who is there then differs in habits from the controls.
        """
        days = np.arange(min(first, until), until)
        return np.asarray(days[self.plan.almanac.weekday[days] < 5])

    def _boldness(self, scenario: Scenario) -> float:
        """Return log-normal boldness, a scenario's attacks in turn below and above the median."""
        earlier = self.attacks_of.get(scenario.name, int(self.draw.integers(2)))
        self.attacks_of[scenario.name] = earlier + 1
        size = abs(self.draw.standard_normal()) * (1 if earlier % 2 else -1)
        boldness = _BOLDNESS_MEDIAN * np.exp(_BOLDNESS_SPREAD * size)
        return float(np.clip(boldness, *_BOLDNESS_RANGE))

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
        # An attack on many accounts hits those who are there on that day.
        if not pool or (scenario.accounts[1] > 1 and pool[0] != start):
            return ()
        days = [pool[0]]
        for day in pool[1:]:
            if len(days) < length and self.draw.random() >= _SKIP_A_DAY:
                days.append(day)
        return tuple(days)

    def _commit(
        self,
        scenario: Scenario,
        user: int,
        days: tuple[int, ...],
        ordinal: int,
        boldness: float,
    ) -> None:
        self.free[user] = False
        if scenario.leaves_after:
            self.left[user] = days[-1] + int(self.draw.integers(1, 6))
            self.active[user, self.left[user] :] = False
        if scenario.silent_before:
            silence = scenario.silent_before + int(self.draw.integers(0, 30))
            self.active[user, max(days[0] - silence, 0) : days[-1] + 1] = False
        self.incidents.append(
            Incident(
                number=len(self.incidents),
                scenario=scenario.name,
                user=user,
                days=days,
                campaign=self.campaigns,
                ordinal=ordinal,
                boldness=boldness,
                controls=(),
            )
        )

    def with_controls(self) -> tuple[Incident, ...]:
        """Give each incident its controls: same role, nearest volume, never attacked."""
        found, taken = [], np.zeros(self.plan.people.count, dtype=np.bool_)
        for incident in self.incidents:
            controls = self._controls(incident, taken)
            # Nobody stands in for two attackers, as long as there are enough people: a user who
            # is often a control could be known by that alone.
            taken[controls] = True
            found.append(replace(incident, controls=tuple(int(user) for user in controls)))
        return tuple(found)

    def _controls(self, incident: Incident, taken: Flags) -> Integers:
        people: People = self.plan.people
        first = incident.days[0]
        role = people.role_on(first)
        there = (people.joined <= first - _KNOWN_BEFORE) & (self.left > first)
        same_role = self.free & there & (role == role[incident.user])
        for allowed in (same_role & ~taken, same_role, self.free & there):
            pool = np.flatnonzero(allowed)
            if len(pool) >= _CONTROLS:
                break
        distance = np.abs(np.log(people.pace[pool] / people.pace[incident.user]))
        return np.sort(pool[np.argsort(distance, kind="stable")[:_CONTROLS]])
