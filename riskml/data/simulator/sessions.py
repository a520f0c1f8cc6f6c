"""Ordinary work: sessions from a Markov grammar, logon … logoff, with failures."""

from __future__ import annotations

import numpy as np

from riskml.data.simulator.blocks import NOBODY, EventBlock
from riskml.data.simulator.day_state import HOUR, DayState
from riskml.data.simulator.endpoints import PER_USER, PHONE
from riskml.data.simulator.randomness import Floats, Integers
from riskml.data.simulator.roles import ROLES, boost_table
from riskml.data.simulator.vocabulary import (
    ACTION_KIND,
    FAILURE_RATE,
    LOGOFF,
    LOGON,
    MEDIAN_BYTES,
    NO_KIND,
)

_BOOST = boost_table().astype(np.float32)
_DISPERSION = 12.0
_SESSION_RATE = np.array([role.sessions_per_day for role in ROLES])
_PHONE_SHARE = 0.18
_NO_LOGOFF = 0.10
_MISTYPED = 0.06
SAME_RESOURCE = 0.45
_LONGEST_GAP = 25 * 60.0
_LONGEST_SESSION = 160


def ordinary_events(state: DayState, draw: np.random.Generator) -> EventBlock:
    """Return the ordinary events of everybody who is active on a day."""
    users = np.flatnonzero(state.active)
    volume = state.plan.volume[users, state.day].astype(np.float64)
    # Poisson with a gamma mean is the negative binomial.
    counts = draw.poisson(volume * draw.gamma(_DISPERSION, 1.0 / _DISPERSION, len(users)))
    counts = np.maximum(counts, 2)
    owner, length = _split_into_sessions(state, users, counts, draw)
    span = state.end[users] - state.start[users]
    mean_gap = np.clip(0.75 * span / counts, 12.0, 900.0)
    gap_of = np.zeros(state.plan.people.count)
    gap_of[users] = mean_gap

    gaps = _gaps(owner, length, gap_of, draw)
    duration = np.add.reduceat(gaps, np.cumsum(length + 2) - (length + 2))
    first = np.concatenate(([True], owner[1:] != owner[:-1]))
    pause = 31 * 60.0 + draw.exponential(30 * 60.0, len(owner))
    pause[first] = 0.0
    begin = state.start[owner] + _running_total(pause + _shift(duration, first), first)
    # Machines run their jobs around the clock.
    service = state.plan.people.service[owner]
    begin = np.where(service, draw.uniform(0.0, 23.0 * HOUR, len(owner)), begin)

    phone = (draw.random(len(owner)) < _PHONE_SHARE) & ~service
    device = np.where(phone, owner * PER_USER + PHONE, state.device[owner])
    return work(state, owner, length, begin, gaps, device, state.address[owner], draw)


def extra_session(
    state: DayState,
    users: Integers,
    lengths: Integers,
    begin: Floats,
    minutes_apart: float,
    draw: np.random.Generator,
    device: Integers | None = None,
    address: Integers | None = None,
    incident: int = NOBODY,
    phase: int = NOBODY,
) -> EventBlock:
    """Return one more session of each user, in the user's own grammar.

    Args:
        state: the day.
        users: account indices: [n].
        lengths: events between logon and logoff: [n].
        begin: seconds after local midnight: [n].
        minutes_apart: mean gap between events.
        draw: the generator.
        device: device codes, by default the usual ones: [n].
        address: address codes, by default the usual ones: [n].
        incident: index of the incident that all the events belong to, if they are an attack's.
        phase: index into the scenario's phases, if they are an attack's.
    """
    apart = np.full(state.plan.people.count, minutes_apart * 60.0)
    gaps = _gaps(users, lengths, apart, draw)
    device = state.device[users] if device is None else device
    address = state.address[users] if address is None else address
    return work(state, users, lengths, begin, gaps, device, address, draw, incident, phase)


def work(
    state: DayState,
    owner: Integers,
    length: Integers,
    begin: Floats,
    gaps: Floats,
    device: Integers,
    address: Integers,
    draw: np.random.Generator,
    incident: int = NOBODY,
    phase: int = NOBODY,
) -> EventBlock:
    """Return the events of whole sessions; one entry per session in each argument but ``gaps``.

    Args:
        state: the day.
        owner: account index of the session.
        length: number of events between logon and logoff.
        begin: seconds after local midnight of the logon.
        gaps: seconds to the next event, one for each event, logons and logoffs included.
        device: device code.
        address: address code.
        draw: the generator.
        incident: index of the incident that all the events belong to, if they are an attack's.
        phase: index into the scenario's phases, if they are an attack's.
    """
    total = length + 2
    session = np.repeat(np.arange(len(owner)), total)
    starts = np.cumsum(total) - total
    first = np.zeros(len(session), dtype=np.bool_)
    first[starts] = True
    time = begin[session] + _running_total(_shift(gaps, first), first)
    action = _grammar(state, owner, length, starts, draw)
    user = owner[session]
    kind = ACTION_KIND[action]
    block = EventBlock(
        user=user,
        time=time,
        action=action,
        resource=_resources(state, user, kind, first, draw),
        device=device[session],
        address=address[session],
        success=draw.random(len(user)) >= FAILURE_RATE[action],
        size=sizes(action, 1.0, draw),
        incident=np.full(len(user), incident),
        phase=np.full(len(user), phase),
    )
    return _with_slips(block, draw)


