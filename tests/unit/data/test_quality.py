"""Rules for rows, the quarantine, and what is enough to learn from."""

from __future__ import annotations

import json
import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import GOOD, HEADER, load_csv, quarantine, small_frame, utc

from riskml.core.errors import DataError
from riskml.data.quality import DUPLICATE_RULE, TEXT_RULES, check_enough, row_rules
from riskml.data.quarantine import REJECTED_SCHEMA, summarise, write_quarantine

TOMORROW = datetime.now(UTC) + timedelta(hours=23)
NEXT_YEAR = datetime.now(UTC) + timedelta(days=365)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("ann,,login", "missing_timestamp"),
        ("ann,noon,login", "unparsable_timestamp"),
        ("ann,2024-03-01 12:00:00,login", "timestamp_without_zone"),
        ("ann,0,login", "timestamp_out_of_range"),
        ("ann,1989-12-31T23:59:59Z,login", "timestamp_out_of_range"),
        (f"ann,{NEXT_YEAR.isoformat()},login", "timestamp_out_of_range"),
        ("  ,2024-03-01T12:00:00Z,login", "missing_user"),
        ("ann,2024-03-01T12:00:00Z,", "missing_action"),
        (",noon,", "unparsable_timestamp"),
        ("ann,1990-01-01T00:00:00Z,login", None),
        (f"ann,{TOMORROW.isoformat()},login", None),
        ("null,2024-03-01T12:00:00Z,login", None),
    ],
    ids=[
        "no-time",
        "no-time-at-all",
        "no-zone",
        "epoch-zero",
        "too-early",
        "too-late",
        "no-user",
        "no-action",
        "several-faults",
        "earliest",
        "latest",
        "user-named-null",
    ],
)
def test_row_rules(tmp_path: Path, row: str, rule: str | None) -> None:
    log = load_csv(tmp_path, HEADER + GOOD * 9 + row + "\n")
    assert quarantine(log) == ([(11, rule)] if rule else [])
    assert log.events.height + log.rejected.height == 10


def test_non_existent_local_time_is_not_lost(tmp_path: Path) -> None:
    text = HEADER + GOOD * 9 + "ann,2024-03-31 02:30:00,login\n"
    log = load_csv(tmp_path, text, time_zone="Europe/Berlin")
    assert quarantine(log) == [(11, "timestamp_non_existent")]
    assert log.rejected.schema == REJECTED_SCHEMA
    row = log.rejected.row(0, named=True)
    assert row["file"] == "log.csv"
    assert "clocks went forward" in row["reason"]
    assert json.loads(row["record"]) == {
        "user_id": "ann",
        "timestamp": "2024-03-31 02:30:00",
        "action": "login",
    }


def test_of_duplicates_the_first_usable_row_stays(tmp_path: Path) -> None:
    text = (
        "event_id,user_id,timestamp,action\n"
        "1,ann,noon,login\n"
        "1,bob,2024-03-01T12:00:00Z,login\n"
        "1,eve,2024-03-01T11:00:00Z,login\n"
        ",ann,2024-03-01T10:00:00Z,login\n"
    )
    log = load_csv(tmp_path, text, max_rejected_share=0.5)
    assert quarantine(log) == [(2, "unparsable_timestamp"), (4, "duplicate_event_id")]
    assert log.events.select("event_id", "user_id").rows() == [("log.csv:5", "ann"), ("1", "bob")]


def test_outcomes_in_many_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = ["true", "1", "YES", "Success", "ok", "Allow", "1.0"]
    bad = ["False", "0", "no", "failure", "FAILED", "deny", "error"]
    rows = "".join(f"u,1709290800,x,{word}\n" for word in [*good, *bad, "", "perhaps"])
    with caplog.at_level(logging.WARNING):
        log = load_csv(tmp_path, "user_id,timestamp,action,success\n" + rows)
    assert log.events["success"].to_list() == [True] * 7 + [False] * 7 + [None, None]
    assert (
        "1 of 16 outcomes are not understood and left empty, for example 'perhaps'" in caplog.text
    )


def test_rules_have_unique_names_and_an_explanation() -> None:
    rules = [*TEXT_RULES, *row_rules(utc(2024, 1, 1)), DUPLICATE_RULE]
    assert len({rule.name for rule in rules}) == len(rules) == 12
    assert all(len(rule.explanation) > 10 for rule in rules)


