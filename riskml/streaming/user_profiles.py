"""Profiles of more users than memory holds: those that changed lately in memory, all on disk.

A log-structured merge tree in columns. What is known of a user lies whole in the newest layer that
has the user: in memory, in one of the segments (Arrow files that never change, sorted by user and
mapped into memory, so that the operating system keeps the hot ones there), or in the base, which
is what training has left. A flush makes a segment of what is in memory; segments of a size are
merged, so that there are few.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import reading
from riskml.features.profile import USER, USERS, Profile
from riskml.features.rows import find, index, put, rows_of

Hashes = npt.NDArray[np.uint64]
Tables = dict[str, pl.DataFrame]

NOBODY = np.zeros(0, np.uint64)


class Layer:
    """Tables sorted by user; each user who is in it is in it whole.

    Args:
        tables: by name, each sorted by `USER`, among them `USERS` with one row a user.
    """

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self.tables = dict(tables)
        self._hashes = {name: table[USER].to_numpy() for name, table in self.tables.items()}

    @classmethod
    def of(cls, profile: Profile) -> Layer:
        """What a profile knows of single users."""
        frames = profile.ordered().frames()
        return cls({name: table for name, table in frames.items() if USER in table.columns})

    @property
    def users(self) -> Hashes:
        """Who is in it, sorted."""
        return self._hashes.get(USERS, NOBODY)

    @property
    def size(self) -> int:
        """Bytes of all tables."""
        return int(sum(table.estimated_size() for table in self.tables.values()))

    def rows(self, users: Hashes, names: Collection[str] | None = None) -> Tables:
        """The rows of some users, in their order.

        Args:
            users: sorted, each once.
            names: of the tables; None: all.
        """
        wanted = self.tables if names is None else names
        return {name: self._rows(name, users) for name in self.tables if name in wanted}

    def _rows(self, name: str, users: Hashes) -> pl.DataFrame:
        return self.tables[name][index(rows_of(self._hashes[name], users))]

    def under(self, newer: Layer) -> Layer:
        """One layer of both, in which users of the newer one are as they are there."""
        found = dict(newer.tables)
        for name, table in self.tables.items():
            found[name] = put(table, found.get(name, table.clear()), USER, newer.users)
        return Layer(found)

    def write(self, folder: Path) -> None:
        """One Arrow file a table."""
        write_tables(self.tables, folder)

    @classmethod
    def read(cls, folder: Path) -> Layer:
        """Map what `write` wrote."""
        return cls(read_tables(folder))


def write_tables(tables: Tables, folder: Path) -> None:
    """One Arrow file a table; what a killed run has left there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, table in tables.items():
        rows = max(len(table), 1)  # one record batch: only so it is one array once mapped
        table.rechunk().write_ipc(folder / f"{name}.arrow", record_batch_size=rows)


def read_tables(folder: Path) -> Tables:
    """Map what `write_tables` wrote.

    Raises:
        BundleError: a file is damaged, or there is none.
    """
    with reading(folder):
        found = {path.stem: mapped(path) for path in sorted(folder.glob("*.arrow"))}
        if not found:
            raise ValueError("it holds no tables")
        return found


def mapped(path: Path) -> pl.DataFrame:
    """An Arrow file as a frame whose values stay on disk until they are looked at."""
    import pyarrow as pa

    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


class UserProfiles:
    """The profiles of a partition's users.

    Args:
        folder: where segments are written.
        base: what training has left; users are taken over from it when they first show up.
        segments: names of those that count, the newest first.
        shared: name of the one with the tables that belong to everybody; None: those of `base`.
        watermark: up to which time all events are taken to have arrived.

    Raises:
        BundleError: a segment is missing or damaged.
    """

    def __init__(
        self,
        folder: Path,
        base: Profile,
        segments: Sequence[str] = (),
        shared: str | None = None,
        watermark: datetime | None = None,
    ) -> None:
        self.folder = folder
        self.watermark = watermark
        self._base = Layer.of(base)
        self._hot = Layer({})
        self._segments = {name: Layer.read(folder / name) for name in segments}
        self.common = common_tables(base) if shared is None else read_tables(folder / shared)
        self.shared, self._written = shared, self.common

    @property
    def segments(self) -> list[str]:
        """Names of those that count, the newest first."""
        return list(self._segments)

    @property
    def size(self) -> int:
        """Bytes of what is known of users; of segments, as they are mapped."""
        return sum(layer.size for layer in (self._hot, *self._segments.values(), self._base))

    def of(self, users: Hashes) -> Profile:
        """What is known of some users, with what belongs to everybody.

        Args:
            users: sorted, each once.
        """
        tables = self.rows(users)
        if USERS not in tables:
            return Profile(tables=self.common, watermark=self.watermark)
        return Profile.of_frames({**tables, **self.common}, self.watermark).ordered()

    def rows(self, users: Hashes, names: Collection[str] | None = None) -> Tables:
        """The rows of some users.

        Args:
            users: sorted, each once.
            names: of the tables; None: all that belong to single users.
        """
        parts: dict[str, list[pl.DataFrame]] = {}
        for layer in (self._hot, *self._segments.values(), self._base):
            here = find(layer.users, users) >= 0
            if here.any():
                for name, table in layer.rows(users[here], names).items():
                    parts.setdefault(name, []).append(table)
                users = users[~here]
        return {name: pl.concat(tables, how="diagonal") for name, tables in parts.items()}

    def put(self, part: Profile) -> None:
        """Replace what is known of the users of a profile, and what belongs to everybody."""
        self._hot = self._hot.under(Layer.of(part))
        self.common = common_tables(part)
        self.watermark = part.watermark

    def table(self, name: str) -> pl.DataFrame | None:
        """The newest rows of a table of all users but those only training knows; None: it is empty.

        Args:
            name: of the table.
        """
        found, seen = [], NOBODY
        for layer in (self._hot, *self._segments.values()):
            if name in layer.tables:
                table = layer.tables[name]
                found.append(put(table, table.clear(), USER, seen))
            seen = np.union1d(seen, layer.users)
        return pl.concat(found) if found else None

    def flush(self, number: int) -> list[str]:
        """Write what is in memory, and merge segments; gives the names of what was written.

        What counted before stays on disk until the caller has noted what counts now.

        Args:
            number: of the checkpoint, greater than all before.
        """
        written = []
        if len(self._hot.users):
            new, size = self._hot, self._hot.size
            older = list(self._segments.items())
            # as a counter in base 2 carries: what is merged is at most twice what is new
            while older and 2 * size >= older[0][1].size:
                size += older[0][1].size
                new = older.pop(0)[1].under(new)
            name = f"{number:012d}"
            new.write(self.folder / name)
            self._segments = {name: Layer.read(self.folder / name), **dict(older)}
            self._hot = Layer({})
            written.append(name)
        if self.common and any(self.common[n] is not self._written.get(n) for n in self.common):
            self.shared = f"{number:012d}.everybody"
            write_tables(self.common, self.folder / self.shared)
            self._written = self.common
            written.append(self.shared)
        return written

    @property
    def counted(self) -> list[str]:
        """Names in the folder that count."""
        return [*self._segments, *filter(None, [self.shared])]


def common_tables(profile: Profile) -> Tables:
    """The tables that belong to everybody."""
    return {n: table for n, table in profile.tables.items() if USER not in table.columns}
