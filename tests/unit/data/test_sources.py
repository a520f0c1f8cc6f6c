"""Logs on disk become events; nothing is lost without a word."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import GOOD, HEADER, load_csv, quarantine, small_frame, utc

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import EVENT_SCHEMA
from riskml.data.sources import CsvSource, ParquetSource


def test_mapped_columns_become_events_sorted_by_time(tmp_path: Path) -> None:
    log = load_csv(
        tmp_path,
        "who,login_time,what,host,outcome,device\n"
        "ann,2024-03-01 12:00:00+01:00,login,10.0.0.1,ok,laptop\n"
        "bob , 2024-03-01T10:30:00Z,read,,FAILED,phone\n",
        columns={
            "user_id": "who",
            "timestamp": "login_time",
            "action": "what",
            "source": "host",
            "success": "outcome",
            "resource": None,
        },
    )
    assert log.events.columns == [*EVENT_SCHEMA, "device"]
    assert dict(zip(log.events.columns, log.events.dtypes, strict=True)) == {
        **EVENT_SCHEMA,
        "device": pl.String,
    }
    assert log.events.rows() == [
        ("log.csv:3", "bob", utc(2024, 3, 1, 10, 30), "read", None, None, False, "phone"),
        ("log.csv:2", "ann", utc(2024, 3, 1, 11), "login", None, "10.0.0.1", True, "laptop"),
    ]
    assert log.truth is None
    assert log.rejected.is_empty()


def test_events_of_the_same_time_keep_the_order_of_the_log(tmp_path: Path) -> None:
    rows = "".join(f"u,1709290800,action{number}\n" for number in range(50))
    log = load_csv(tmp_path, HEADER + rows)
    assert log.events["action"].to_list() == [f"action{number}" for number in range(50)]


def test_truth_columns_are_set_apart_in_the_order_of_the_events(tmp_path: Path) -> None:
    log = load_csv(
        tmp_path,
        "user_id,timestamp,action,label,gt_scenario,gt_weight\n"
        "ann,1709290802,x,1,theft,0.5\n"
        ",1709290801,x,1,theft,\n"
        "bob,1709290800,x,0,,1\n",
        max_rejected_share=0.5,
    )
    assert log.events.columns == list(EVENT_SCHEMA)
    assert log.truth is not None
    assert log.truth.to_dict(as_series=False) == {
        "event_id": ["log.csv:4", "log.csv:2"],
        "label": [0, 1],
        "gt_scenario": [None, "theft"],
        "gt_weight": [1.0, 0.5],
    }
    assert quarantine(log) == [(3, "missing_user")]


def test_a_truth_column_cannot_become_an_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"columns\.action=label: 'label' is a truth column"):
        load_csv(tmp_path, HEADER + GOOD, columns={"action": "label"})


def test_a_column_that_would_collide_passes_through_with_a_prefix(tmp_path: Path) -> None:
    text = "user_id,timestamp,action,operation\nann,1709290800,7,read\n"
    log = load_csv(tmp_path, text, columns={"action": "operation"})
    assert log.events.select("action", "log_action").rows() == [("read", "7")]
    text = "user_id,timestamp,action,operation,log_action\nann,1709290800,7,read,x\n"
    with pytest.raises(DataError, match="'action' is to pass through as 'log_action'"):
        load_csv(tmp_path, text, columns={"action": "operation"})
    text = "user_id,timestamp,action,time_zone,tz\nann,1709290800,x,CET,UTC\n"
    log = load_csv(tmp_path, text, columns={"time_zone": "tz"})
    assert log.events.select("time_zone", "log_time_zone").rows() == [("UTC", "CET")]


def test_time_zone_of_users_can_be_mapped(tmp_path: Path) -> None:
    text = "user_id,timestamp,action,tz\nann,1709290800,x,Europe/Berlin\n"
    log = load_csv(tmp_path, text, columns={"time_zone": "tz"})
    assert log.events["time_zone"].to_list() == ["Europe/Berlin"]


def test_default_action_fills_what_is_missing(tmp_path: Path) -> None:
    log = load_csv(tmp_path, "user_id,timestamp\nann,1709290800\n", default_action="login")
    assert log.events["action"].to_list() == ["login"]
    log = load_csv(tmp_path, HEADER + "ann,1709290800,\n", default_action="login")
    assert log.events["action"].to_list() == ["login"]


@pytest.mark.parametrize(
    ("header", "settings", "message"),
    [
        (
            "login_time,account,note",
            {},
            "log.csv has no column 'user_id', 'timestamp', 'action'. Its columns are: login_time, "
            "account, note. Say which to use: columns.user_id=<your column> (perhaps "
            "columns.user_id=account) columns.timestamp=<your column> (perhaps "
            "columns.timestamp=login_time) columns.action=<your column>, or default_action=login "
            "if every row is a login",
        ),
        (
            "user_id,timestamp,acton",
            {},
            "columns.action=<your column> (perhaps columns.action=acton)",
        ),
        ("usr_id,timestamp,action", {}, "(perhaps columns.user_id=usr_id)"),
        (
            "user_id,login_time,action",
            {"columns": {"timestamp": "logintime"}},
            "has no column 'logintime' (columns.timestamp=logintime): did you mean 'login_time'?",
        ),
    ],
)
def test_missing_columns_are_named_with_the_remedy(
    tmp_path: Path, header: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        load_csv(tmp_path, f"{header}\na,b,c\n", **settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"user": "x"}}, "columns.user: no such event column; did you mean 'user_id'"),
        ({"time_zone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'?"),
        ({"time_zone": "berlin"}, "did you mean 'Europe/Berlin'?"),
        ({"max_rejected_share": 20}, "max_rejected_share=20: must be a share between 0 and 1"),
        ({"separator": ",,"}, "separator=',,': must be one ASCII character"),
        ({"timestamp_format": "%y%m%d%H"}, "timestamp_format=%y%m%d%H cannot be used"),
    ],
)
def test_impossible_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_csv(tmp_path, HEADER + GOOD, **settings)
    assert message in str(caught.value)


def test_timestamps_that_cannot_be_used_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no time zone; the first are '2024-03-01 12:00'.*=UTC"):
        load_csv(tmp_path, HEADER + "ann,2024-03-01 12:00,x\nann,never,x\n")
    with pytest.raises(DataError, match=r"the first are '1.3.24', 'noon'.*timestamp_format='%d"):
        load_csv(tmp_path, HEADER + "ann,1.3.24,x\nann,noon,x\n")
    with pytest.raises(DataError, match=r"by timestamp_format='%d.%m.%Y'; the first are '1/3/24'"):
        load_csv(tmp_path, HEADER + "ann,1/3/24,x\n", timestamp_format="%d.%m.%Y")
    with pytest.raises(DataError, match="the first are empty"):
        load_csv(tmp_path, HEADER + "ann,,x\n")


def test_a_few_rows_without_zone_are_set_apart(tmp_path: Path) -> None:
    log = load_csv(tmp_path, HEADER + GOOD * 9 + "bob,2024-03-01 12:00,login\n")
    assert quarantine(log) == [(11, "timestamp_without_zone")]
    assert "set time_zone=UTC" in log.rejected["reason"][0]


def test_too_many_bad_rows_refuse_the_log(tmp_path: Path) -> None:
    text = HEADER + GOOD * 6 + ",2024-03-01T12:00:00Z,x\n" * 3 + "ann,noon,x\n"
    with pytest.raises(DataError) as caught:
        load_csv(tmp_path, text)
    message = str(caught.value)
    assert "log.csv: 4 of 10 rows (40.0%) cannot be used" in message
    assert "missing_user: 3, unparsable_timestamp: 1" in message
    assert 'log.csv row 8, missing_user (the row names no user): {"user_id": null' in message
    assert "max_rejected_share=0.41" in message
    assert load_csv(tmp_path, text, max_rejected_share=0.41).events.height == 6


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "access.csv").write_text(HEADER + GOOD)
    for source in (
        CsvSource(tmp_path / "acess.csv", {}),
        ParquetSource(tmp_path / "acess.csv", {}),
    ):
        with pytest.raises(
            DataError, match=r"acess\.csv does not exist; did you mean access\.csv\?"
        ):
            source.load()
    with pytest.raises(DataError, match="nor does its folder"):
        CsvSource(tmp_path / "none" / "access.csv", {}).load()
    with pytest.raises(DataError, match="is a folder; give one CSV file"):
        CsvSource(tmp_path, {}).load()
    with pytest.raises(DataError, match="holds no Parquet file"):
        ParquetSource(tmp_path, {}).load()
    with pytest.raises(DataError, match="holds no Parquet file"):
        ParquetSource(tmp_path / "*.parquet", {}).load()


def test_parquet_file_with_its_own_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user": [7.0, 8.0, None, 7.0],
            "timestamp": [datetime(2024, 3, 1, hour) for hour in (9, 8, 7, 10)],
            "action": pl.Series(["a", "b", "a", "a"], dtype=pl.Categorical),
            "success": [True, None, False, False],
            "session": [1, 2, 3, 4],
            "label": [0, 1, 0, 1],
        }
    ).cast({"timestamp": pl.Datetime("ms")})
    frame.write_parquet(tmp_path / "events.parquet")
    log = ParquetSource(
        tmp_path / "events.parquet", {"user_id": "user"}, time_zone="UTC", max_rejected_share=0.25
    ).load()
    assert log.events.select("event_id", "user_id", "timestamp", "success", "session").rows() == [
        ("events.parquet:2", "8", utc(2024, 3, 1, 8), None, 2),
        ("events.parquet:1", "7", utc(2024, 3, 1, 9), True, 1),
        ("events.parquet:4", "7", utc(2024, 3, 1, 10), False, 4),
    ]
    assert log.truth is not None
    assert log.truth["label"].to_list() == [1, 0, 1]
    assert log.truth["label"].dtype == pl.Int64
    assert quarantine(log) == [(3, "missing_user")]
    assert json.loads(log.rejected["record"][0])["timestamp"] == "2024-03-01 07:00:00"


def test_partitioned_parquet_folder(tmp_path: Path) -> None:
    for day, name in ((date(2024, 3, 2), "b%20b"), (date(2024, 3, 1), "a")):
        folder = tmp_path / f"day={day}" / f"site={name}"
        folder.mkdir(parents=True)
        small_frame().write_parquet(folder / "part-0.parquet")
    unnamed = tmp_path / "day=2024-03-03" / "site=__HIVE_DEFAULT_PARTITION__"
    unnamed.mkdir(parents=True)
    small_frame(extra=[1, 2, 3]).write_parquet(unnamed / "part-0.parquet")
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "part-0.parquet").write_text("unfinished")
    log = ParquetSource(tmp_path, {}).load()
    assert log.events.height == 9
    assert log.events["event_id"].n_unique() == 9
    assert "day=2024-03-01/site=a/part-0.parquet:2" in log.events["event_id"].to_list()
    assert log.events["site"].value_counts().sort("site").rows() == [
        (None, 3),
        ("a", 3),
        ("b b", 3),
    ]
    assert log.events["extra"].drop_nulls().sort().to_list() == [1, 2, 3]


def test_parquet_glob_of_files_and_folders(tmp_path: Path) -> None:
    for month in ("2024-01", "2024-02", "2023-12"):
        (tmp_path / month).mkdir()
        small_frame().write_parquet(tmp_path / month / "log.parquet")
    for pattern in ("2024-*/*.parquet", "2024-*", "**/2024-*/*.parquet"):
        log = ParquetSource(str(tmp_path / pattern), {}).load()
        assert log.events.height == 6
        assert "2024-01/log.parquet:1" in log.events["event_id"].to_list()


def test_duplicates_over_files_are_set_apart(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        small_frame(event_id=["x", f"y{name}", f"z{name}"]).write_parquet(tmp_path / name)
    log = ParquetSource(tmp_path, {}).load()
    assert log.events.height == 5
    assert log.rejected.select("file", "row", "rule").rows() == [
        ("b.parquet", 1, "duplicate_event_id")
    ]


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    for content in (b"", b"no parquet at all, just text"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"log\.parquet cannot be read as a Parquet file"):
            ParquetSource(path, {}).load()
    small_frame().clear().write_parquet(path)
    with pytest.raises(DataError, match="has columns but no rows"):
        ParquetSource(path, {}).load()
    small_frame(action=[["a"], ["b"], []]).write_parquet(path)
    with pytest.raises(DataError, match=r"column 'action' holds List\(String\), not plain values"):
        ParquetSource(path, {}).load()
    small_frame(action=[b"\xff", b"a", b"b"]).write_parquet(path)
    with pytest.raises(DataError, match=r"column 'action' \(Binary\) cannot be read as text"):
        ParquetSource(path, {}).load()
    small_frame(timestamp=[datetime(2024, 1, 1)] * 3).write_parquet(path)
    small_frame().write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="types that do not go together"):
        ParquetSource(tmp_path, {}).load()
