"""Batches of a source are its load in pieces, of which one is in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import GOOD, HEADER
from record_files import check_batches, rules

from riskml.core.errors import ConfigError, DataError
from riskml.data.csv_records import csv_tables
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.sources import CsvSource, LogSource, ParquetSource
from riskml.data.sources.base import concat_tables, no_rejected, origin, rebatched
from riskml.data.sources.merging import merged_by_time

START = datetime(2024, 3, 1, tzinfo=UTC)


def frame(n: int, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [f"u{i % 3}" for i in range(n)],
            "timestamp": [START + timedelta(seconds=first + i) for i in range(n)],
            "action": ["read"] * n,
        }
    )


def frames_in_memory() -> list[pl.DataFrame]:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, pl.DataFrame)]


def joined(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def table(values: list[int], file: str = "log") -> LogTable:
    rows = pl.DataFrame({"value": pl.Series(values, dtype=pl.Int64)})
    return LogTable("log", rows, origin(file, range(1, len(values) + 1)), no_rejected())


@given(st.lists(st.lists(st.integers(0, 9), max_size=7), max_size=8), st.integers(1, 9))
def test_tables_are_cut_anew(parts: list[list[int]], rows: int) -> None:
    found = list(rebatched((table(part) for part in parts), rows))
    assert [value for one in found for value in one.rows["value"]] == joined(parts)
    assert all(len(one.rows) == rows for one in found[:-1])
    assert all(len(one.rows) == len(one.origin) for one in found)


@given(
    st.lists(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=4), max_size=4),
    st.booleans(),
)
def test_logs_are_merged_by_time(logs: list[list[list[int]]], in_order: bool) -> None:
    pieces = []
    for number, log in enumerate(logs):
        flat = sorted(joined(log)) if in_order else joined(log)
        cut, position = [], 0
        for piece in log:
            cut.append(table(flat[position : position + len(piece)], f"log{number}"))
            position += len(piece)
        pieces.append(iter(cut))
    time = pl.lit(datetime(2024, 1, 1)) + pl.duration(days="value")
    merged = [one for one in merged_by_time(pieces, time) if len(one.rows)]
    found = [value for one in merged for value in one.rows["value"]]
    assert sorted(found) == sorted(joined(joined(log) for log in logs))
    if in_order:
        assert found == sorted(found)


LINES = [
    "ann,1709290800,login",
    'bob,1709290801,"two',
    'lines"',
    "x",
    '"',
    "",
    '"a""b",1,c',
    "é,1,b",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=14), st.integers(1, 5))
def test_csv_in_pieces_is_csv_in_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], rows: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    path.write_text(HEADER + "ann,1709290800,login\n" + "\n".join(lines))
    whole = concat_tables(list(csv_tables(path, ",", 1_000)))
    pieces = concat_tables(list(csv_tables(path, ",", rows)))
    for part in ("rows", "origin", "rejected"):
        assert getattr(pieces, part).rows() == getattr(whole, part).rows(), part


def test_csv_batches(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + GOOD * 4 + "x\n" + GOOD * 5 + ",1709290800,login\n")
    log = check_batches(CsvSource(path), 3)
    assert len(log.events) == 9
    assert rules(log) == [("log.csv", 6, "too_few_fields"), ("log.csv", 12, "missing_user")]


def test_parquet_batches_over_files_that_differ(tmp_path: Path) -> None:
    frame(10).write_parquet(tmp_path / "a.parquet", row_group_size=4)
    frame(7, 10).with_columns(extra=pl.lit(1, pl.Int8)).write_parquet(tmp_path / "b.parquet")
    frame(0).write_parquet(tmp_path / "c.parquet")
    log = check_batches(ParquetSource(tmp_path), 4)
    assert log.events["extra"].count() == 7
    assert log.events["event_id"].to_list()[9:11] == ["a.parquet:10", "b.parquet:1"]


def test_a_small_batch_without_a_good_row_does_not_refuse_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + GOOD * 8 + "ann,noon,login\n")
    sizes = [(len(b.events), len(b.rejected)) for b in CsvSource(path).batches(2)]
    assert sizes == [(2, 0)] * 4 + [(0, 1)]


def test_too_many_bad_rows_are_told_after_the_last_batch(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + GOOD * 2 + "ann,noon,login\n" * 2)
    batches = CsvSource(path).batches(2)
    next(batches), next(batches)
    with pytest.raises(DataError, match=r"2 of 4 rows.*unparsable_timestamp: 2"):
        next(batches)


def test_a_first_batch_without_any_zone_refuses_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "ann,2024-03-01 12:00,login\n" * 2_000)
    with pytest.raises(DataError, match="time_zone=UTC"):
        next(CsvSource(path).batches(1_000))


def test_rows_must_be_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows=0 must be at least 1"):
        next(CsvSource(tmp_path).batches(0))


@dataclass(frozen=True)
class Endless(LogSource):
    """A log without an end, whose tables are counted while they live."""

    def mapping(self) -> EventMapping:
        return EventMapping()

    def tables(self, rows: int) -> Iterator[LogTable]:
        first = 0
        while True:
            place = origin("log", range(first + 1, first + rows + 1))
            yield LogTable("log", frame(rows, first), place, no_rejected())
            first += rows


def test_one_batch_is_in_memory() -> None:
    batches = Endless().batches(500)
    for _ in range(20):
        next(batches)
    gc.collect()
    alive = [thing for thing in gc.get_objects() if isinstance(thing, LogTable)]
    assert 0 < sum(len(thing.rows) for thing in alive) <= 2 * 500


def test_parquet_is_read_no_further_than_it_must(tmp_path: Path) -> None:
    frame(200_000).write_parquet(tmp_path / "log.parquet", row_group_size=10_000)
    others = frames_in_memory()  # of other tests; kept, so that no new one takes its place
    batches = ParquetSource(tmp_path / "log.parquet").batches(1_000)
    assert len(next(batches).events) == 1_000
    old = {id(one) for one in others}
    frames = [one for one in frames_in_memory() if id(one) not in old]
    assert 0 < sum(len(one) for one in frames if "user_id" in one.columns) <= 10_000
