"""Times in every way that logs write them."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest
from log_files import utc
from polars.testing import assert_frame_equal

from riskml.core.errors import ConfigError
from riskml.core.schema import TIMESTAMP
from riskml.data import timestamps
from riskml.data.timestamps import parse_timestamps

NOON = utc(2024, 3, 1, 12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01T12:00:00Z", NOON),
        ("2024-03-01t12:00:00z", NOON),
        (" 2024-03-01 12:00:00 UTC ", NOON),
        ("2024-03-01T13:00+01:00", NOON),
        ("2024-03-01T13:00:00+01", NOON),
        ("2024-03-01 17:30:00 +0530", NOON),
        ("2024-03-01T03:30:00-08:30", NOON),
        ("20240301T120000Z", NOON),
        ("2024/03/01 12:00:00Z", NOON),
        ("2024-03-01T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2024-03-01T12:00:00,123456Z", NOON + timedelta(microseconds=123456)),
        ("2024-03-01T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
        ("1709294400", NOON),
        ("1709294400000", NOON),
        ("1709294400000001", NOON + timedelta(microseconds=1)),
        ("1709294400000001999", NOON + timedelta(microseconds=1)),
        ("1709294400.25", NOON + timedelta(milliseconds=250)),
        ("1.7092944E+09", NOON),
    ],
)
def test_instants_as_text(text: str, expected: datetime) -> None:
    read = parse_timestamps(pl.Series([text]))
    assert read.schema == {"timestamp": TIMESTAMP, "problem": pl.String}
    assert read.rows() == [(expected, None)]


ODD = [
    None,
    "",
    "2023-02-29T12:00:00Z",
    "2024-03-01T12:00:60Z",
    "2024-03-01T24:00:00Z",
    "0000-01-01T00:00:00Z",
    "2024-03-01T12:00:00.1Z",
    "2024-03-01T12:00:00.123Z",
    "2024-03-01T12:00:00.123456789Z",
    "2024-03-01T12:00:00+00:00",
    "2024-03-01T12:00:00",
    " 2024-03-01T12:00:00Z",
    "2024-3-01T12:00:00Z",
    "2024-03-01 12:00:00Z",
    "\uff12024-03-01T12:00:00Z",
    "noon",
]


@pytest.mark.parametrize("digits", [0, 1, 3, 6, 7, 9])
@pytest.mark.parametrize("zone", ["Z", "+00:00", "+01:00"])
def test_logs_that_look_like_most_are_read_as_all_others(
    digits: int, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fraction = f".{'987654321'[:digits]}" if digits else ""
    plain = [f"{day}T23:59:{digits:02d}{fraction}{zone}" for day in ("1970-01-01", "2024-02-29")]
    wrong = [f"2023-02-29T23:59:59{fraction}{zone}", f"2024-06-30T23:59:60{fraction}{zone}"]
    logs = [pl.Series(plain + more) for more in ([], wrong, [None], *([odd] for odd in ODD))]
    found = [parse_timestamps(log, "Europe/Berlin") for log in logs]
    assert found[0]["timestamp"].null_count() == 0
    monkeypatch.setattr(timestamps, "_all_in_utc", lambda values: None)
    for log, times in zip(logs, found, strict=True):
        assert_frame_equal(times, parse_timestamps(log, "Europe/Berlin"))


@pytest.mark.parametrize(
    "text", ["2024-03-01 13:00:00", "2024-03-01T13:00", "2024-03-01 13:00:00.0"]
)
def test_local_times_need_a_zone(text: str) -> None:
    assert parse_timestamps(pl.Series([text])).rows() == [(None, "without_zone")]
    assert parse_timestamps(pl.Series([text]), "Europe/Berlin").rows() == [(NOON, None)]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2024-13-01T00:00Z", "2024-03-01T25:00Z", "2024-03-01T12:00+99:00", "1e999"],
)
def test_nonsense(text: str) -> None:
    assert parse_timestamps(pl.Series([text]), "UTC").rows() == [(None, "unparsable")]


def test_each_row_for_itself() -> None:
    values = pl.Series(["2024-03-01T13:00+01:00", None, " ", "1709294400", "2024-03-01 07:00", "x"])
    read = parse_timestamps(values, "America/New_York")
    assert read["timestamp"].to_list() == [NOON, None, None, NOON, NOON, None]
    assert read["problem"].to_list() == [None, "missing", "missing", None, None, "unparsable"]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([NOON]).cast(pl.Datetime("ns", "UTC")),
        pl.Series([NOON.astimezone(timezone(timedelta(hours=2)))]),
        pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("ms", "Asia/Tokyo")),
        pl.Series([1_709_294_400], dtype=pl.UInt32),
        pl.Series([1_709_294_400_000]),
        pl.Series([1_709_294_400.0]),
        pl.Series([1_709_294_400_000_000_000]),
    ],
)
def test_native_instants(values: pl.Series) -> None:
    assert parse_timestamps(values).rows() == [(NOON, None)]


def test_native_local_times() -> None:
    assert parse_timestamps(pl.Series([datetime(2024, 3, 1, 12)])).rows() == [
        (None, "without_zone")
    ]
    read = parse_timestamps(pl.Series([datetime(2024, 3, 1, 12)]).cast(pl.Datetime("ms")), "UTC")
    assert read.rows() == [(NOON, None)]
    assert parse_timestamps(pl.Series([date(2024, 3, 1)]), "UTC").rows() == [
        (utc(2024, 3, 1), None)
    ]


def test_numbers_beyond_all_time_do_not_overflow() -> None:
    values = [float("nan"), float("inf"), None, -1e300]
    read = parse_timestamps(pl.Series(values, dtype=pl.Float64))
    assert read["timestamp"].null_count() == 4
    assert read["problem"].to_list() == ["unparsable", "unparsable", "missing", "unparsable"]
    far = parse_timestamps(pl.Series([2**63 - 1, -(2**63), 0]))
    assert far["timestamp"].dt.year().to_list() == [2262, 1677, 1970]
    assert parse_timestamps(pl.Series(["9" * 400]))["problem"].to_list() == ["unparsable"]


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("01/03/2024 12:00", "%d/%m/%Y %H:%M", NOON),
        ("01/Mar/2024:14:00:00 +0200", "%d/%b/%Y:%H:%M:%S %z", NOON),
        ("03/01/2024 12:00:00 PM", "%m/%d/%Y %I:%M:%S %p", NOON),
        ("20240301", "%Y%m%d", utc(2024, 3, 1)),
        ("1709294400", "%s", NOON),
        ("noon", "%Y%m%d", None),
    ],
)
def test_given_format(text: str, form: str, expected: datetime | None) -> None:
    assert parse_timestamps(pl.Series([text]), "UTC", form)["timestamp"].to_list() == [expected]


def test_given_format_reads_whole_numbers_too() -> None:
    read = parse_timestamps(pl.Series([20240301120000]), "UTC", "%Y%m%d%H%M%S")
    assert read.rows() == [(NOON, None)]


def test_daylight_saving(caplog: pytest.LogCaptureFixture) -> None:
    values = pl.Series(["2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-10-27 03:30:00"])
    with caplog.at_level(logging.WARNING):
        read = parse_timestamps(values, "Europe/Berlin")
    assert read.rows() == [
        (None, "non_existent"),
        (utc(2024, 10, 27, 0, 30), None),
        (utc(2024, 10, 27, 2, 30), None),
    ]
    assert "1 local times happened twice in Europe/Berlin" in caplog.text


def test_unknown_zones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'America/New_York'"):
        parse_timestamps(pl.Series(["1"]), "america/newyork")
    with pytest.raises(ConfigError, match=r"time_zone=Qqqq: no such time zone; .*UTC"):
        parse_timestamps(pl.Series(["1"]), "Qqqq")
