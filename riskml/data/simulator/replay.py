"""A world as a live stream: JSON lines at a chosen speed, with the faults that streams have."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError

LATE_HOURS = 2.0
"""Mean delay of a late record."""

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class StreamFaults:
    """Shares of records that are spoilt on purpose.

    Args:
        late: sent after a delay, exponential with a mean of two hours.
        duplicates: sent twice, the second time up to an hour later.
        malformed: sent as a line that is no valid record: cut off, a broken time, or no JSON.
        seed: which ones.

    Raises:
        ConfigError: a share is not between 0 and 1.
    """

    late: float = 0.0
    duplicates: float = 0.0
    malformed: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "malformed"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be a share from 0 to below 1")


def replay(
    folder: Path,
    out: TextIO,
    speed: float | None = None,
    faults: StreamFaults | None = None,
    truth: Path | None = None,
    last_days: int | None = None,
) -> int:
    """Write a world's events as JSON lines in order of time, the late ones when they arrive.

    Each says the role of its user, too, which files of a world keep apart.

    Args:
        folder: of a world.
        out: where to.
        speed: seconds of the world that pass in a second here; None writes without a pause.
        faults: what goes wrong on the way.
        truth: Parquet file that is told which lines were spoilt and how (line number from 1,
            event_id, fault); nothing of it is in the stream.
        last_days: leave out the days before these; None: replay all.

    Returns:
        Lines written.

    Raises:
        ConfigError: the folder holds no world, or the speed is not positive.
    """
    if speed is not None and speed <= 0:
        raise ConfigError(f"speed={speed} must be above 0")
    files = sorted((folder / "events").glob("day=*/events.parquet"))
    if not files:
        raise ConfigError(f"{folder} holds no simulated world: run `riskml simulate --out` first")
    files = files if last_days is None else files[-last_days:]
    clock = _Clock(speed)
    lines, told = 0, []
    people = pl.read_parquet(folder / "users.parquet").select("user_id", "role")
    for arrived in _arrivals(files, faults or StreamFaults()):
        batch = arrived.join(people, on="user_id", how="left", maintain_order="left")
        spoilt = batch.with_row_index("line", offset=lines + 1).filter(pl.col("fault") != "")
        told.append(spoilt.select("line", "event_id", "fault"))
        for arrival, line in zip(batch["arrival"].to_list(), _lines(batch), strict=True):
            clock.wait(arrival)
            out.write(line)
        out.flush()
        lines += len(batch)
    if truth is not None:
        pl.concat(told).write_parquet(truth)
    return lines


def _arrivals(files: list[Path], faults: StreamFaults) -> Iterator[pl.DataFrame]:
    """Events by arrival, a day at a time; what arrives after midnight waits for its day."""
    waiting: pl.DataFrame | None = None
    for number, file in enumerate(files):
        events = _spoil(pl.read_parquet(file, hive_partitioning=False), faults, number)
        events = events if waiting is None else pl.concat([waiting, events])
        events = events.sort("arrival", "event_id", maintain_order=True)
        midnight = events["timestamp"].max()
        now = pl.col("arrival") <= midnight
        waiting = events.filter(~now)
        yield events.filter(now)
    if waiting is not None and len(waiting):
        yield waiting


def _spoil(events: pl.DataFrame, faults: StreamFaults, day: int) -> pl.DataFrame:
    """Add `arrival` and `fault` (empty where all is well), and rows for duplicates."""
    draw = np.random.default_rng([faults.seed, day])
    n = len(events)
    late = draw.random(n) < faults.late
    delay = np.where(late, draw.exponential(LATE_HOURS * 3600, n), 0.0)
    wait = pl.Series((delay * MICROSECONDS).astype(np.int64)).cast(pl.Duration("us"))
    events = events.with_columns(
        pl.Series("fault", np.where(late, "late", "").astype(str)),
        arrival=pl.col("timestamp") + wait,
        # The record itself says that it came late.
        ingested_at=pl.col("ingested_at") + wait,
    )
    twice = events.filter(pl.Series(draw.random(n) < faults.duplicates))
    again = pl.Series((draw.random(len(twice)) * 3600 * MICROSECONDS).astype(np.int64))
    twice = twice.with_columns(
        arrival=pl.col("arrival") + again.cast(pl.Duration("us")), fault=pl.lit("duplicate")
    )
    broken = draw.random(n) < faults.malformed
    kind = draw.choice(["cut_off", "broken_time", "no_json"], n)
    events = events.with_columns(
        pl.when(pl.Series(broken)).then(pl.Series(kind)).otherwise("fault").alias("fault")
    )
    return pl.concat([events, twice])


def _lines(batch: pl.DataFrame) -> Iterator[str]:
    records = batch.drop("fault", "arrival").with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    )
    for fault, record in zip(batch["fault"].to_list(), records.iter_rows(named=True), strict=True):
        yield _line(record, fault)


def _line(record: dict[str, object], fault: str) -> str:
    if fault == "broken_time":
        record = {**record, "timestamp": "yesterday"}
    line = json.dumps(record, ensure_ascii=False)
    if fault == "cut_off":
        line = line[: len(line) // 2]
    if fault == "no_json":
        line = ";".join(str(value) for value in record.values())
    return line + "\n"


class _Clock:
    """Holds records back until their time has come."""

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self.first: float | None = None
        self.started = time.monotonic()

    def wait(self, arrival: object) -> None:
        if self.speed is None:
            return
        instant = arrival.timestamp()  # type: ignore[attr-defined]
        if self.first is None:
            self.first = instant
        ahead = (instant - self.first) / self.speed - (time.monotonic() - self.started)
        if ahead > 0:
            time.sleep(ahead)
