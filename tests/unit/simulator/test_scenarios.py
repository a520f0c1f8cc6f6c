"""Every attack happens as described, and another one is added in a dozen lines."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.core.errors import ConfigError
from riskml.data.simulator import (
    RESERVED_SCENARIOS,
    STANDARD_SCENARIOS,
    SimulationSettings,
    simulate,
)
from riskml.data.simulator import scenarios as scenarios_package
from riskml.data.simulator.incidents import plan_attacks
from riskml.data.simulator.plan import make_plan
from riskml.data.simulator.scenarios import AttackDay, Scenario, register, scenario_named

MANY = SimulationSettings(users=120, days=75, test_days=38, positive_rate=0.05, seed=7)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(MANY, tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def incidents(world: Path) -> pl.DataFrame:
    return pl.read_parquet(world / "incidents.parquet")


@pytest.fixture(scope="module")
def events(world: Path) -> pl.DataFrame:
    labels = pl.read_parquet(world / "event_labels.parquet")
    table = pl.read_parquet(world / "events" / "*" / "events.parquet", hive_partitioning=False)
    return table.join(labels, on="event_id", how="left")


def test_every_scenario_happens_and_the_reserved_ones_are_flagged(
    incidents: pl.DataFrame,
) -> None:
    assert set(incidents["scenario"]) == {*STANDARD_SCENARIOS, *RESERVED_SCENARIOS}
    assert set(incidents.filter("reserved")["scenario"]) == set(RESERVED_SCENARIOS)


def test_each_account_is_attacked_once_and_no_machine_is(
    world: Path, incidents: pl.DataFrame
) -> None:
    assert incidents["user_id"].is_unique().all()
    users = pl.read_parquet(world / "users.parquet")
    machines = users.filter(pl.col("account_type") == "service")["user_id"]
    assert not set(machines) & set(incidents["user_id"])


def test_attacks_ride_on_ordinary_activity(incidents: pl.DataFrame, events: pl.DataFrame) -> None:
    insiders = incidents.filter(
        ~pl.col("scenario").is_in(["dormant_account", "account_takeover", "credential_stuffing"])
    )
    days = (
        events.filter(pl.col("user_id").is_in(insiders["user_id"].to_list()))
        .group_by("user_id", pl.col("timestamp").dt.date())
        .agg(
            attack=pl.col("scenario").is_not_null().sum(),
            ordinary=pl.col("scenario").is_null().sum(),
        )
        .filter(pl.col("attack") > 0)
    )
    assert (days["ordinary"] > days["attack"]).mean() > 0.6


def test_slow_leak_lasts_twelve_days_or_more(incidents: pl.DataFrame, events: pl.DataFrame) -> None:
    leaks = events.filter(pl.col("scenario") == "slow_leak")
    days = leaks.group_by("incident_id").agg(pl.col("timestamp").dt.date().n_unique())
    assert days["timestamp"].min() >= 12


def test_credential_stuffing_hits_many_and_opens_few(
    incidents: pl.DataFrame, events: pl.DataFrame
) -> None:
    stuffing = incidents.filter(pl.col("scenario") == "credential_stuffing")
    for (_,), campaign in stuffing.group_by("campaign_id"):
        assert 7 <= len(campaign) <= 11
        part = events.filter(pl.col("incident_id").is_in(campaign["incident_id"].to_list()))
        opened = part.filter((pl.col("action") == "logon") & pl.col("success"))
        assert opened["user_id"].n_unique() <= 2
        assert (part["timestamp"].max() - part["timestamp"].min()).total_seconds() < 4 * 3600


def test_account_takeover_comes_from_a_strange_device(
    incidents: pl.DataFrame, events: pl.DataFrame
) -> None:
    bold = []
    for user in incidents.filter(pl.col("scenario") == "account_takeover")["user_id"]:
        own = events.filter(pl.col("user_id") == user)
        attack = own.filter(pl.col("scenario").is_not_null())
        before = own.filter(pl.col("timestamp") < attack["timestamp"].min())
        bold.append(not set(attack["source"]) & set(before["source"]))
    # The stealthy go through the victim's own computer.
    assert sum(bold) >= len(bold) / 2


def test_hoarders_leave_soon_after(world: Path, incidents: pl.DataFrame) -> None:
    hoarders = incidents.filter(pl.col("scenario") == "hoarding_before_resignation")
    users = pl.read_parquet(world / "users.parquet").select("user_id", "left")
    both = hoarders.join(users, on="user_id")
    wait = (both["left"] - both["end"].dt.date()).dt.total_days().drop_nulls()
    assert len(wait) > 0
    assert wait.min() >= 0 and wait.max() <= 6


def test_dormant_accounts_were_silent_for_weeks(
    incidents: pl.DataFrame, events: pl.DataFrame
) -> None:
    seen = 0
    for row in incidents.filter(pl.col("scenario") == "dormant_account").iter_rows(named=True):
        own = events.filter(
            (pl.col("user_id") == row["user_id"]) & (pl.col("timestamp") < row["start"])
        )
        if len(own):  # else it was silent from the log's beginning on
            seen += 1
            assert (row["start"] - own["timestamp"].max()).days >= 23
    assert seen > 0


def test_stronger_tiers_do_more() -> None:
    counts = {}
    for tier in ("easy", "medium", "hard"):
        attacks = plan_attacks(make_plan(SimulationSettings(tier=tier, users=100, days=60)))
        counts[tier] = [(item.scenario, item.user, item.days) for item in attacks.incidents]
    # Who is attacked and when is the same, so that tiers can be compared.
    assert counts["easy"] == counts["medium"] == counts["hard"]


def test_typical_amount_grows_with_the_effect_size(tmp_path: Path) -> None:
    labelled = {}
    for tier in ("easy", "medium", "hard"):
        settings = SimulationSettings(tier=tier, users=80, days=50, test_days=20, seed=2,
                                      positive_rate=0.03)  # fmt: skip
        folder = simulate(settings, tmp_path / tier)
        labelled[tier] = json.loads((folder / "world.json").read_text())["counts"]
    assert (
        labelled["easy"]["labelled_events"]
        > 1.2 * labelled["medium"]["labelled_events"]
        > 1.5 * labelled["hard"]["labelled_events"]
    )


def test_attackers_are_no_different_from_their_controls_by_nature() -> None:
    differences = []
    for seed in range(25):
        attacks = plan_attacks(make_plan(SimulationSettings(users=150, days=60, seed=seed)))
        people = attacks.plan.people
        traits = np.stack(
            [np.log(people.pace), people.weekend_rate, people.home_rate,
             np.log(people.curiosity), people.work_hours]
        )  # fmt: skip
        traits = (traits - traits.mean(axis=1, keepdims=True)) / traits.std(axis=1, keepdims=True)
        for incident in attacks.incidents:
            controls = traits[:, list(incident.controls)].mean(axis=1)
            differences.append(traits[:, incident.user] - controls)
    table = np.array(differences)
    error = table.std(axis=0) / np.sqrt(len(table))
    assert len(table) > 300
    assert (np.abs(table.mean(axis=0)) < 3.5 * error).all()


def test_a_scenario_is_added_in_a_dozen_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios_package, "_SCENARIOS", dict(scenarios_package._SCENARIOS))

    @register
    class PrintRun(Scenario):
        name = "print_run"
        phases = ("print",)
        touches = ("n_print",)

        def length(self, draw: np.random.Generator) -> int:
            return 2

        def act(self, day: AttackDay) -> None:
            day.do("print", 25, "print", day.after_work())

    settings = SimulationSettings(
        users=40, days=30, test_days=12, positive_rate=0.03, scenarios=("print_run",),
        reserved_scenarios=(),
    )  # fmt: skip
    folder = simulate(settings, tmp_path)
    labels = pl.read_parquet(folder / "event_labels.parquet")
    table = pl.read_parquet(folder / "events" / "*" / "events.parquet", hive_partitioning=False)
    assert set(labels["scenario"]) == {"print_run"}
    attack = table.join(labels, on="event_id")
    assert set(attack["action"]) == {"print"}
    per_day = attack.group_by("user_id", pl.col("ingested_at").dt.date()).len()
    assert per_day["len"].max() > 15


def test_two_scenarios_may_not_share_a_name() -> None:
    class Impostor(Scenario):
        name = "slow_leak"
        phases = ("x",)
        touches = ("x",)

        def length(self, draw: np.random.Generator) -> int:
            return 1

        def act(self, day: AttackDay) -> None:
            return None

    with pytest.raises(ConfigError, match="'slow_leak' is taken"):
        register(Impostor)
    assert scenario_named("slow_leak").length(np.random.default_rng(0)) >= 12


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_world_has_something_to_find(tmp_path: Path, seed: int) -> None:
    settings = SimulationSettings(users=20, days=14, test_days=5, seed=seed)
    folder = simulate(settings, tmp_path)
    counts = json.loads((folder / "world.json").read_text())["counts"]
    assert counts["positive_test_user_days"] > 0


@pytest.mark.parametrize("start", ["2024-01-01", "2024-01-03", "2024-01-06"])
@pytest.mark.parametrize("test_days", [4, 6])
def test_four_test_days_always_hold_an_attack(start: str, test_days: int) -> None:
    for seed in range(5):
        settings = SimulationSettings(
            users=40, days=20, test_days=test_days, seed=seed, start=start
        )
        incidents = plan_attacks(make_plan(settings)).incidents
        assert any(day >= 20 - test_days for incident in incidents for day in incident.days)


@pytest.mark.parametrize(
    "settings",
    [
        SimulationSettings(users=40, days=20, test_days=1),
        SimulationSettings(
            users=40, days=20, test_days=6, scenarios=("slow_leak",), reserved_scenarios=()
        ),
        SimulationSettings(
            users=40, days=20, test_days=6, scenarios=("credential_stuffing",),
            reserved_scenarios=(),
        ),
    ],
    ids=["no day to begin", "too long", "too many accounts"],
)  # fmt: skip
def test_a_world_too_small_for_its_attacks_is_refused(
    settings: SimulationSettings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^test_days=\d leaves no room.* give at least 4"):
        simulate(settings, tmp_path / "world")
    assert not (tmp_path / "world").exists()


def test_no_attacks_wanted_none_there() -> None:
    for settings in (
        SimulationSettings(users=20, days=14, test_days=1, positive_rate=0.0),
        SimulationSettings(users=20, days=14, test_days=1, scenarios=(), reserved_scenarios=()),
    ):
        assert plan_attacks(make_plan(settings)).incidents == ()
