"""What is new: first times of the user, the peer group and everybody, and long-unseen things.

Causal: an event is asked before it is learnt. State is bounded: a name is known by one of
`slots` places that its hash points to, so a user with ten million resources costs no more than
`slots` rows, at the price of taking a new name for a known one with a chance of (places taken /
`slots`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import PEER, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Array, Columns, FeatureFamily, WindowEvents, side_by_side, slices
from riskml.features.hashing import stable_order
from riskml.features.peer_groups import NO_GROUP
from riskml.features.profile import USER, Profile, upsert

SEEN, FIRST = "novelty.seen", "novelty.first"
"""Tables: when a user last met a value; when a peer group (or everybody) first did."""

_ALL = -1
_DAY = 86_400_000_000
_SCOPES = {
    "user": "never met by this user",
    "peers": "never met by the peer group",
    "everyone": "never met by anybody",
}


class NoveltyFeatures(FeatureFamily):
    """Counts of first times, and the longest absence of what comes back.

    Args:
        columns: of the log; the names whose novelty counts.
        scopes: whose first time: `user`, `peers`, `everyone`.
        absences: also how long what comes back was away.
        slots: places for the names of one user and column; a power of two.

    Raises:
        ConfigError: a scope is not known, or `slots` is no power of two up to 2**32.
    """

    name = "novelty"

    def __init__(
        self,
        columns: tuple[str, ...] | list[str] = ("action", "resource", "source"),
        scopes: tuple[str, ...] | list[str] = tuple(_SCOPES),
        absences: bool = True,
        slots: int = 2**20,
    ) -> None:
        setting = "features.families.novelty"
        require(f"{setting}.columns", columns, len(columns) > 0, "must name a column")
        odd = [scope for scope in scopes if scope not in _SCOPES]
        require(f"{setting}.scopes", odd, not odd, f"are not known; choose from {list(_SCOPES)}")
        fits = 2 <= slots <= 2**32 and slots & (slots - 1) == 0
        require(f"{setting}.slots", slots, fits, "must be a power of two up to 2**32")
        self.columns, self.scopes, self.slots = tuple(columns), tuple(scopes), slots
        self.absences = absences

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "columns": list(self.columns),
            "scopes": list(self.scopes),
            "absences": self.absences,
            "slots": self.slots,
        }

    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """By column: one count a scope, and the longest absence."""
        features = []
        for column in self.columns:
            for scope in self.scopes:
                name, meaning = f"new_{column}_to_{scope}", f"{column}s {_SCOPES[scope]} before"
                features.append(
                    Feature(name, self.name, FeatureKind.COUNT, meaning, aspect=f"new_{column}")
                )
            if self.absences:
                name, meaning = f"absence_{column}", f"longest absence of a known {column}"
                features.append(Feature(name, self.name, FeatureKind.COUNT, meaning, "d"))
        return features

    def arrive(self, events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
        """Add `new_<column>_<scope>` flags and `absence_<column>` in days."""
        if events.is_empty():
            return events, profile
        user = events[USER].to_numpy()
        begins = np.flatnonzero(np.append(True, user[1:] != user[:-1]))
        ends = np.append(begins, len(user))
        parts = [slice(ends[part.start], ends[part.stop]) for part in slices(ends)]
        time = events["timestamp"].to_physical().to_numpy()
        peer = events[PEER].to_numpy()
        bits = np.uint64(self.slots.bit_length() - 1)
        meeting = _meet if self.absences else _first_meet

        met_before = [
            _of_column(profile.tables.get(SEEN), number) for number in range(len(self.columns))
        ]

        def meet(asked: tuple[int, slice]) -> _Met:
            number, part = asked
            slot = _slots(events[self.columns[number]][part], self.slots)
            return meeting(_Users(user[part]), time[part], slot, bits, met_before[number])

        asked = list(product(range(len(self.columns)), parts))
        met_by_part = side_by_side(meet, asked)
        added, seen, first = [], [], []
        for number, column in enumerate(self.columns):
            met = _together(met_by_part[number * len(parts) : (number + 1) * len(parts)])
            seen.append(met.seen.with_columns(pl.lit(number, pl.UInt8).alias("column")))
            flags = {"user": met.new}
            if set(self.scopes) - {"user"}:
                # what is not new to the user is not new to others
                new = np.flatnonzero(met.new)
                slot = _slots(events[column][new], self.slots)
                known = _of_column(profile.tables.get(FIRST), number)
                of_peers, of_all, firsts = _first_of_groups(peer[new], slot, time[new], known)
                flags["peers"], flags["everyone"] = np.zeros((2, len(user)), bool)
                flags["peers"][new], flags["everyone"][new] = of_peers, of_all
                firsts = firsts.with_columns(pl.lit(number, pl.UInt8).alias("column"))
                # `Profile.merge` keeps the least of the last column
                first.append(firsts.select("group", "column", "slot", "first"))
            added += [
                pl.Series(f"new_{column}_{scope}", flags[scope].astype(np.uint8))
                for scope in self.scopes
            ]
            if self.absences:
                added.append(pl.Series(f"absence_{column}", met.absence))
        # all that is known of these users is among `seen`
        profile = profile.with_table(
            SEEN, upsert(profile.tables.get(SEEN), pl.concat(seen), [USER])
        )
        if first:
            keys = ["group", "column", "slot"]
            profile = profile.with_table(
                FIRST, upsert(profile.tables.get(FIRST), pl.concat(first), keys)
            )
        return events.with_columns(added), profile

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, columns × (scopes + 1 for absences)]."""
        columns = []
        for column in self.columns:
            for scope in self.scopes:
                flags = windows.column(f"new_{column}_{scope}")
                columns.append(windows.sum(flags.view(bool)))
            if self.absences:
                columns.append(windows.max(windows.column(f"absence_{column}")))
        return np.column_stack(columns).astype(np.float32), profile


