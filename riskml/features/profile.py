"""What is known of every user before the next event; carried from one load to the next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from riskml.core.errors import reading
from riskml.core.schema import TIMESTAMP
from riskml.features.first_times import earliest
from riskml.features.hashing import bucket_of, hashed
from riskml.features.rows import Array, begins, index, put, rows_of

USER = "user"
"""The hash of the user id, by which all tables of a profile are keyed."""

USERS, NAMES, OPEN = "users", "names", "open"
FORMAT = 1
ROWS_A_GROUP = 20_000

USERS_SCHEMA: dict[str, pl.DataType] = {
    USER: pl.UInt64(),
    "n_events": pl.Int64(),
    "time_zone": pl.String(),
    "closed_until": TIMESTAMP,
}


NAMES_SCHEMA: dict[str, pl.DataType] = {USER: pl.UInt64(), "user_id": pl.String()}


@dataclass(frozen=True)
class Profile:
    """The state of the features, one table a family and one of events in open windows.

    It never changes: `FeatureExtractor.transform` returns the next one, whose tables with a column
    `user` stand in its order, so that a few users are found without a look at the others.

    Attributes:
        users: of each user the number of events, the last time zone, and the time until which
            windows are closed.
        names: the user id of each hash.
        open: events whose windows may still grow, as the extractor prepares them.
        tables: by name `<family>.<what>`; those keyed by `user` belong to users, the others, which
            are of first times, to everybody.
        watermark: up to which time all events are taken to have arrived.
        late: events that came after their window was closed, and so count in no window.
    """

    users: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=USERS_SCHEMA))
    names: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NAMES_SCHEMA))
    open: pl.DataFrame | None = None
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    watermark: datetime | None = None
    late: int = 0

    def with_table(self, name: str, table: pl.DataFrame) -> Profile:
        """The same with another table."""
        return replace(self, tables={**self.tables, name: table})

    def of(self, user_ids: Iterable[str]) -> Profile:
        """Of some users only; what belongs to everybody stays. Late events count anew."""
        users = _hashes(user_ids)
        return replace(self._each(lambda table: _only(table, users)), late=0)

    def without(self, user_ids: Iterable[str]) -> Profile:
        """Forget users; what they have in common with others (see `novelty`) names nobody."""
        users = _hashes(user_ids)
        return self._each(lambda table: put(_ordered(table), table.clear(), USER, users))

    def ordered(self) -> Profile:
        """The same with each table in order of user, as those are that the extractor leaves."""
        return self._each(_ordered)

    def _each(self, work: Callable[[pl.DataFrame], pl.DataFrame]) -> Profile:
        """The same once something was done to each table that belongs to users."""
        return replace(
            self,
            users=work(self.users),
            names=work(self.names),
            open=None if self.open is None else work(self.open),
            tables={
                name: work(table) if USER in table.columns else table
                for name, table in self.tables.items()
            },
        )

    def still_open(self, keys: pl.DataFrame) -> pl.Series:
        """Which windows, given as they stood when this profile was left, may still grow.

        Args:
            keys: of windows, with user_id and start.
        """
        if self.open is None:
            return pl.repeat(False, len(keys), eager=True)
        since = self.open.group_by(USER).agg(pl.col("timestamp").min().alias("since"))
        of_user = keys.select(hashed("user_id").alias(USER), "start").join(
            since, on=USER, how="left", maintain_order="left"
        )
        return (of_user["start"] >= of_user["since"]).fill_null(False)

    def merge(self, part: Profile) -> Profile:
        """This profile with what a part of it has become since `of` or `load` took it out.

        The part's users take the place of their rows here. Of first times the rows of both stay,
        the earlier where both have one.
        Parts that were worked on side by side did not know of each other's first times.
        """
        users = np.sort(part.users[USER].to_numpy())

        def both(mine: pl.DataFrame | None, other: pl.DataFrame | None) -> pl.DataFrame:
            mine, other = (other if mine is None else mine), (mine if other is None else other)
            assert mine is not None and other is not None
            if other is mine:
                return mine
            if USER in mine.columns:
                return put(_ordered(mine), _ordered(other), USER, users)
            return earliest(mine, other)

        marks = [mark for mark in (self.watermark, part.watermark) if mark is not None]
        nothing_open = self.open is None and part.open is None
        return Profile(
            users=both(self.users, part.users),
            names=both(self.names, part.names),
            open=None if nothing_open else both(self.open, part.open),
            tables={
                name: both(self.tables.get(name), part.tables.get(name))
                for name in {**self.tables, **part.tables}
            },
            watermark=max(marks, default=None),
            late=self.late + part.late,
        )

    def split(self, buckets: int) -> list[Profile]:
        """The users by `hashing.bucket_of`, each part in order of the hashes.

        What belongs to everybody is in no part. Late events count anew.
        """
        parts: list[dict[str, pl.DataFrame]] = [{} for _ in range(buckets)]
        numbers = pl.Series(range(buckets + 1), dtype=pl.UInt64)
        for name, table in self.frames().items():
            if USER not in table.columns:
                continue
            ordered = _ordered(table)
            ends = bucket_of(ordered[USER], buckets).search_sorted(numbers, "left")
            for part, (begin, end) in zip(parts, pairwise(ends), strict=True):
                part[name] = ordered[begin:end]
        return [Profile.of_frames(part, self.watermark) for part in parts]

    @classmethod
    def joined(cls, parts: Iterable[Profile]) -> Profile:
        """The users of all parts, of which no two share one, in the order of the parts."""
        found: dict[str, list[pl.DataFrame]] = {}
        marks, late = [], 0
        for part in parts:
            late += part.late
            marks += [] if part.watermark is None else [part.watermark]
            for name, table in part.frames().items():
                found.setdefault(name, []).append(table)
        frames = {name: pl.concat(tables, how="diagonal") for name, tables in found.items()}
        return cls.of_frames(frames, max(marks, default=None), late)

    def frames(self) -> dict[str, pl.DataFrame]:
        """All tables by name."""
        waiting = {} if self.open is None else {OPEN: self.open}
        return {USERS: self.users, NAMES: self.names, **self.tables, **waiting}

    @classmethod
    def of_frames(
        cls, frames: Mapping[str, pl.DataFrame], watermark: datetime | None = None, late: int = 0
    ) -> Profile:
        """The profile that has these `frames`."""
        tables = {n: table for n, table in frames.items() if n not in (USERS, NAMES, OPEN)}
        return cls(
            frames[USERS], frames[NAMES], frames.get(OPEN), tables, watermark=watermark, late=late
        )

    @property
    def estimated_bytes(self) -> int:
        """Memory of all tables."""
        return int(sum(frame.estimated_size() for frame in self.frames().values()))

    def save(self, folder: Path, prefix: str = "profile") -> list[Path]:
        """Write one Parquet file a table, sorted by user, and `<prefix>.json`; no pickle.

        Returns:
            The files.
        """
        folder.mkdir(parents=True, exist_ok=True)
        frames = self.frames()
        files = []
        for name, frame in frames.items():
            path = folder / f"{prefix}.{name}.parquet"
            _ordered(frame).write_parquet(path, row_group_size=ROWS_A_GROUP)
            files.append(path)
        state = {
            "format": FORMAT,
            "watermark": None if self.watermark is None else self.watermark.isoformat(),
            "late": self.late,
            "tables": sorted(frames),
        }
        path = folder / f"{prefix}.json"
        path.write_text(json.dumps(state, indent=1))
        return [*files, path]

    @classmethod
    def load(
        cls, folder: Path, user_ids: Iterable[str] | None = None, prefix: str = "profile"
    ) -> Profile:
        """Read what `save` wrote.

        Args:
            folder: where.
            user_ids: read these users only, as `of` does; row groups without them stay on disk.
            prefix: of the files.

        Raises:
            BundleError: a file is missing or not one of ours.
        """
        chosen = None if user_ids is None else pl.Series(_hashes(user_ids))
        with reading(folder / f"{prefix}.json"):
            state = json.loads((folder / f"{prefix}.json").read_text())
            if state["format"] != FORMAT:
                raise ValueError(f"profile format {state['format']}, this riskml reads {FORMAT}")
            frames = {}
            for name in state["tables"]:
                if not re.fullmatch(r"\w+(\.\w+)*", name):
                    raise ValueError(f"a table is named {name!r}")
                table = pl.scan_parquet(folder / f"{prefix}.{name}.parquet")
                if chosen is not None and USER in table.collect_schema():
                    table = table.filter(pl.col(USER).is_in(chosen.implode()))
                frames[name] = _ordered(table.collect())
            mark = state["watermark"]
            return cls.of_frames(
                frames,
                None if mark is None else datetime.fromisoformat(mark).astimezone(UTC),
                int(state["late"]) if chosen is None else 0,
            )


def upsert(table: pl.DataFrame | None, rows: pl.DataFrame) -> pl.DataFrame:
    """The table with `rows` in place of those of the same users; all in order of user."""
    if table is None or table.is_empty():
        return rows
    if rows.is_empty():
        return table
    users = rows[USER].to_numpy()
    return put(table, rows, USER, users[begins(users)])


def _ordered(table: pl.DataFrame) -> pl.DataFrame:
    if USER not in table.columns or table[USER].is_sorted():
        return table
    return table.sort(USER, maintain_order=True)


def _hashes(user_ids: Iterable[str]) -> Array:
    """Rising, each once."""
    frame = pl.DataFrame({USER: list(user_ids)}, schema={USER: pl.String})
    return np.unique(frame.select(hashed(USER)).to_series().to_numpy())


def _only(table: pl.DataFrame, users: Array) -> pl.DataFrame:
    table = _ordered(table)
    return table[index(rows_of(table[USER].to_numpy(), users))]
