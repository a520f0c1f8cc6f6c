"""What is touched: resources in nested pools, with popularity, sensitivity, births and renames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.randomness import (
    Floats,
    Integers,
    generator,
    hashed,
    hashed_uniform,
    zipf_cumulative,
)
from riskml.data.simulator.roles import ROLE_NAMES
from riskml.data.simulator.vocabulary import RESOURCE_KINDS

# Per kind: organisation 1,200, role 120, personal 30.
ORGANISATION_SIZE = (600, 140, 220, 120, 60, 60)
ROLE_SIZE = (60, 14, 22, 12, 6, 6)
PERSONAL_SIZE = (14, 4, 5, 3, 2, 2)
MAXIMUM_VERSIONS = 6

USUAL = (0.775, 0.165, 0.06)
"""Shares of ordinary events on personal, role and organisation resources."""
OWN, ROLE, ANYWHERE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

_SLOT_LIFETIME = (35.0, 260.0)


@dataclass(frozen=True)
class Resources:
    """The organisation's resources; a code is an index into the per-resource arrays.

    Attributes:
        seed: the world's seed.
        first_code: first code of each kind, and the total at the end: [kinds + 1].
        sensitivity: 0 (public) to 3 (secret): [resources].
        born: day on which it appears, below 0 if always there: [resources].
        stand_in: an old resource of the same kind, used before birth: [resources].
        renames: sorted days of each one's renames, ``MAXIMUM_VERSIONS - 1`` columns.
        role_pool: codes in order of popularity, one array [roles, size] per kind.
        names: a name for every version of every resource, version fastest.
    """

    seed: int
    first_code: Integers
    sensitivity: Integers
    born: Integers
    stand_in: Integers
    renames: Integers
    role_pool: tuple[Integers, ...]
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of resources."""
        return int(self.first_code[-1])

    def version_on(self, day: int) -> Integers:
        """Return how often each resource has been renamed by a day: [resources]."""
        return np.asarray((self.renames <= day).sum(axis=1))

    def name_index(self, codes: Integers, day: int) -> Integers:
        """Return the row in ``names`` of each code's name on a day; codes must not be -1."""
        return codes * MAXIMUM_VERSIONS + self.version_on(day)[codes]

    def draw(
        self,
        kinds: Integers,
        users: Integers,
        roles: Integers,
        switches: Integers,
        day: int,
        reach: tuple[float, float, float] | Floats,
        draw: np.random.Generator,
    ) -> Integers:
        """Draw a resource for each event.

        Args:
            kinds: the kind of resource of each event, none of them -1: [n].
            users: account index of each event: [n].
            roles: everybody's role on the day: [users].
            switches: how many projects everybody has begun by the day: [users].
            day: index of the day.
            reach: shares of personal, role and organisation resources: [3] or [n, 3].
            draw: the generator.

        Returns:
            Resource codes: [n].
        """
        count = len(kinds)
        shares = np.broadcast_to(np.asarray(reach, dtype=np.float64), (count, 3))
        tier = draw.random(count)
        rank = draw.random(count)
        codes = np.empty(count, dtype=np.int64)
        personal = tier < shares[:, 0]
        organisation = tier >= shares[:, 0] + shares[:, 1]
        for kind in range(len(RESOURCE_KINDS)):
            here = kinds == kind
            for where, source in (
                (personal, 0),
                (~(personal | organisation), 1),
                (organisation, 2),
            ):
                rows = np.flatnonzero(here & where)
                if not len(rows):
                    continue
                if source == 0:
                    slot = np.searchsorted(_PERSONAL_ZIPF[kind], rank[rows])
                    codes[rows] = self.personal(kind, slot, users[rows], roles, switches, day)
                elif source == 1:
                    position = np.searchsorted(_ROLE_ZIPF[kind], rank[rows])
                    codes[rows] = self.role_pool[kind][roles[users[rows]], position]
                else:
                    position = np.searchsorted(_ORGANISATION_ZIPF[kind], rank[rows])
                    codes[rows] = self.first_code[kind] + position
        return np.where(self.born[codes] > day, self.stand_in[codes], codes)

    def personal(
        self,
        kind: int,
        slot: Integers,
        users: Integers,
        roles: Integers,
        switches: Integers,
        day: int,
    ) -> Integers:
        """Return what a personal slot of each user points to on a day: [n] codes.

        Slots turn over: each after a lifetime of its own, and half of them with each project.
        """
        key = slot + kind * 64
        shift = hashed_uniform(self.seed, "slot shift", users, key)
        low, high = _SLOT_LIFETIME
        lifetime = low + (high - low) * hashed_uniform(self.seed, "slot lifetime", users, key)
        epoch = np.floor(day / lifetime + shift).astype(np.int64)
        project = np.where(hashed_uniform(self.seed, "slot project", users, key) < 0.5, 1, 0)
        turn = hashed_uniform(
            self.seed, "slot", users, key, epoch, project * switches[users], roles[users]
        )
        # Flatter than the role's own popularity: people differ in what they work on.
        rank = np.minimum((turn**1.3 * ROLE_SIZE[kind]).astype(np.int64), ROLE_SIZE[kind] - 1)
        return np.asarray(self.role_pool[kind][roles[users], rank])

    def sensitive(self, kind: int, least: int = 2) -> Integers:
        """Return the codes of one kind that are at least so sensitive."""
        codes = np.arange(self.first_code[kind], self.first_code[kind + 1])
        return codes[self.sensitivity[codes] >= least]