class _Users:
    """The users of events in their order."""

    def __init__(self, of_events: Array) -> None:
        first = np.append(True, of_events[1:] != of_events[:-1])
        self.hashes = of_events[first]
        self.of_event = np.cumsum(first).astype(np.uint64) - np.uint64(1)

    def known(self, table: pl.DataFrame, bits: np.uint64) -> tuple[Array, Array]:
        """Keys and last times of what the table knows of these users."""
        user = table[USER].to_numpy()
        place = np.minimum(np.searchsorted(self.hashes, user), len(self.hashes) - 1)
        ours = self.hashes[place] == user
        key = (place[ours].astype(np.uint64) << bits) | table["slot"].to_numpy()[ours]
        return key, table["last"].to_numpy()[ours]


@dataclass(frozen=True)
class _Met:
    """What meeting the values of one column gave.

    Attributes:
        new: bool, the user's first time.
        absence: int32, whole days since the user last met the value; 0 where new or missing.
        seen: user, slot, last: the state after.
    """

    new: Array
    absence: Array
    seen: pl.DataFrame


def _together(parts: list[_Met]) -> _Met:
    return _Met(
        np.concatenate([part.new for part in parts]),
        np.concatenate([part.absence for part in parts]),
        pl.concat([part.seen for part in parts]),
    )


def _meet(
    users: _Users, time: Array, slot: Array, bits: np.uint64, known: pl.DataFrame | None
) -> _Met:
    """Ask of every event whether and when its user met the value before.

    Args:
        users: of the events.
        time: of each event, in microseconds.
        slot: place of each event's value, −1 for none.
        bits: of a slot's number.
        known: columns user, slot, last.
    """
    key = (users.of_event << bits) | slot.astype(np.uint64)
    # a run of one value without a day's break is one meeting, from its first event to its last
    begins = np.ones(len(key), bool)
    begins[1:] = (key[1:] != key[:-1]) | (np.diff(time) >= _DAY)
    run = np.flatnonzero(begins)
    ends = np.append(run[1:], len(key))[: len(run)] - 1
    valued = slot[run] >= 0
    event, ends = run[valued], ends[valued]
    runs = pl.DataFrame({"key": key[event], "from": time[event], "until": time[ends]})
    if known is not None:
        # what is known stands in front, as meetings of long ago
        past, last = users.known(known, bits)
        runs = pl.concat([pl.DataFrame({"key": past, "from": last, "until": last}), runs])
    n_known = len(runs) - len(event)
    order = stable_order(runs["key"])
    place, value = order - n_known, runs["key"].to_numpy()[order]
    since, until = runs["from"].to_numpy()[order], runs["until"].to_numpy()[order]
    first = np.ones(len(value), bool)
    np.not_equal(value[1:], value[:-1], out=first[1:])
    begin, again = np.flatnonzero(first), np.flatnonzero(~first)
    if n_known:
        # a late event never makes a value younger
        least = np.repeat(until[begin], np.diff(np.append(begin, len(value))))
        since, until = np.maximum(since, least), np.maximum(until, least)
    new, absence = np.zeros(len(slot), bool), np.zeros(len(slot), np.int32)
    new[event[place[first & (place >= 0)]]] = True
    absence[event[place[again]]] = (since[again] - until[again - 1]) // _DAY
    end = np.append(begin[1:], len(value))[: len(begin)] - 1
    return _Met(new, absence, _seen(users, value[begin], until[end], bits))


