"""Writes a whole world into a folder, day by day."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import ConfigError
from riskml.core.interrupts import ctrl_c_waits
from riskml.data.simulator.day import DayMaker
from riskml.data.simulator.incidents import Attacks, plan_attacks
from riskml.data.simulator.plan import make_plan
from riskml.data.simulator.settings import SimulationSettings
from riskml.data.simulator.tables import (
    incidents_table,
    resources_table,
    users_table,
    world_record,
)

WORLD_FILE = "world.json"
"""Written last: a folder that has it is complete."""

_CHUNK = 10


@dataclass(frozen=True)
class _DayDone:
    """What the writer must remember of a day."""

    events: int
    user_days: int
    positive_user_days: int
    labels: pl.DataFrame
    spans: pl.DataFrame


def simulate(
    settings: SimulationSettings,
    folder: Path | str,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a simulated organisation into a folder.

    The folder gets ``events/day=YYYY-MM-DD/events.parquet`` (UTC days, ordered by time; columns
    event_id, user_id, timestamp, action, resource, source, success, ip, place, host, bytes,
    time_zone, ingested_at), ``users.parquet``, ``incidents.parquet``, ``event_labels.parquet``,
    ``resources.parquet`` and, last of all, ``world.json``.

    Args:
        settings: what decides the world.
        folder: where to; made if missing. A world that is there already is replaced.
        workers: number of processes; it does not change a byte.
        progress: called with (days done, days) after each day.

    Returns:
        The folder.

    Raises:
        ConfigError: if a scenario is unknown, attacks are wanted and none fits into the test
            period, ``workers`` is below 1, or the folder holds something that is no world.
    """
    if workers < 1:
        raise ConfigError(f"workers={workers} is out of range; give 1 or more")
    attacks = plan_attacks(make_plan(settings))
    target = _emptied(Path(folder))
    done: list[_DayDone] = []
    for number, day in enumerate(_days(settings, attacks, target, workers), 1):
        done.append(day)
        if progress is not None:
            progress(number, settings.days)
    labels = pl.concat([day.labels for day in done])
    labels.write_parquet(target / "event_labels.parquet")
    incidents = incidents_table(attacks, pl.concat([day.spans for day in done]))
    incidents.write_parquet(target / "incidents.parquet")
    users_table(attacks).write_parquet(target / "users.parquet")
    resources_table(attacks).write_parquet(target / "resources.parquet")
    world = world_record(attacks, _counts(settings, done, len(incidents)))
    (target / WORLD_FILE).write_text(json.dumps(world, indent=2) + "\n")
    return target


def _emptied(folder: Path) -> Path:
    """Make the folder, or clear the world that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {
        "events",
        "users.parquet",
        "incidents.parquet",
        "event_labels.parquet",
        "resources.parquet",
        WORLD_FILE,
        "plots",
    }
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if foreign:
        raise ConfigError(
            f"folder={str(folder)!r} holds {foreign[0]!r}, which is no part of a world; "
            "give an empty or a new folder"
        )
    # First of all, so that a world half replaced does not look complete.
    (folder / WORLD_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / "events", ignore_errors=True)
    return folder


def _days(
    settings: SimulationSettings, attacks: Attacks, folder: Path, workers: int
) -> Iterator[_DayDone]:
    """Write every day and yield them in order."""
    if workers == 1:
        maker = DayMaker(attacks)
        for day in range(settings.days):
            yield _write_day(maker, day, folder)
        return
    # Threads and fork do not go together, so processes start afresh and make their own plan.
    chunks = [
        (start, min(start + _CHUNK, settings.days)) for start in range(0, settings.days, _CHUNK)
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_worker, (settings, str(folder))) as pool:
        with ctrl_c_waits():
            written = pool.map(_write_chunk, chunks)
        try:
            for days in written:
                yield from days
        finally:
            pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}


def _begin_worker(settings: SimulationSettings, folder: str) -> None:
    _worker["maker"] = DayMaker(plan_attacks(make_plan(settings)))
    _worker["folder"] = Path(folder)


def _write_chunk(chunk: tuple[int, int]) -> list[_DayDone]:
    return [_write_day(_worker["maker"], day, _worker["folder"]) for day in range(*chunk)]


def _write_day(maker: DayMaker, day: int, folder: Path) -> _DayDone:
    """Write one day's file."""
    events, labels = maker.events_of(day)
    date = maker.plan.almanac.dates[day].isoformat()
    path = folder / "events" / f"day={date}"
    path.mkdir(parents=True, exist_ok=True)
    events.write_parquet(path / "events.parquet", compression="zstd", compression_level=1)
    attacked = labels.join(events.select("event_id", "user_id", "timestamp"), on="event_id")
    spans = attacked.group_by("incident_id", maintain_order=True).agg(
        start=pl.col("timestamp").min(),
        end=pl.col("timestamp").max(),
        events=pl.len(),
        phases=pl.col("phase").unique(maintain_order=True),
    )
    return _DayDone(
        events=len(events),
        user_days=events["user_id"].n_unique(),
        positive_user_days=attacked["user_id"].n_unique(),
        labels=labels,
        spans=spans,
    )


def _counts(settings: SimulationSettings, done: list[_DayDone], incidents: int) -> dict[str, int]:
    test = settings.days - settings.test_days
    return {
        "events": sum(day.events for day in done),
        "labelled_events": sum(len(day.labels) for day in done),
        "incidents": incidents,
        "user_days": sum(day.user_days for day in done),
        "test_user_days": sum(day.user_days for day in done[test:]),
        "positive_test_user_days": sum(day.positive_user_days for day in done[test:]),
        "positive_train_user_days": sum(day.positive_user_days for day in done[:test]),
    }
