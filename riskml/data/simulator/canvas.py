"""The brush with which benign oddities and attacks alike add events to a day."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from riskml.data.simulator.blocks import NOBODY, EventBlock
from riskml.data.simulator.day_state import HOUR, DayState
from riskml.data.simulator.randomness import Floats, Integers
from riskml.data.simulator.resources import USUAL
from riskml.data.simulator.sessions import SAME_RESOURCE, extra_session, sizes
from riskml.data.simulator.vocabulary import (
    ACTION_CODE,
    ACTION_KIND,
    FAILURE_RATE,
    NO_KIND,
    RESOURCE_KINDS,
)


class Canvas:
    """Collects the events that are added to a day.

    Attacks and benign oddities share it, so that nothing but what they do tells them apart.

    Args:
        state: the day.
        draw: the generator of whatever is painted.
    """

    def __init__(self, state: DayState, draw: np.random.Generator) -> None:
        """Begin with no events."""
        self.state = state
        self.draw = draw
        self.blocks: list[EventBlock] = []

    def paint(
        self,
        action: str,
        users: ArrayLike,
        amounts: ArrayLike,
        at: ArrayLike,
        minutes: ArrayLike = 20.0,
        *,
        reach: tuple[float, float, float] = USUAL,
        resources: Integers | None = None,
        device: ArrayLike | None = None,
        address: ArrayLike | None = None,
        success: bool | None = None,
        size: float = 1.0,
        incident: int = NOBODY,
        phase: int = NOBODY,
    ) -> None:
        """Add ``amounts`` events of one action for each user.

        Args:
            action: name of the action.
            users: account indices: [n].
            amounts: number of events: [n] or one number.
            at: seconds after local midnight of the earliest event: [n] or one number.
            minutes: length of the stretch over which they spread: [n] or one number.
            reach: shares of personal, role and organisation resources.
            resources: codes to choose from instead, whatever the reach.
            device: device code, by default the usual one: [n] or one number.
            address: address code, by default the usual one: [n] or one number.
            success: outcome of all of them; by default they fail as often as usual.
            size: multiplier of the bytes.
            incident: index of the incident, for an attack's events.
            phase: index into the scenario's phases, for an attack's events.
        """
        state, draw = self.state, self.draw
        who = np.atleast_1d(np.asarray(users, dtype=np.int64))
        times = np.broadcast_to(np.asarray(amounts, dtype=np.int64), who.shape)
        user = np.repeat(who, times)
        if not len(user):
            return
        begin = np.repeat(np.broadcast_to(np.asarray(at, dtype=np.float64), who.shape), times)
        spread = np.repeat(np.broadcast_to(np.asarray(minutes, dtype=np.float64), who.shape), times)
        code = ACTION_CODE[action]
        actions = np.full(len(user), code)
        outcome = draw.random(len(user)) >= FAILURE_RATE[code]
        if success is not None:
            outcome = np.full(len(user), success)
        self.blocks.append(
            EventBlock(
                user=user,
                time=begin + draw.random(len(user)) * spread * 60.0,
                action=actions,
                resource=self._resources(code, user, reach, resources),
                device=_per_event(state.device[who] if device is None else device, times),
                address=_per_event(state.address[who] if address is None else address, times),
                success=outcome,
                size=sizes(actions, size, draw),
                incident=np.full(len(user), incident),
                phase=np.full(len(user), phase),
            )
        )

    def work(
        self,
        users: ArrayLike,
        amounts: ArrayLike,
        at: ArrayLike,
        minutes_apart: float = 3.0,
        *,
        device: Integers | None = None,
        address: Integers | None = None,
        incident: int = NOBODY,
        phase: int = NOBODY,
    ) -> None:
        """Add a session of ordinary work, logon to logoff, in each user's own grammar.

        Args:
            users: account indices: [n].
            amounts: number of events, at least 1: [n] or one number.
            at: seconds after local midnight of the logon: [n] or one number.
            minutes_apart: mean gap between events.
            device: device codes, by default the usual ones: [n].
            address: address codes, by default the usual ones: [n].
            incident: index of the incident, for an attack's events.
            phase: index into the scenario's phases, for an attack's events.
        """
        who = np.atleast_1d(np.asarray(users, dtype=np.int64))
        if not len(who):
            return
        lengths = np.maximum(np.broadcast_to(np.asarray(amounts, dtype=np.int64), who.shape), 1)
        begin = np.broadcast_to(np.asarray(at, dtype=np.float64), who.shape)
        self.blocks.append(
            extra_session(
                self.state,
                who,
                lengths,
                begin,
                minutes_apart,
                self.draw,
                device,
                address,
                incident,
                phase,
            )
        )

    def during_work(self, users: Integers, minutes: float = 30.0) -> Floats:
        """Return a time within each working day, ``minutes`` before its end at the latest."""
        start, end = self.state.start[users], self.state.end[users]
        room = np.maximum(end - start - minutes * 60.0, 0.0)
        return np.asarray(start + self.draw.random(len(users)) * room)

    def after_work(self, users: Integers, earliest: float = 1.0, latest: float = 4.0) -> Floats:
        """Return a random time ``earliest`` … ``latest`` hours after each user's working day."""
        wait = self.draw.uniform(earliest, latest, len(users))
        return np.asarray(self.state.end[users] + wait * HOUR)

    def sensitive(self, kind: str, least: int = 2) -> Integers:
        """Return the codes of the organisation's sensitive resources of one kind."""
        return self.state.plan.resources.sensitive(RESOURCE_KINDS.index(kind), least)

    def _resources(
        self,
        action: int,
        user: Integers,
        reach: tuple[float, float, float],
        resources: Integers | None,
    ) -> Integers:
        kind = int(ACTION_KIND[action])
        if kind == NO_KIND:
            return np.full(len(user), NOBODY, dtype=np.int64)
        if resources is not None:
            codes = np.asarray(self.draw.choice(resources, len(user)))
        else:
            state = self.state
            codes = state.plan.resources.draw(
                np.full(len(user), kind),
                user,
                state.role,
                state.project,
                state.day,
                reach,
                self.draw,
            )
        # As in ordinary work, one often stays with a resource.
        stay = self.draw.random(len(user)) < SAME_RESOURCE
        stay[0] = False
        stay[1:] &= user[1:] == user[:-1]
        return np.asarray(codes[np.maximum.accumulate(np.where(stay, 0, np.arange(len(user))))])


def _per_event(value: ArrayLike, times: Integers) -> Integers:
    """Repeat a code (one for all, or one per user) for each of a user's events."""
    return np.repeat(np.broadcast_to(np.asarray(value, dtype=np.int64), times.shape), times)