_PERSONAL_ZIPF = tuple(zipf_cumulative(size, 0.9) for size in PERSONAL_SIZE)
_ROLE_ZIPF = tuple(zipf_cumulative(size, 1.0) for size in ROLE_SIZE)
_ORGANISATION_ZIPF = tuple(zipf_cumulative(size, 0.8) for size in ORGANISATION_SIZE)


def make_resources(seed: int, days: int, migrations: dict[int, int]) -> Resources:
    """Draw the resources of a world.

    Args:
        seed: the world's seed.
        days: length of the world in days.
        migrations: day of each migration, and the kind of resource that it renames.
    """
    draw = generator(seed, "resources")
    first_code = np.concatenate(([0], np.cumsum(ORGANISATION_SIZE))).astype(np.int64)
    count = int(first_code[-1])
    kind_of = np.repeat(np.arange(len(RESOURCE_KINDS)), ORGANISATION_SIZE)
    sensitivity = draw.choice(4, count, p=(0.5, 0.3, 0.15, 0.05)).astype(np.int64)
    born = np.where(draw.random(count) < 0.12, draw.integers(0, max(days, 120), count), -1)
    stand_in = np.arange(count)
    for kind in range(len(RESOURCE_KINDS)):
        codes = np.arange(first_code[kind], first_code[kind + 1])
        young = codes[born[codes] >= 0]
        old = codes[born[codes] < 0]
        stand_in[young] = draw.choice(old, len(young))

    never = np.iinfo(np.int64).max
    renames = np.full((count, MAXIMUM_VERSIONS - 1), never, dtype=np.int64)
    renames[:, 0] = np.where(
        draw.random(count) < days / 1_200, draw.integers(0, days, count), never
    )
    for column, (day, kind) in enumerate(list(migrations.items())[: MAXIMUM_VERSIONS - 2], 1):
        moved = (kind_of == kind) & (draw.random(count) < 0.35)
        renames[moved, column] = day

    pools = []
    for kind, size in enumerate(ROLE_SIZE):
        popularity = np.diff(_ORGANISATION_ZIPF[kind], prepend=0.0)
        pools.append(
            np.stack(
                [
                    first_code[kind] + draw.choice(ORGANISATION_SIZE[kind], size, False, popularity)
                    for _ in ROLE_NAMES
                ]
            )
        )
    return Resources(
        seed=seed,
        first_code=first_code,
        sensitivity=sensitivity,
        born=born,
        stand_in=stand_in,
        renames=np.sort(renames, axis=1),
        role_pool=tuple(pools),
        names=_names(seed, kind_of),
    )


def _names(seed: int, kind_of: Integers) -> tuple[str, ...]:
    """Return a name for every version of every resource, version fastest."""
    code = np.repeat(np.arange(len(kind_of)), MAXIMUM_VERSIONS)
    version = np.tile(np.arange(MAXIMUM_VERSIONS), len(kind_of))
    tags = hashed(seed, "resource name", code, version) >> np.uint64(40)
    return tuple(
        f"{RESOURCE_KINDS[kind_of[c]]}/{tag:06x}" for c, tag in zip(code, tags, strict=True)
    )