def test_quarantine_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = HEADER + GOOD * 20 + 'ann,noon,"log,in"\n' + ",2024-03-01T12:00:00Z,é\n" * 2
    rejected = load_csv(tmp_path, text).rejected
    with caplog.at_level(logging.INFO):
        path = write_quarantine(rejected, tmp_path / "new" / "run")
    assert path == tmp_path / "new" / "run" / "quarantine.csv"
    assert [file.name for file in path.parent.iterdir()] == ["quarantine.csv"]
    read = pl.read_csv(path, schema=REJECTED_SCHEMA)
    assert read.equals(rejected)
    assert json.loads(read["record"][0])["action"] == "log,in"
    summary = "3 rows in quarantine (missing_user: 2, unparsable_timestamp: 1)"
    assert summarise(rejected) == summary
    assert f"{summary}: {path}" in caplog.text


def test_no_bad_rows_no_quarantine_file(tmp_path: Path) -> None:
    rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
    (tmp_path / "quarantine.csv").write_text("from an earlier run")
    assert write_quarantine(rejected, tmp_path) is None
    assert not (tmp_path / "quarantine.csv").exists()
    assert summarise(rejected) == "no rows in quarantine"


def test_check_enough() -> None:
    events = small_frame()
    check_enough(events)
    with pytest.raises(DataError, match="no usable events"):
        check_enough(events.clear())
    with pytest.raises(DataError, match=r"all 2 events are of the user 'ann'.*at least two"):
        check_enough(events.filter(pl.col("user_id") == "ann"))
    with pytest.raises(DataError, match="each of the 2 users has one event only"):
        check_enough(events.head(2))


FIELDS = st.one_of(
    st.sampled_from(["", "ann", "2024-03-01T12:00:00Z", "2024-03-01 12:00", "0", "-1", "9" * 30]),
    st.text(st.characters(codec="utf-8", exclude_characters=',"\r\n'), max_size=12),
)


def as_text(fields: list[str]) -> str:
    return ",".join(fields)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(FIELDS, min_size=1, max_size=5).map(as_text), max_size=30))
def test_every_row_of_random_fields_is_accounted_for(rows: list[str]) -> None:
    text = HEADER + GOOD + "\n".join(rows) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        log = load_csv(Path(folder), text, max_rejected_share=1)
    n_rows = 1 + sum(row.strip(" ") != "" for row in rows)
    assert log.events.height + log.rejected.height == n_rows
    assert log.events.null_count().select("event_id", "user_id", "timestamp", "action").row(0) == (
        (0,) * 4
    )
    assert log.events["timestamp"].is_sorted()


BROKEN = st.lists(
    st.sampled_from(
        [b'"', b",", b"\xff", b"x", b"\r", b" ", b"ann", b"1709290800", b'""', b"\xc3"]
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(BROKEN, BROKEN), min_size=1, max_size=20))
def test_every_line_of_random_bytes_turns_up_somewhere(pieces: list[tuple[bytes, bytes]]) -> None:
    marks = [f"<{number}>" for number in range(len(pieces))]
    lines = [a + mark.encode() + b for (a, b), mark in zip(pieces, marks, strict=True)]
    content = (HEADER + GOOD).encode() + b"\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        log = load_csv(Path(folder), content, max_rejected_share=1)
    fields = [field for row in log.events.iter_rows() for field in row if isinstance(field, str)]
    found = "\n".join([*fields, *log.rejected["record"]])
    assert [mark for mark in marks if mark not in found] == []
    assert GOOD.split(",")[0] in log.events["user_id"].to_list()


def test_a_hundred_thousand_damaged_rows(tmp_path: Path) -> None:
    damaged = ["ann,1709290800,login", "ann,1709290800", 'ann,"1709290800,login', "a,b,c,d", ",,"]
    rows = [damaged[number % 5] for number in range(100_000)]
    log = load_csv(tmp_path, HEADER + "\n".join(rows), max_rejected_share=1)
    assert log.events.height == 20_000
    assert log.rejected["rule"].value_counts().sort("rule").rows() == [
        ("broken_quoting", 20_000),
        ("missing_timestamp", 20_000),
        ("too_few_fields", 20_000),
        ("too_many_fields", 20_000),
    ]
