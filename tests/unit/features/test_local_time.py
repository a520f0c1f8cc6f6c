"""The users' own clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from event_tables import table

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import TIMESTAMP
from riskml.features.local_time import LOCAL_TIME, ByDay, local_times, with_local_time
from riskml.features.rows import NEVER


def test_own_zone_before_default_zone() -> None:
    events = table(
        ["ann"] * 3,
        ["2024-07-01T12:00"] * 3,
        time_zone=["Asia/Kolkata", None, "America/New_York"],
    )
    local = with_local_time(events, "Europe/Berlin")
    assert local[LOCAL_TIME].to_list() == [
        datetime(2024, 7, 1, 17, 30),
        datetime(2024, 7, 1, 14),
        datetime(2024, 7, 1, 8),
    ]
    assert local["timestamp"].equals(events["timestamp"])


def test_no_zones_in_the_log() -> None:
    events = table(["ann"], ["2024-01-01T23:30"])
    assert with_local_time(events)[LOCAL_TIME].to_list() == [datetime(2024, 1, 1, 23, 30)]
    berlin = with_local_time(events, "Europe/Berlin")[LOCAL_TIME].to_list()
    assert berlin == [datetime(2024, 1, 2, 0, 30)]


def test_many_zones_keep_their_order() -> None:
    zones = ["Asia/Kolkata", "America/New_York", "UTC", "Asia/Kolkata", "Europe/Berlin"] * 40
    # the night in which clocks go back in Berlin
    start = datetime(2024, 10, 26, 22, tzinfo=UTC)
    times = [start + timedelta(minutes=3 * i) for i in range(len(zones))]
    local = local_times(pl.Series(times).cast(TIMESTAMP), pl.Series(zones))
    expected = [
        time.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for time, zone in zip(times, zones, strict=True)
    ]
    assert local.to_list() == expected


def test_days_are_worked_out_once_and_forgotten_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def doubled(day: pl.Expr, zone: str) -> pl.Expr:
        asked.append(zone)
        return pl.when(day != 3).then(day * 2)

    monkeypatch.setattr("riskml.features.local_time._MOST_DAYS", 4)
    days = ByDay(doubled)
    zones = pl.Series(["UTC", "Asia/Seoul", "UTC"])
    for _ in range(2):
        assert days.of(zones, np.array([1, -2, 3])).tolist() == [2, -4, NEVER]
    assert sorted(asked) == ["Asia/Seoul", "UTC"]
    assert days.of(zones, np.array([5, 6, 7])).tolist() == [10, 12, 14]
    days.of(zones[:1], np.array([1]))
    assert len(asked) == 5, "too many were known, so all were forgotten"


def test_unknown_zones() -> None:
    events = table(["ann"], ["2024-01-01T23:30"])
    with pytest.raises(ConfigError, match=r"features\.time_zone='Mars'.*Europe/Berlin"):
        with_local_time(events, "Mars")
    odd = table(["ann"], ["2024-01-01T23:30"], time_zone=["Moon"])
    with pytest.raises(DataError, match=r"column 'time_zone'.*'Moon'"):
        with_local_time(odd)
