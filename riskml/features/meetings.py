"""Users meeting values of a column: which are new to them, and how long others were away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from riskml.features.hashing import stable_order
from riskml.features.profile import USER
from riskml.features.rows import Array, begins, rows_of

DAY = 86_400_000_000


class Users:
    """The users of events in their order, and keys made of a user and a slot."""

    def __init__(self, of_events: Array, bits: np.uint64) -> None:
        first = begins(of_events)
        self.hashes, self.bits = of_events[first], bits
        self.of_event = np.cumsum(first).astype(np.uint64) - np.uint64(1)

    def keys(self, slot: Array) -> Array:
        """Of events, whatever those without a slot get."""
        keys: Array = (self.of_event << self.bits) | slot.astype(np.uint64)
        return keys

    def known(self, seen: pl.DataFrame | None, column: int) -> tuple[Array, Array]:
        """Keys and last times of what the table knows of these users and a column."""
        if seen is None:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        user = seen[USER].to_numpy()
        row = rows_of(user, self.hashes)
        row = row[seen["column"].to_numpy()[row] == column]
        place = np.searchsorted(self.hashes, user[row]).astype(np.uint64)
        return (place << self.bits) | seen["slot"].to_numpy()[row], seen["last"].to_numpy()[row]


@dataclass(frozen=True)
class Met:
    """What meeting the values of one column gave.

    Attributes:
        new: bool, the user's first time.
        new_slot: the places of these values.
        absence: int32, whole days since the user last met the value; 0 where new or missing.
        users: whose they are.
        key: of user and slot: all that the users have met by now.
        last: int64, when.
    """

    new: Array
    new_slot: Array
    absence: Array
    users: Users
    key: Array
    last: Array


def meetings(users: Users, time: Array, slot: Array, known: tuple[Array, Array]) -> Met:
    """Ask of every event whether and when its user met the value before.

    Args:
        users: of the events.
        time: of each event, in microseconds.
        slot: place of each event's value, −1 for none.
        known: keys and last times.
    """
    key = users.keys(slot)
    # a run of one value without a day's break is one meeting, from its first event to its last
    other = begins(key)
    other[1:] |= np.diff(time) >= DAY
    run = np.flatnonzero(other)
    ends = np.append(run[1:], len(key))[: len(run)] - 1
    valued = slot[run] >= 0
    event, ends = run[valued], ends[valued]
    # what is known stands in front, as meetings of long ago
    past, last = known
    keys = np.concatenate([past, key[event]])
    order = stable_order(pl.Series(keys))
    place, value = order - len(past), keys[order]
    since = np.concatenate([last, time[event]])[order]
    until = np.concatenate([last, time[ends]])[order]
    first = begins(value)
    begin, again = np.flatnonzero(first), np.flatnonzero(~first)
    if len(past):
        # a late event never makes a value younger
        least = np.repeat(until[begin], np.diff(np.append(begin, len(value))))
        since, until = np.maximum(since, least), np.maximum(until, least)
    new, absence = np.zeros(len(slot), bool), np.zeros(len(slot), np.int32)
    new[event[place[first & (place >= 0)]]] = True
    absence[event[place[again]]] = (since[again] - until[again - 1]) // DAY
    end = np.append(begin[1:], len(value))[: len(begin)] - 1
    return Met(new, slot[new], absence, users, value[begin], until[end])


def first_meetings(users: Users, time: Array, slot: Array, known: tuple[Array, Array]) -> Met:
    """As `meetings`, without absences, which need no order."""
    key = users.keys(slot)
    event = np.flatnonzero(begins(key) & (slot >= 0))
    event = event[pl.Series(key[event]).is_first_distinct().to_numpy()]
    past, last = known
    met = np.isin(key[event], past)
    new = np.zeros(len(slot), bool)
    new[event[~met]] = True
    keys, last = np.concatenate([past, key[new]]), np.concatenate([last, time[new]])
    return Met(new, slot[new], np.zeros(0, np.int32), users, keys, last)


def seen_table(columns: Sequence[Met]) -> pl.DataFrame:
    """The state of the users of one part: user, slot, last and column, in order of user."""
    users = columns[0].users
    key = np.concatenate([met.key for met in columns])
    user = (key >> users.bits).astype(np.int64)
    order = np.argsort(user, kind="stable")
    number = np.repeat(np.arange(len(columns), dtype=np.uint8), [len(met.key) for met in columns])
    return pl.DataFrame(
        {
            USER: users.hashes[user[order]],
            "slot": (key[order] & ((np.uint64(1) << users.bits) - np.uint64(1))).astype(np.uint32),
            "last": np.concatenate([met.last for met in columns])[order],
            "column": number[order],
        }
    )