def sizes(action: Integers, factor: Floats | float, draw: np.random.Generator) -> Floats:
    """Return transferred bytes: log-normal about the action's median, whole numbers."""
    return np.floor(MEDIAN_BYTES[action] * factor * draw.lognormal(0.0, 1.6, len(action)))


def _split_into_sessions(
    state: DayState, users: Integers, counts: Integers, draw: np.random.Generator
) -> tuple[Integers, Integers]:
    """Return owner and length of each session, a user's sessions side by side."""
    rate = _SESSION_RATE[state.role[users]]
    sessions = 1 + draw.poisson(np.maximum(rate - 1.0, 0.0))
    needed = -(-counts // _LONGEST_SESSION)
    sessions = np.clip(sessions, needed, np.maximum(counts // 3, needed))
    owner = np.repeat(users, sessions)
    share = draw.gamma(2.0, 1.0, len(owner))
    begin = np.cumsum(sessions) - sessions
    share /= np.repeat(np.add.reduceat(share, begin), sessions)
    length = np.rint(share * np.repeat(counts, sessions)).astype(np.int64)
    return owner, np.clip(length, 1, 2 * _LONGEST_SESSION)


def _gaps(owner: Integers, length: Integers, mean_gap: Floats, draw: np.random.Generator) -> Floats:
    """Return the seconds after each event of each session."""
    user = np.repeat(owner, length + 2)
    spread = 1.1
    return np.minimum(
        mean_gap[user] * draw.lognormal(-(spread**2) / 2, spread, len(user)), _LONGEST_GAP
    )


def _grammar(
    state: DayState,
    owner: Integers,
    length: Integers,
    starts: Integers,
    draw: np.random.Generator,
) -> Integers:
    """Run one Markov chain per session, all of them one step at a time."""
    users, row = np.unique(owner, return_inverse=True)
    # Cumulative, not normalised: [users, actions before, actions after].
    table = np.cumsum(state.mix[users].astype(np.float32)[:, None, :] * _BOOST, axis=2)
    order = np.argsort(-length, kind="stable")
    action = np.full(int((length + 2).sum()), LOGOFF, dtype=np.int64)
    action[starts] = LOGON
    now = np.full(len(owner), LOGON)
    row, place = row[order], starts[order]
    alive_at = np.searchsorted(
        -length[order], -np.arange(1, int(length.max(initial=0)) + 1), side="right"
    )
    for step, alive in enumerate(alive_at, 1):
        reachable = table[row[:alive], now[:alive]]
        mark = draw.random(alive, dtype=np.float32) * reachable[:, -1]
        now[:alive] = (reachable <= mark[:, None]).sum(axis=1)
        np.minimum(now, len(ACTION_KIND) - 1, out=now)
        action[place[:alive] + step] = now[:alive]
    return action


def _resources(
    state: DayState,
    user: Integers,
    kind: Integers,
    first: np.ndarray,
    draw: np.random.Generator,
) -> Integers:
    """Return a resource for each event; work often stays with the last one."""
    resource = np.full(len(user), NOBODY, dtype=np.int64)
    some = np.flatnonzero(kind != NO_KIND)
    stay = draw.random(len(user)) < SAME_RESOURCE
    stay[1:] &= (kind[1:] == kind[:-1]) & ~first[1:]
    stay[0] = False
    stay &= kind != NO_KIND
    fresh = some[~stay[some]]
    resource[fresh] = state.plan.resources.draw(
        kind[fresh],
        user[fresh],
        state.role,
        state.project,
        state.day,
        state.reach[user[fresh]],
        draw,
    )
    origin = np.maximum.accumulate(np.where(stay, 0, np.arange(len(user))))
    return resource[origin]


def _with_slips(block: EventBlock, draw: np.random.Generator) -> EventBlock:
    """Leave out some logoffs, and put a mistyped password before some logons."""
    forgotten = (block.action == LOGOFF) & (draw.random(len(block)) < _NO_LOGOFF)
    slip = (block.action == LOGON) & (draw.random(len(block)) < _MISTYPED)
    rows = np.concatenate([np.flatnonzero(~forgotten), np.flatnonzero(slip)])
    added = len(rows) - int(slip.sum())
    time, success = block.time[rows], block.success[rows]
    time[added:] -= draw.uniform(4.0, 40.0, len(rows) - added)
    success[added:] = False
    return EventBlock(
        user=block.user[rows],
        time=time,
        action=block.action[rows],
        resource=block.resource[rows],
        device=block.device[rows],
        address=block.address[rows],
        success=success,
        size=block.size[rows],
        incident=block.incident[rows],
        phase=block.phase[rows],
    )


def _shift(values: Floats, first: np.ndarray) -> Floats:
    """Return each value's predecessor within its group, 0 at the group's first."""
    shifted = np.concatenate(([0.0], values[:-1]))
    shifted[first] = 0.0
    return shifted


def _running_total(values: Floats, first: np.ndarray) -> Floats:
    """Return the running total within each group."""
    total = np.cumsum(values)
    group = np.cumsum(first) - 1
    before = (total - values)[first]
    return np.asarray(total - before[group])
