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

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError
from riskml.data.simulator.almanac import TIME_ZONES
from riskml.data.simulator.confounders import CONFOUNDERS
from riskml.data.simulator.day import DayMaker, incident_name
from riskml.data.simulator.incidents import Attacks, plan_attacks
from riskml.data.simulator.people import NEVER, account_names
from riskml.data.simulator.plan import make_plan
from riskml.data.simulator.roles import ROLE_NAMES
from riskml.data.simulator.scenarios import scenario_named
from riskml.data.simulator.settings import SIMULATOR_VERSION, SimulationSettings, settings_digest
from riskml.data.simulator.vocabulary import RESOURCE_KINDS

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
        ConfigError: if a scenario is unknown, ``workers`` is below 1, or the folder holds
            something that is no world.
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
    incidents = _incidents(attacks, pl.concat([day.spans for day in done]))
    incidents.write_parquet(target / "incidents.parquet")
    _users(attacks).write_parquet(target / "users.parquet")
    _resources(attacks).write_parquet(target / "resources.parquet")
    world = _world(attacks, done, len(incidents), len(labels))
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
        for days in pool.map(_write_chunk, chunks):
            yield from days


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


def _incidents(attacks: Attacks, spans: pl.DataFrame) -> pl.DataFrame:
    """Return one row per incident of which at least one event is in the log."""
    settings, names = attacks.plan.settings, account_names(attacks.plan.people.count)
    rows = [
        {
            "incident_id": incident_name(incident.number),
            "user_id": names[incident.user],
            "scenario": incident.scenario,
            "campaign_id": f"campaign-{incident.campaign:05d}",
            "difficulty": 1.0 - settings.effect_size,
            "touched_features": list(scenario_named(incident.scenario).touches),
            "reserved": incident.scenario in settings.reserved_scenarios,
            "controls": [names[user] for user in incident.controls],
        }
        for incident in attacks.incidents
    ]
    schema = {
        "incident_id": pl.String,
        "user_id": pl.String,
        "scenario": pl.String,
        "campaign_id": pl.String,
        "difficulty": pl.Float64,
        "touched_features": pl.List(pl.String),
        "reserved": pl.Boolean,
        "controls": pl.List(pl.String),
    }
    seen = spans.group_by("incident_id").agg(
        start=pl.col("start").min(),
        end=pl.col("end").max(),
        events=pl.col("events").sum(),
        phases=pl.col("phases").list.explode().unique(maintain_order=True),
    )
    return (
        pl.DataFrame(rows, schema=schema)
        .join(seen, on="incident_id")
        .sort("incident_id")
        .select(
            "incident_id",
            "user_id",
            "scenario",
            "phases",
            "difficulty",
            "start",
            "end",
            "events",
            "touched_features",
            "reserved",
            "campaign_id",
            "controls",
        )
    )


def _users(attacks: Attacks) -> pl.DataFrame:
    plan = attacks.plan
    people, dates = plan.people, plan.almanac.dates
    names = account_names(people.count)
    days = plan.settings.days
    return pl.DataFrame(
        {
            "user_id": names,
            "role": [ROLE_NAMES[role] for role in people.role],
            "team": [f"team-{team:03d}" for team in people.team],
            "manager": [names[head] if head >= 0 else None for head in people.manager],
            "time_zone": [TIME_ZONES[zone] for zone in people.zone],
            "joined": [dates[day] if day >= 0 else None for day in people.joined],
            "left": [dates[day] if day < days else None for day in people.left],
            "account_type": np.where(people.service, "service", "person").tolist(),
            "role_after_move": [
                ROLE_NAMES[role] if day < NEVER else None
                for role, day in zip(people.role_after, people.move_day, strict=True)
            ],
            "moved": [dates[day] if day < days else None for day in people.move_day],
        },
        schema_overrides={
            "manager": pl.String,
            "joined": pl.Date,
            "left": pl.Date,
            "role_after_move": pl.String,
            "moved": pl.Date,
        },
    )


def _resources(attacks: Attacks) -> pl.DataFrame:
    """Return the inventory: every name that a resource has in the world's days."""
    plan = attacks.plan
    resources = plan.resources
    codes = np.arange(resources.count)
    kinds = np.searchsorted(resources.first_code, codes, side="right") - 1
    last = plan.settings.days - 1
    rows = []
    for day in sorted({0, *(int(d) for d in np.unique(resources.renames) if d <= last)}):
        rows.append(resources.name_index(codes, day))
    index = np.unique(np.concatenate(rows))
    code = index // (len(resources.names) // resources.count)
    return pl.DataFrame(
        {
            "resource": [resources.names[i] for i in index],
            "kind": [RESOURCE_KINDS[kinds[c]] for c in code],
            "sensitivity": resources.sensitivity[code],
            "same_as": [resources.names[i] for i in rows[0][code]],
        }
    )


def _world(attacks: Attacks, done: list[_DayDone], incidents: int, labelled: int) -> dict[str, Any]:
    """Return what ``world.json`` holds."""
    settings, dates = attacks.plan.settings, attacks.plan.almanac.dates
    mass = attacks.plan.mass_events
    test = settings.days - settings.test_days
    return {
        "version": SIMULATOR_VERSION,
        "digest": settings_digest(settings),
        "seed": settings.seed,
        "settings": settings.to_dict(),
        "effect_size": settings.effect_size,
        "test_begins": settings.test_begins.isoformat(),
        "reserved_scenarios": list(settings.reserved_scenarios),
        "confounder_rates": {item.name: item.rate for item in CONFOUNDERS},
        "mass_events": {
            "reorganisations": [dates[day].isoformat() for day in sorted(mass.reorganisations)],
            "migrations": [dates[day].isoformat() for day in sorted(mass.migrations)],
            "outages": [dates[day].isoformat() for day in sorted(mass.outages)],
        },
        "counts": {
            "events": sum(day.events for day in done),
            "labelled_events": labelled,
            "incidents": incidents,
            "user_days": sum(day.user_days for day in done),
            "test_user_days": sum(day.user_days for day in done[test:]),
            "positive_test_user_days": sum(day.positive_user_days for day in done[test:]),
            "positive_train_user_days": sum(day.positive_user_days for day in done[:test]),
        },
    }
