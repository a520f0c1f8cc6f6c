"""Profiles of more users than memory holds: those that changed lately in memory, all on disk.

A log-structured merge tree in columns. What is known of a user lies whole in the newest layer that
has the user: in memory, in one of the segments (Arrow files that never change, sorted by user and
mapped into memory, so that the operating system keeps the hot ones there), or in the base, which
is what training has left. A flush makes a segment of what is in memory; segments of a size are
merged, so that there are few.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import reading
from riskml.features.profile import NAMES, OPEN, USER, USERS, Profile
from riskml.features.rows import index

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
        found = keyed_tables(profile)
        return cls({name: t.sort(USER, maintain_order=True) for name, t in found.items()})

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
        hashes = self._hashes[name]
        first = np.searchsorted(hashes, users, "left")
        counts = np.searchsorted(hashes, users, "right") - first
        before = np.cumsum(counts) - counts
        at = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
        return self.tables[name][index(at)]

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
        self._hot: Tables = {}
        self._hot_users = NOBODY
        self._segments = {name: Layer.read(folder / name) for name in segments}
        self.common = common_tables(base) if shared is None else read_tables(folder / shared)
        self.shared, self._written = shared, self.common

    @property
    def segments(self) -> list[str]:
        """Names of those that count, the newest first."""
        return list(self._segments)

    def of(self, users: Hashes) -> Profile:
        """What is known of some users, with what belongs to everybody.

        Args:
            users: sorted, each once.
        """
        return profile_of(self.rows(users), self.common, self.watermark)

    def rows(self, users: Hashes, names: Collection[str] | None = None) -> Tables:
        """The rows of some users.

        Args:
            users: sorted, each once.
            names: of the tables; None: all that belong to single users.
        """
        parts: list[Tables] = []
        left = users
        hot = np.isin(left, self._hot_users, assume_unique=True)
        if hot.any():
            chosen = pl.Series(left[hot])
            wanted = self._hot if names is None else names
            parts.append({n: _of(t, chosen) for n, t in self._hot.items() if n in wanted})
            left = left[~hot]
        for layer in (*self._segments.values(), self._base):
            if not len(left):
                break
            here = _among(left, layer.users)
            if here.any():
                parts.append(layer.rows(left[here], names))
                left = left[~here]
        return _joined(parts)

    def put(self, part: Profile) -> None:
        """Replace what is known of the users of a profile, and what belongs to everybody."""
        tables = keyed_tables(part)
        users = np.sort(tables[USERS][USER].to_numpy())
        stale = np.isin(users, self._hot_users, assume_unique=True)
        gone = pl.Series(users[stale])
        kept = self._hot
        if len(gone):
            kept = {name: _but(table, gone) for name, table in kept.items()}
        self._hot = _joined([kept, tables])
        self._hot_users = np.union1d(self._hot_users, users)
        self.common = common_tables(part)
        self.watermark = part.watermark

    def table(self, name: str) -> pl.DataFrame | None:
        """The newest rows of a table of all users but those only training knows; None: it is empty.

        Args:
            name: of the table.
        """
        found, seen = [], NOBODY
        for layer in (Layer(_sorted(self._hot)), *self._segments.values()):
            if name in layer.tables:
                newer = pl.Series(seen)
                found.append(_but(layer.tables[name], newer))
            seen = np.union1d(seen, layer.users)
        return pl.concat(found) if found else None

    def flush(self, number: int) -> list[str]:
        """Write what is in memory, and merge segments; gives the names of what was written.

        What counted before stays on disk until the caller has noted what counts now.

        Args:
            number: of the checkpoint, greater than all before.
        """
        written = []
        if len(self._hot_users):
            layers: list[Layer] = [Layer(_sorted(self._hot))]
            older = list(self._segments.items())
            # as a counter in base 2 carries: what is merged is at most twice what is new
            while older and 2 * sum(layer.size for layer in layers) >= older[0][1].size:
                layers.append(older.pop(0)[1])
            name = f"{number:012d}"
            merged(layers).write(self.folder / name)
            self._segments = {name: Layer.read(self.folder / name), **dict(older)}
            self._hot, self._hot_users = {}, NOBODY
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


def merged(layers: Sequence[Layer]) -> Layer:
    """One layer of several, the newest first."""
    parts, seen = [], NOBODY
    for layer in layers:
        gone = pl.Series(np.intersect1d(seen, layer.users))
        tables = layer.tables
        parts.append({n: _but(t, gone) for n, t in tables.items()} if len(gone) else tables)
        seen = np.union1d(seen, layer.users)
    return Layer(_sorted(_joined(parts)))


def keyed_tables(profile: Profile) -> Tables:
    """The tables whose rows belong to single users."""
    found = {USERS: profile.users, NAMES: profile.names}
    if profile.open is not None:
        found[OPEN] = profile.open
    return found | {n: table for n, table in profile.tables.items() if USER in table.columns}


def common_tables(profile: Profile) -> Tables:
    """The tables that belong to everybody."""
    return {n: table for n, table in profile.tables.items() if USER not in table.columns}


def profile_of(tables: Tables, shared: Tables, watermark: datetime | None) -> Profile:
    """The profile whose tables these are; the events of open windows by user and time."""
    own = {n: table for n, table in tables.items() if n not in (USERS, NAMES, OPEN)}
    found = Profile(tables={**own, **shared}, watermark=watermark)
    if USERS in tables:
        found = replace(found, users=tables[USERS], names=tables[NAMES])
    if OPEN in tables:
        found = replace(found, open=tables[OPEN].sort(USER, maintain_order=True))
    return found


def _joined(parts: Iterable[Tables]) -> Tables:
    by_name: dict[str, list[pl.DataFrame]] = {}
    for part in parts:
        for name, table in part.items():
            by_name.setdefault(name, []).append(table)
    found = {}
    for name, tables in by_name.items():
        columns = tables[0].columns
        found[name] = pl.concat([table.select(columns) for table in tables])
    return found


def _sorted(tables: Tables) -> Tables:
    return {name: table.sort(USER, maintain_order=True) for name, table in tables.items()}


def _among(users: Hashes, of: Hashes) -> npt.NDArray[np.bool_]:
    """Which are there; both sorted."""
    if not len(of):
        return np.zeros(len(users), np.bool_)
    at = np.minimum(np.searchsorted(of, users), len(of) - 1)
    found: npt.NDArray[np.bool_] = of[at] == users
    return found


def _of(table: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    return table.filter(pl.col(USER).is_in(users.implode()))


def _but(table: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    return table.filter(~pl.col(USER).is_in(users.implode()))
