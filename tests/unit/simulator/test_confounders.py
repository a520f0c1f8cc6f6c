"""Benign oddities happen at their rates, are never labelled, and mass events hit many at once."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.data.simulator import SimulationSettings, simulate
from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.confounders import CONFOUNDERS, Confounder
from riskml.data.simulator.day_state import make_day_state
from riskml.data.simulator.mass_events import make_mass_events
from riskml.data.simulator.plan import Plan, make_plan
from riskml.data.simulator.randomness import generator

# Shares of user-days that the specification gives.
SPECIFIED = {
    "bulk_export": 0.010,
    "late_deadline": 0.010,
    "audit_browsing": 0.005,
    "memory_stick": 0.005,
    "forgotten_password": 0.004,
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(SimulationSettings(users=1_500, days=28, test_days=7))


@pytest.mark.parametrize("confounder", CONFOUNDERS, ids=lambda item: item.name)
def test_each_happens_and_adds_unlabelled_events(confounder: Confounder, plan: Plan) -> None:
    painted = 0
    for day in range(1, 12):
        canvas = Canvas(make_day_state(plan, day), generator(0, confounder.name, day))
        users = confounder.who(canvas, 1.0)
        confounder.paint(canvas, users)
        for block in canvas.blocks:
            painted += len(block)
            assert (block.incident == -1).all() and (block.phase == -1).all()
            assert np.isin(block.user, users).all()
    assert painted > 0


@pytest.mark.parametrize("confounder", CONFOUNDERS, ids=lambda item: item.name)
def test_none_minds_an_empty_day(confounder: Confounder, plan: Plan) -> None:
    canvas = Canvas(make_day_state(plan, 3), generator(0, "nobody", 3))
    confounder.paint(canvas, np.array([], dtype=np.int64))
    assert sum(len(block) for block in canvas.blocks) == 0


@pytest.mark.parametrize("name", SPECIFIED)
def test_rates_are_the_specified_ones(name: str, plan: Plan) -> None:
    confounder = next(item for item in CONFOUNDERS if item.name == name)
    happened = there = 0
    for day in range(28):
        canvas = Canvas(make_day_state(plan, day), generator(0, name, day))
        happened += len(confounder.who(canvas, 1.0))
        there += int((plan.active[:, day] & ~plan.people.service).sum())
    assert happened / there == pytest.approx(SPECIFIED[name], rel=0.25)


def test_laptops_journeys_and_projects_begin_at_their_rates(plan: Plan) -> None:
    people = plan.active & ~plan.people.service[:, None]
    journeys = (np.diff(plan.journey, axis=1) > 0)[people[:, 1:]].mean()
    assert plan.new_laptop[people].mean() + journeys == pytest.approx(0.008, rel=0.35)
    reorganised = sorted(plan.mass_events.reorganisations)
    quiet = np.delete(np.arange(28), reorganised)
    assert plan.new_project[:, quiet][people[:, quiet]].mean() == pytest.approx(0.010, rel=0.25)
    for day in reorganised:
        assert plan.new_project[:, day][people[:, day]].mean() > 0.1


def test_scale_zero_turns_them_off(tmp_path: Path) -> None:
    counts = {}
    for scale in (0.0, 1.0):
        settings = SimulationSettings(
            users=60, days=20, test_days=7, confounder_scale=scale, mass_events=False
        )
        folder = simulate(settings, tmp_path / str(scale))
        counts[scale] = json.loads((folder / "world.json").read_text())["counts"]["events"]
    assert counts[0.0] < counts[1.0]


def test_mass_events_of_each_kind_come_round(plan: Plan) -> None:
    settings = SimulationSettings(days=120)
    weekday = make_plan(settings).almanac.weekday
    kinds = [0, 0, 0]
    for seed in range(6):
        mass = make_mass_events(SimulationSettings(days=120, seed=seed), weekday)
        found = (mass.reorganisations, mass.migrations, mass.outages)
        kinds = [count + len(days) for count, days in zip(kinds, found, strict=True)]
        assert all(1 <= len(days) <= 4 for days in found)
        assert all(weekday[day] < 5 for days in found for day in days)
    assert sum(kinds) == 6 * 8
    off = make_mass_events(SimulationSettings(mass_events=False), weekday)
    assert not off.reorganisations and not off.migrations and not off.outages


def test_an_outage_fails_and_a_migration_renames(tmp_path: Path) -> None:
    settings = SimulationSettings(users=80, days=60, test_days=15, seed=1)
    folder = simulate(settings, tmp_path)
    mass = json.loads((folder / "world.json").read_text())["mass_events"]
    events = pl.read_parquet(folder / "events" / "*" / "events.parquet", hive_partitioning=False)
    day = events["timestamp"].dt.date()
    weekday = events.filter(day.dt.weekday() < 6)
    by_day = weekday.group_by(pl.col("timestamp").dt.date()).agg(
        failing=pl.col("success").not_().mean()
    )
    typical = by_day["failing"].median()
    for text in mass["outages"]:
        row = by_day.filter(pl.col("timestamp") == date.fromisoformat(text))
        assert row["failing"].item() > 2 * typical
    assert mass["outages"] and mass["migrations"]
    first_seen = events.group_by("resource").agg(first=pl.col("timestamp").min().dt.date())
    born = first_seen.group_by("first").len()
    for text in mass["migrations"]:
        moved = born.filter(pl.col("first").is_between(date.fromisoformat(text),
                                                       date.fromisoformat(text)))  # fmt: skip
        usual = born.filter(pl.col("first") > date(2024, 1, 20))["len"].median()
        assert moved["len"].sum() > 2 * usual
