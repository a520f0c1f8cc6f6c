"""Hours and weekdays on a circle."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from event_tables import ZERO, column, extractor, table
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.types import FeatureKind, Windows
from riskml.features.actions import ActionVocabulary
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.windows import BlockWindows


def clock(events: pl.DataFrame, zone: str = "UTC") -> Windows:
    """Features of one window a user."""
    made = extractor(
        BlockWindows(1000), families={"time_of_day": TimeOfDayFeatures()}, time_zone=zone
    )
    return made.fit(events).windows(events)


def hour(windows: Windows) -> float:
    """Hour of the mean direction of the only window, −12 to 12."""
    turn = math.atan2(column(windows, "hour_sin")[0], column(windows, "hour_cos")[0])
    return turn * 12 / math.pi


def test_around_midnight() -> None:
    windows = clock(table(["ann"] * 2, ["2024-03-04T23:30", "2024-03-05T00:30"]))
    assert hour(windows) == pytest.approx(0, abs=1e-6)
    assert column(windows, "hour_cos")[0] == pytest.approx(math.cos(math.pi / 24), rel=1e-6)
    assert column(windows, "night_events") == [1]


@pytest.mark.parametrize(
    ("time", "sine", "cosine"),
    [("00:00", 0, 1), ("06:00", 1, 0), ("12:00", 0, -1), ("18:00", -1, 0)],
)
def test_hours_are_directions(time: str, sine: int, cosine: int) -> None:
    windows = clock(table(["ann"], [f"2024-03-04T{time}"]))
    assert column(windows, "hour_sin")[0] == pytest.approx(sine, abs=1e-6)
    assert column(windows, "hour_cos")[0] == pytest.approx(cosine, abs=1e-6)


def test_spread_out_events_have_a_short_direction() -> None:
    windows = clock(table(["ann"] * 4, [f"2024-03-04T{h:02d}:00" for h in (0, 6, 12, 18)]))
    assert math.hypot(column(windows, "hour_sin")[0], column(windows, "hour_cos")[0]) < 1e-6


def test_night_is_from_midnight_to_six() -> None:
    times = ["23:59:59", "00:00:00", "03:00:00", "05:59:59", "06:00:00"]
    assert column(clock(table(["a"] * 5, [f"2024-03-04T{t}" for t in times])), "night_events") == [
        3
    ]


def test_weekend_in_local_time() -> None:
    friday_night = table(["ann"], ["2024-03-08T23:30"])
    assert column(clock(friday_night), "weekend") == [0]
    assert column(clock(friday_night, "Europe/Berlin"), "weekend") == [1]
    sunday_night = table(["ann"], ["2024-03-10T23:30"])
    assert column(clock(sunday_night), "weekend") == [1]
    assert column(clock(sunday_night, "Europe/Berlin"), "weekend") == [0]
    mixed = table(["ann"] * 2, ["2024-03-08T12:00", "2024-03-09T12:00"])
    assert column(clock(mixed), "weekend") == [1]


def test_two_users_in_two_zones() -> None:
    events = table(
        ["kim", "lee"], ["2024-07-01T03:00"] * 2, time_zone=["Asia/Tokyo", "America/New_York"]
    )
    windows = clock(events)
    by_user = dict(zip(windows.keys["user_id"], windows.x.tolist(), strict=True))
    noon, eleven_pm = by_user["kim"], by_user["lee"]
    assert noon[:2] == pytest.approx([0, -1], abs=1e-6)
    assert eleven_pm[:2] == pytest.approx([-math.sin(math.pi / 12), math.cos(math.pi / 12)])
    assert eleven_pm[2:4] == pytest.approx([math.sin(12 * math.pi / 7), math.cos(12 * math.pi / 7)])


def test_kinds() -> None:
    features = TimeOfDayFeatures().features(ActionVocabulary(), [])
    kinds = {f.name: (f.kind, f.topic) for f in features}
    cyclic = FeatureKind.CYCLIC
    assert kinds == {
        "hour_sin": (cyclic, "hour"),
        "hour_cos": (cyclic, "hour"),
        "weekday_sin": (cyclic, "weekday"),
        "weekday_cos": (cyclic, "weekday"),
        "night_events": (FeatureKind.COUNT, "night_events"),
        "night_share": (FeatureKind.CONTINUOUS, "night_share"),
        "weekend": (FeatureKind.BINARY, "weekend"),
        "rarest_hour": (FeatureKind.CONTINUOUS, "rarest_hour"),
        "hour_rarity": (FeatureKind.CONTINUOUS, "hour_rarity"),
    }


def by_hand(moments: list[datetime], zone: str) -> list[float]:
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    day = [2 * math.pi * (m.hour + m.minute / 60) / 24 for m in local]
    week = [2 * math.pi * m.weekday() / 7 for m in local]
    return [
        float(np.mean(np.sin(day))),
        float(np.mean(np.cos(day))),
        float(np.mean(np.sin(week))),
        float(np.mean(np.cos(week))),
        sum(m.hour < 6 for m in local),
        sum(m.hour < 6 for m in local) / len(local),
        any(m.weekday() >= 5 for m in local),
    ]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 365 * 86_400), min_size=1, max_size=20),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_against_brute_force(seconds: list[int], zone: str) -> None:
    moments = [ZERO + timedelta(seconds=s) for s in seconds]
    windows = clock(table(["ann"] * len(moments), moments), zone)
    np.testing.assert_allclose(windows.x[0, :7], by_hand(moments, zone), atol=1e-6)
