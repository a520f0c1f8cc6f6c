"""The tables of truth beside the events: incidents, users, resources and the world's record."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.data.simulator.almanac import TIME_ZONES
from riskml.data.simulator.confounders import CONFOUNDERS
from riskml.data.simulator.day import incident_name
from riskml.data.simulator.incidents import Attacks
from riskml.data.simulator.people import NEVER, account_names
from riskml.data.simulator.roles import ROLE_NAMES
from riskml.data.simulator.scenarios import scenario_named
from riskml.data.simulator.settings import SIMULATOR_VERSION, settings_digest
from riskml.data.simulator.vocabulary import RESOURCE_KINDS


def incidents_table(attacks: Attacks, spans: pl.DataFrame) -> pl.DataFrame:
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
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
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


def users_table(attacks: Attacks) -> pl.DataFrame:
    """Return one row per account; dates outside the world are null."""
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


def resources_table(attacks: Attacks) -> pl.DataFrame:
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


def world_record(attacks: Attacks, counts: dict[str, int]) -> dict[str, Any]:
    """Return what ``world.json`` holds: settings, version, mass events and counts."""
    settings, dates = attacks.plan.settings, attacks.plan.almanac.dates
    mass = attacks.plan.mass_events
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
        "counts": counts,
    }