def _first_meet(
    users: _Users, time: Array, slot: Array, bits: np.uint64, known: pl.DataFrame | None
) -> _Met:
    """The same without absences, which need no order."""
    key = (users.of_event << bits) | slot.astype(np.uint64)
    begins = np.ones(len(key), bool)
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    event = np.flatnonzero(begins & (slot >= 0))
    event = event[pl.Series(key[event]).is_first_distinct().to_numpy()]
    seen = pl.DataFrame({"key": key[event], "last": time[event]})
    if known is not None:
        past, last = users.known(known, bits)
        met = np.isin(key[event], past)
        event = event[~met]
        seen = pl.concat([pl.DataFrame({"key": past, "last": last}), seen.filter(~met)])
    new = np.zeros(len(slot), bool)
    new[event] = True
    return _Met(new, np.zeros(0, np.int32), _seen(users, seen["key"], seen["last"], bits))


def _seen(
    users: _Users, key: Array | pl.Series, last: Array | pl.Series, bits: np.uint64
) -> pl.DataFrame:
    """The state: user, slot, last."""
    keys = np.asarray(key, np.uint64)
    slot = keys & ((np.uint64(1) << bits) - np.uint64(1))
    user = users.hashes[(keys >> bits).astype(np.int64)]
    return pl.DataFrame({USER: user, "slot": slot.astype(np.uint32), "last": last})


def _slots(hashes: pl.Series, slots: int) -> Array:
    """Place of each value, −1 where there is none: int64."""
    place: Array = (hashes & (slots - 1)).cast(pl.Int64).fill_null(-1).to_numpy()
    return place


def _of_column(table: pl.DataFrame | None, number: int) -> pl.DataFrame | None:
    return None if table is None else table.filter(pl.col("column") == number)


def _first_of_groups(
    peer: Array, slot: Array, time: Array, known: pl.DataFrame | None
) -> tuple[Array, Array, pl.DataFrame]:
    """Whether these are first times of the peer group, and of everybody.

    Args:
        peer: group of each event; who has none is judged by everybody.
        slot: place of each event's value.
        time: of each event.
        known: columns group, slot, first.

    Returns:
        Two flags an event, and the first times of these groups and slots.
    """
    events = pl.DataFrame({"group": peer, "slot": slot.astype(np.uint32), "time": time})
    events = events.with_columns(
        group=pl.when(pl.col("group") == NO_GROUP).then(_ALL).otherwise("group").cast(pl.Int32)
    )
    everybody = events.with_columns(pl.lit(_ALL, pl.Int32).alias("group"))
    firsts = (
        pl.concat([events, everybody])
        .group_by("group", "slot")
        .agg(pl.col("time").min().alias("first"))
    )
    if known is not None:
        joined = firsts.join(known, on=["group", "slot"], how="left")
        firsts = joined.select("group", "slot", pl.min_horizontal("first", "first_right"))

    def is_first(asked: pl.DataFrame) -> Array:
        found = asked.join(firsts, on=["group", "slot"], how="left", maintain_order="left")
        flags: Array = (found["first"] >= found["time"]).to_numpy()
        return flags

    return is_first(events), is_first(everybody), firsts.sort("group", "slot")
