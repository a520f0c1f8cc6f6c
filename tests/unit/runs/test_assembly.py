"""Data sets as a config describes them: what pseudonyms leave, and a store's own times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from riskml.data.event_store import EventStore
from riskml.features.preparation import prepare
from riskml.runs.assembly import build_dataset, build_extractor

CONF = Path(__file__).parents[3] / "conf"
N, START = 2_000, datetime(2024, 3, 1, tzinfo=UTC)
ZONES = ["Asia/Tokyo", "America/New_York"]


def events() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(N)],
            "user_id": [f"ann{i % 4}" for i in range(N)],
            "timestamp": [START + i * timedelta(minutes=30) for i in range(N)],
            "action": [f"action {i % 5}" for i in range(N)],
            "time_zone": [ZONES[i % 2] for i in range(N)],
            "role": [f"role {i % 2}" for i in range(N)],
            "session": [f"ann{i % 4}/{i // 40}" for i in range(N)],
            "part": ["train" if i < N * 0.7 else "test" for i in range(N)],
            "device": [f"pc {i % 3}" for i in range(N)],
            "mail": ["ann1@example.org"] * N,
        }
    )


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[*overrides, f"paths.run={folder}"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", "0123456789abcdef" * 2)


def test_pseudonyms_leave_what_the_run_reads(tmp_path: Path) -> None:
    events().write_parquet(tmp_path / "log.parquet")
    cfg = composed(
        tmp_path,
        "data=parquet",
        f"path={tmp_path / 'log.parquet'}",
        "features=session",
        "pseudonyms@data.pseudonyms=keyed",
        "features.window.column=session",
        "features.peers.column=role",
        "features.families.novelty.columns=[action,device]",
        "features.families.action_embedding=null",
    )
    cfg.data.split = {"_target_": "riskml.data.splits.ColumnSplit", "column": "part"}
    dataset = build_dataset(cfg.data, cfg.features)
    further = {"time_zone", "role", "session", "part", "device"}
    assert further <= set(dataset.events.columns) and "mail" not in dataset.events.columns
    assert "ann" not in str(dataset.events.rows())
    assert dataset.events["session"].n_unique() == events()["session"].n_unique()
    extractor = build_extractor(cfg.features).fit(dataset.train_events)
    assert extractor.peers.names == ("role 0", "role 1")
    assert len(prepare(dataset, extractor).test)


def test_a_store_is_read_back_as_it_was_given(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    given = events().with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        resource=pl.lit(None, pl.String),
        source=pl.lit(None, pl.String),
        success=pl.lit(None, pl.Boolean),
    )
    EventStore(url).append(given)
    cfg = composed(tmp_path, "data=database", f"url={url}")
    dataset = build_dataset(cfg.data, cfg.features)
    assert dataset.events.select(given.columns).equals(given)
    windows = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events)).train
    days = windows.keys.with_columns(
        zone=pl.when(pl.col("user_id").is_in(["ann0", "ann2"])).then(0).otherwise(1)
    )
    for at, zone in enumerate(ZONES):
        starts = days.filter(pl.col("zone") == at)["start"].dt.convert_time_zone(zone)
        assert (starts.dt.hour() <= 2).mean() > 0.9, "days are the users' own"


@pytest.mark.parametrize("time_zone", ["null", "Europe/Berlin"])
def test_the_time_zone_of_users_does_not_move_a_store(tmp_path: Path, time_zone: str) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    EventStore(url).append(events())
    since = ["since=2024-03-02T00:00:00Z", "until=2024-03-09T00:00:00Z", f"time_zone={time_zone}"]
    cfg = composed(tmp_path, "data=database", f"url={url}", *since)
    times = build_dataset(cfg.data, cfg.features).events["timestamp"]
    assert times.min() == START + timedelta(days=1)
    assert times.max() == START + timedelta(days=8, minutes=-30)
