"""What is known of every user before the next event; carried from one load to the next."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from riskml.core.errors import reading
from riskml.core.schema import TIMESTAMP
from riskml.features.hashing import hashed

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

    It never changes: `FeatureExtractor.transform` returns the next one.

    Attributes:
        users: of each user the number of events, the last time zone, and the time until which
            windows are closed.
        names: the user id of each hash.
        open: events whose windows may still grow, as the extractor prepares them.
        tables: by name `<family>.<what>`; those keyed by `user` belong to users, the others to
            everybody.
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
        chosen = _hashes(user_ids)
        return replace(
            self,
            late=0,
            users=_only(self.users, chosen),
            names=_only(self.names, chosen),
            open=None if self.open is None else _only(self.open, chosen),
            tables={name: _only(table, chosen) for name, table in self.tables.items()},
        )

    def without(self, user_ids: Iterable[str]) -> Profile:
        """Forget users; what they have in common with others (see `novelty`) names nobody."""
        gone = _hashes(user_ids)

        return replace(
            self,
            users=_but(self.users, gone),
            names=_but(self.names, gone),
            open=None if self.open is None else _but(self.open, gone),
            tables={name: _but(table, gone) for name, table in self.tables.items()},
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

        The part's users take the place of their rows here. Of a table that belongs to everybody
        the rows of both stay, and of those that differ in their last column alone the least.
        Parts that were worked on side by side did not know of each other's first times.
        """
        users = part.users[USER]

        def both(mine: pl.DataFrame | None, other: pl.DataFrame | None) -> pl.DataFrame:
            mine, other = (other if mine is None else mine), (mine if other is None else other)
            assert mine is not None and other is not None
            if USER in mine.columns:
                return pl.concat([_but(mine, users), _only(other, users)])
            *keys, value = mine.columns
            return pl.concat([mine, other]).group_by(keys).agg(pl.col(value).min()).sort(keys)

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

    @property
    def estimated_bytes(self) -> int:
        """Memory of all tables."""
        frames = [self.users, self.names, *self.tables.values()]
        if self.open is not None:
            frames.append(self.open)
        return int(sum(frame.estimated_size() for frame in frames))

    def save(self, folder: Path, prefix: str = "profile") -> list[Path]:
        """Write one Parquet file a table, sorted by user, and `<prefix>.json`; no pickle.

        Returns:
            The files.
        """
        folder.mkdir(parents=True, exist_ok=True)
        frames = {USERS: self.users, NAMES: self.names, **self.tables}
        if self.open is not None:
            frames[OPEN] = self.open
        files = []
        for name, frame in frames.items():
            path = folder / f"{prefix}.{name}.parquet"
            ordered = frame.sort(USER, maintain_order=True) if USER in frame.columns else frame
            ordered.write_parquet(path, row_group_size=ROWS_A_GROUP)
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

    def replace_folder(self, folder: Path) -> None:
        """Write to a folder in one step: a kill leaves the old profile or the new one."""
        draft = folder.with_name(folder.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        self.save(draft)
        old = folder.with_name(folder.name + ".old")
        # after a kill the old one may be all there is
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

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
        if not folder.exists() and folder.with_name(folder.name + ".old").exists():
            folder = folder.with_name(folder.name + ".old")
        chosen = None if user_ids is None else _hashes(user_ids)
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
                frames[name] = table.collect()
            mark = state["watermark"]
            return cls(
                users=frames.pop(USERS),
                names=frames.pop(NAMES),
                open=frames.pop(OPEN, None),
                tables=frames,
                watermark=None if mark is None else datetime.fromisoformat(mark).astimezone(UTC),
                late=int(state["late"]) if chosen is None else 0,
            )


def upsert(table: pl.DataFrame | None, rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """The table with `rows` in place of those that have the same keys."""
    if table is None or table.is_empty():
        return rows
    rest = table.join(rows.select(keys), on=keys, how="anti")
    return pl.concat([rest, rows.select(table.columns)])


def _hashes(user_ids: Iterable[str]) -> pl.Series:
    frame = pl.DataFrame({USER: list(user_ids)}, schema={USER: pl.String})
    return frame.select(hashed(USER)).to_series()


def _but(table: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    return table.filter(~pl.col(USER).is_in(users.implode())) if USER in table.columns else table


def _only(table: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    return table.filter(pl.col(USER).is_in(users.implode())) if USER in table.columns else table
