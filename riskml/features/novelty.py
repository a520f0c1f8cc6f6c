"""What is new: first times of the user, the peer group and everybody, and long-unseen things.

Causal: an event is asked before it is learnt. State is bounded: a name is known by one of
`slots` places that its hash points to, so a user with ten million resources costs no more than
`slots` rows, at the price of taking a new name for a known one with a chance of (places taken /
`slots`).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import PEER, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents, side_by_side, slices
from riskml.features.first_times import EVERYBODY, FIRST, FirstTimes, packed
from riskml.features.meetings import Met, Users, first_meetings, meetings, seen_table
from riskml.features.peer_groups import NO_GROUP
from riskml.features.profile import USER, Profile, upsert
from riskml.features.rows import Array, begins, filled, micros

SEEN = "novelty.seen"
"""Table: when a user last met a value."""

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

    @property
    def shares_first_times(self) -> bool:
        """Whether a window depends on when other users first met a name."""
        return set(self.scopes) != {"user"}

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
        ends = np.append(np.flatnonzero(begins(user)), len(user))
        parts = [slice(ends[part.start], ends[part.stop]) for part in slices(ends)]
        time = micros(events["timestamp"])
        bits = np.uint64(self.slots.bit_length() - 1)
        meeting = meetings if self.absences else first_meetings
        seen = profile.tables.get(SEEN)

        def meet(asked: tuple[int, slice]) -> Met:
            number, part = asked
            slot = _slots(events[self.columns[number]][part], self.slots)
            users = Users(user[part], bits)
            return meeting(users, time[part], slot, users.known(seen, number))

        asked = list(product(range(len(self.columns)), parts))
        met = side_by_side(meet, asked, rows=len(self.columns) * len(user))
        by_column = [met[at : at + len(parts)] for at in range(0, len(met), len(parts))]
        # all that is known of these users is among what they have met
        after = pl.concat(seen_table(of_part) for of_part in zip(*by_column, strict=True))
        profile = profile.with_table(SEEN, upsert(seen, after))
        new = [np.concatenate([part.new for part in of]) for of in by_column]
        flags = {"user": new}
        if set(self.scopes) - {"user"}:
            slot = np.concatenate([part.new_slot for part in met])
            *of_groups, profile = _first_of_groups(
                new, slot, events[PEER].to_numpy(), time, profile
            )
            flags |= dict(zip(("peers", "everyone"), of_groups, strict=True))
        added = []
        for number, column in enumerate(self.columns):
            added += [
                pl.Series(f"new_{column}_{scope}", flags[scope][number].view(np.uint8))
                for scope in self.scopes
            ]
            if self.absences:
                absence = np.concatenate([part.absence for part in by_column[number]])
                added.append(pl.Series(f"absence_{column}", absence))
        return events.hstack(added), profile

    def settle(self, events: pl.DataFrame, profile: Profile) -> pl.DataFrame:
        """Take back first times of groups that somebody had before, in another bucket."""
        shared, table = [s for s in self.scopes if s != "user"], profile.tables.get(FIRST)
        if table is None or not shared or events.is_empty():
            return events
        first, time, peer = (
            FirstTimes.of(table),
            micros(events["timestamp"]),
            events[PEER].to_numpy(),
        )
        group = {"peers": np.where(peer == NO_GROUP, EVERYBODY, peer)}
        group["everyone"] = np.full(len(peer), EVERYBODY)
        settled = []
        for number, column in enumerate(self.columns):
            slot = _slots(events[column], self.slots)
            for scope in shared:
                name = f"new_{column}_{scope}"
                flags = events[name].to_numpy().copy()
                row = np.flatnonzero(flags)
                key = packed(group[scope][row], np.full(len(row), number), slot[row])
                flags[row] = first.at(key) >= time[row]
                settled.append(pl.Series(name, flags))
        return events.with_columns(settled)

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


def _slots(hashes: pl.Series, slots: int) -> Array:
    """Place of each value, −1 where there is none: int64."""
    values, there = filled(hashes)
    place: Array = (values & np.uint64(slots - 1)).view(np.int64)
    return np.where(there, place, -1)


def _first_of_groups(
    new: list[Array], slot: Array, peer: Array, time: Array, profile: Profile
) -> tuple[list[Array], list[Array], Profile]:
    """Whether these are first times of the peer group, and of everybody.

    What is not new to the user is not new to others.

    Args:
        new: by column, which events are new to their user.
        slot: places of their values, those of a column after those of the one before.
        peer: group of each event; who has none is judged by everybody.
        time: of each event.
        profile: before them.

    Returns:
        Two flags an event by column, and the profile after.
    """
    rows = [np.flatnonzero(flags) for flags in new]
    row = np.concatenate(rows)
    column = np.repeat(np.arange(len(new)), [len(of) for of in rows])
    group = np.where(peer[row] == NO_GROUP, EVERYBODY, peer[row])
    keys = [packed(of, column, slot) for of in (group, np.full(len(row), EVERYBODY))]
    known = FirstTimes.of(profile.tables.get(FIRST))
    after = known.merged(FirstTimes.least(np.concatenate(keys), np.tile(time[row], 2)))
    flags = np.zeros((2, len(new), len(peer)), bool)
    for scope, key in enumerate(keys):
        flags[scope, column, row] = after.at(key) >= time[row]
    return list(flags[0]), list(flags[1]), profile.with_table(FIRST, after.table())
