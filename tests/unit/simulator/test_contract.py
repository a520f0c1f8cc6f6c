"""What a world's folder holds, and that its tables agree with each other."""

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from riskml.core.errors import ConfigError
from riskml.data.simulator import SIMULATOR_VERSION, SimulationSettings, settings_digest, simulate
from riskml.data.simulator.scenarios import scenario_named

SCHEMA = {
    "event_id": pl.String,
    "user_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "action": pl.String,
    "resource": pl.String,
    "source": pl.String,
    "success": pl.Boolean,
    "ip": pl.String,
    "place": pl.String,
    "host": pl.String,
    "bytes": pl.Int64,
    "time_zone": pl.String,
    "ingested_at": pl.Datetime("us", "UTC"),
}


@pytest.fixture(scope="module")
def events(small_world: Path) -> pl.DataFrame:
    return pl.read_parquet(small_world / "events" / "*" / "events.parquet", hive_partitioning=True)


def table(world: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(world / f"{name}.parquet")


def test_events_have_the_contract_columns_and_no_label(small_world: Path) -> None:
    files = sorted((small_world / "events").glob("day=*/events.parquet"))
    assert len(files) == 45
    for file in files:
        assert pl.read_parquet_schema(file) == SCHEMA


def test_each_file_holds_its_utc_day_in_order(small_world: Path) -> None:
    for file in sorted((small_world / "events").glob("day=*/events.parquet")):
        times = pl.read_parquet(file)["timestamp"]
        day = date.fromisoformat(file.parent.name.removeprefix("day="))
        assert times.is_sorted()
        assert times.dt.date().unique().to_list() == [day]


def test_event_ids_are_unique_and_required_fields_are_there(events: pl.DataFrame) -> None:
    assert events["event_id"].is_unique().all()
    for column in ("event_id", "user_id", "timestamp", "action", "source", "time_zone"):
        assert events[column].null_count() == 0
    assert 0 < events["resource"].null_count() < len(events)
    assert events["success"].eq(False).sum() > 100


def test_a_few_records_arrive_late(events: pl.DataFrame) -> None:
    delay = (events["ingested_at"] - events["timestamp"]).dt.total_seconds()
    assert delay.min() >= 0
    assert 0.002 < (delay > 3600).mean() < 0.01


def test_users_table_covers_the_events(small_world: Path, events: pl.DataFrame) -> None:
    users = table(small_world, "users")
    assert set(events["user_id"]) <= set(users["user_id"])
    assert {"role", "team", "manager", "time_zone", "joined", "left", "account_type"} <= set(
        users.columns
    )
    assert users["account_type"].eq("service").sum() == 3
    assert users["role"].n_unique() >= 9
    heads = users["manager"].drop_nulls()
    assert set(heads) <= set(users["user_id"])


def test_nobody_works_before_joining_or_after_leaving(
    small_world: Path, events: pl.DataFrame
) -> None:
    users = table(small_world, "users").select("user_id", "joined", "left")
    assert users["joined"].drop_nulls().len() > 0
    assert users["left"].drop_nulls().len() > 0
    spans = events.group_by("user_id").agg(
        first=pl.col("timestamp").min().dt.date(), last=pl.col("timestamp").max().dt.date()
    )
    both = spans.join(users, on="user_id")
    # Time zones and late evenings move an event by up to two days.
    slack = timedelta(days=2)
    assert both.filter(pl.col("first") < pl.col("joined") - slack).is_empty()
    assert both.filter(pl.col("last") > pl.col("left") + slack).is_empty()


def test_labels_point_to_events_and_incidents(small_world: Path, events: pl.DataFrame) -> None:
    labels, incidents = table(small_world, "event_labels"), table(small_world, "incidents")
    assert labels.columns == ["event_id", "incident_id", "scenario", "phase"]
    assert labels["event_id"].is_unique().all()
    joined = labels.join(events, on="event_id").join(incidents, on="incident_id", suffix="_truth")
    assert len(joined) == len(labels) > 0
    assert joined["user_id"].equals(joined["user_id_truth"], check_names=False)
    assert joined["scenario"].equals(joined["scenario_truth"], check_names=False)
    for scenario, phase in labels.select("scenario", "phase").unique().iter_rows():
        assert phase in scenario_named(scenario).phases


def test_incidents_span_exactly_their_events(small_world: Path, events: pl.DataFrame) -> None:
    labels, incidents = table(small_world, "event_labels"), table(small_world, "incidents")
    seen = (
        labels.join(events, on="event_id")
        .group_by("incident_id")
        .agg(
            start=pl.col("timestamp").min(),
            end=pl.col("timestamp").max(),
            events=pl.len(),
            phases=pl.col("phase").unique().sort(),
        )
        .sort("incident_id")
    )
    truth = incidents.sort("incident_id").with_columns(pl.col("phases").list.sort())
    assert seen.equals(truth.select(seen.columns))
    assert incidents["touched_features"].list.len().min() > 0


def test_controls_are_matched_and_never_attacked(small_world: Path) -> None:
    incidents, users = table(small_world, "incidents"), table(small_world, "users")
    role = dict(users.select("user_id", "role").iter_rows())
    controls = incidents.select("user_id", "controls").explode("controls")
    assert controls["controls"].null_count() == 0
    assert not set(controls["controls"]) & set(incidents["user_id"])
    same = [role[user] == role[control] for user, control in controls.iter_rows()]
    # Small roles run out of people; most matches are within the role.
    assert sum(same) / len(same) > 0.5


def test_world_record_tells_settings_and_true_counts(
    small_world: Path, small_settings: SimulationSettings, events: pl.DataFrame
) -> None:
    world = json.loads((small_world / "world.json").read_text())
    assert world["version"] == SIMULATOR_VERSION
    assert world["digest"] == settings_digest(small_settings)
    assert world["settings"]["users"] == 60
    assert world["seed"] == 3
    assert world["test_begins"] == "2024-01-31"
    assert world["counts"]["events"] == len(events)
    assert world["counts"]["labelled_events"] == len(table(small_world, "event_labels"))
    assert world["counts"]["incidents"] == len(table(small_world, "incidents"))
    assert world["counts"]["user_days"] == events.select("user_id", "day").n_unique()


def test_resources_table_knows_every_resource(small_world: Path, events: pl.DataFrame) -> None:
    resources = table(small_world, "resources")
    assert resources["resource"].is_unique().all()
    assert set(events["resource"].drop_nulls()) <= set(resources["resource"])
    assert set(resources["sensitivity"]) == {0, 1, 2, 3}


def test_progress_is_told_after_each_day(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    settings = SimulationSettings(users=20, days=14, test_days=5)
    simulate(settings, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(day, 14) for day in range(1, 15)]


def test_a_world_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    world = tmp_path / "world"
    longer = simulate(SimulationSettings(users=20, days=16, test_days=5), world)
    assert len(list((longer / "events").iterdir())) == 16
    simulate(SimulationSettings(users=20, days=14, test_days=5), world)
    assert len(list((world / "events").iterdir())) == 14
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("do not touch")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        simulate(SimulationSettings(users=20, days=14, test_days=5), tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "do not touch"
