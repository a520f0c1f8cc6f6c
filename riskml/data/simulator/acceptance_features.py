"""The plain user-day features with which a world is judged: raw counts and first times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from riskml.data.simulator.randomness import Flags, Floats
from riskml.data.simulator.vocabulary import ACTION_NAMES
from riskml.data.simulator.world import WORLD_FILE

# Who meets what for the first time: the user, the role (peers) and the whole organisation.
_FIRST_TIMES = (
    ("user_id", ("resource", "host", "source", "place", "action", "hour")),
    ("role", ("resource", "host", "source", "place", "action")),
    (None, ("resource", "source")),
)
_KEYS = ("user_id", "local_day")


@dataclass(frozen=True)
class UserDays:
    """Every user-day of a world that has an event.

    Attributes:
        keys: user_id, local_day, role, in test period, in incident: one row per user-day.
        raw: counts: [user-days, features].
        novelty: first times in the log, causal: [user-days, features].
        raw_names, novelty_names: names of the columns.
    """

    keys: pl.DataFrame
    raw: Floats
    novelty: Floats
    raw_names: tuple[str, ...]
    novelty_names: tuple[str, ...]

    @property
    def test(self) -> Flags:
        """Which rows are of the test period: [user-days]."""
        return self.keys["test"].to_numpy()

    @property
    def positive(self) -> Flags:
        """Which rows hold an event of an attack: [user-days]."""
        return self.keys["positive"].to_numpy()

    @property
    def both(self) -> Floats:
        """Raw counts and first times side by side."""
        return np.hstack([self.raw, self.novelty])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of ``both``."""
        return self.raw_names + self.novelty_names


def user_days(folder: Path | str, local: bool = True) -> UserDays:
    """Read a world and count.

    Args:
        folder: a world written by ``simulate``.
        local: days and hours of the user's own time zone, else of UTC.
    """
    root = Path(folder)
    world = json.loads((root / WORLD_FILE).read_text())
    test_begins = date.fromisoformat(world["test_begins"])
    roles = pl.read_parquet(root / "users.parquet").select("user_id", "role")
    labels = pl.read_parquet(root / "event_labels.parquet").select("event_id", "scenario")
    events = (
        pl.scan_parquet(root / "events" / "*" / "events.parquet", hive_partitioning=False)
        .drop("ingested_at")
        .collect()
        .join(roles, on="user_id", how="left", maintain_order="left")
        .join(labels, on="event_id", how="left", maintain_order="left")
    )
    events = _local_time(events, local).sort("timestamp", maintain_order=True)
    firsts = [
        _first_time(who, column).alias(f"new_{column}_to_{(who or 'all').removesuffix('_id')}")
        for who, columns in _FIRST_TIMES
        for column in columns
    ]
    events = events.with_columns(firsts)
    novelty_names = tuple(expression.meta.output_name() for expression in firsts)
    off_hours = (pl.col("hour") < 7) | (pl.col("hour") >= 19) | (pl.col("weekday") > 5)
    failed = pl.col("success").not_().fill_null(False)
    raw = [
        pl.len().alias("events"),
        *((pl.col("action") == name).sum().alias(f"n_{name}") for name in ACTION_NAMES),
        failed.sum().alias("failures"),
        (failed & (pl.col("action") == "logon")).sum().alias("failed_logons"),
        off_hours.sum().alias("off_hours"),
        *(
            pl.col(name).drop_nulls().n_unique().alias(f"distinct_{name}")
            for name in ("resource", "source")
        ),
        pl.col("bytes").sum().alias("bytes"),
    ]
    raw_names = tuple(expression.meta.output_name() for expression in raw)
    table = (
        events.group_by(*_KEYS)
        .agg(
            *raw,
            *(pl.col(name).sum() for name in novelty_names),
            pl.col("role").first(),
            positive=pl.col("scenario").is_not_null().any(),
            scenario=pl.col("scenario").drop_nulls().first(),
            attack_events=pl.col("scenario").is_not_null().sum(),
        )
        .sort(*_KEYS)
        .with_columns(test=pl.col("local_day") >= test_begins)
    )
    return UserDays(
        keys=table.select(*_KEYS, "role", "test", "positive", "scenario", "attack_events"),
        raw=table.select(raw_names).to_numpy().astype(np.float64),
        novelty=table.select(novelty_names).to_numpy().astype(np.float64),
        raw_names=raw_names,
        novelty_names=novelty_names,
    )


def _first_time(who: str | None, column: str) -> pl.Expr:
    """Return whether an event is the first of its pair; rows must be in order of time."""
    pair = pl.col(column) if who is None else pl.struct(who, column)
    return pair.is_first_distinct() & pl.col(column).is_not_null()


def _local_time(events: pl.DataFrame, local: bool) -> pl.DataFrame:
    """Add local_day, hour and weekday (Monday 1)."""
    if local:
        parts = [
            part.with_columns(
                clock=pl.col("timestamp").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
            )
            for (zone,), part in events.group_by("time_zone", maintain_order=True)
        ]
        events = pl.concat(parts)
    else:
        events = events.with_columns(clock=pl.col("timestamp").dt.replace_time_zone(None))
    return events.with_columns(
        local_day=pl.col("clock").dt.date(),
        hour=pl.col("clock").dt.hour(),
        weekday=pl.col("clock").dt.weekday(),
    ).drop("clock")
