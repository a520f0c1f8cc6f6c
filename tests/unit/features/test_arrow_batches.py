"""What Spark calls on each partition, called by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from event_tables import same_windows, table
from long_logs import fitted, log

from riskml.core.errors import DataError
from riskml.features.arrow_batches import (
    FIRST_TIMES_SCHEMA,
    buckets_of_batches,
    first_times_of_batches,
    spark_schema,
    windows_of_batches,
)
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.window_files import from_frame
from riskml.features.windows import UserDayWindows

EVENTS = log(days=3)
KINDS = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "float": pa.float32(),
    "array<int>": pa.list_(pa.int32()),
    "array<float>": pa.list_(pa.float32()),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureExtractor, Path]:
    folder = tmp_path_factory.mktemp("features")
    extractor = fitted(UserDayWindows(), EVENTS, lateness_minutes=60, event_times=True)
    extractor.save(folder)
    return extractor, folder


def partitions(n: int, rows: int = 50) -> list[list[pa.RecordBatch]]:
    """Whole users in each, rows in any order, as Spark gives them: its own time zone and types."""
    spark = EVENTS.with_columns(pl.col("timestamp").dt.convert_time_zone("Europe/Berlin"))
    spark = spark.sample(fraction=1, shuffle=True, seed=3)
    number = spark["user_id"].str.slice(4).cast(pl.Int32) % n
    tables = [spark.filter(number == i).to_arrow() for i in range(n)]
    return [as_spark(part).to_batches(max_chunksize=rows) for part in tables]


def as_spark(found: pa.Table) -> pa.Table:
    plain = [
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in found.schema
    ]
    return found.cast(pa.schema(plain))


def schema_of(text: str) -> pa.Schema:
    """Spark's way of writing a schema, read."""
    fields = re.findall(r"(?:`((?:[^`]|``)+)`|(\w+)) ([\w<>]+)(?:, |$)", text)
    return pa.schema(
        [((quoted or name).replace("``", "`"), KINDS[t]) for quoted, name, t in fields]
    )


def gathered(parts: list[list[pa.RecordBatch]], folder: Path) -> pa.Table:
    """The earliest over all partitions, as Spark's groupBy gives them."""
    schema = schema_of(FIRST_TIMES_SCHEMA)
    batches = [b for part in parts for b in first_times_of_batches(iter(part), folder)]
    assert all(batch.schema == schema for batch in batches)
    grouped = pa.Table.from_batches(batches, schema).group_by(["group", "column", "slot"])
    return grouped.aggregate([("first", "min")]).rename_columns(
        ["group", "column", "slot", "first"]
    )


@pytest.mark.parametrize("n", [1, 4])
def test_partitions_give_the_windows_of_one_call(
    made: tuple[FeatureExtractor, Path], n: int
) -> None:
    extractor, folder = made
    parts = partitions(n)
    first = gathered(parts, folder)
    batches = [b for part in parts for b in windows_of_batches(iter(part), folder, first, rows=7)]
    schema = schema_of(spark_schema(str(folder)))
    assert all(batch.schema == schema and batch.num_rows <= 7 for batch in batches)
    frame = pl.DataFrame(pa.Table.from_batches(batches)).sort("start", "window_id")
    assert same_windows(from_frame(frame, extractor.spec), extractor.windows(EVENTS))


def test_an_empty_partition_gives_nothing(made: tuple[FeatureExtractor, Path]) -> None:
    first = gathered(partitions(1), made[1])
    empty = pa.RecordBatch.from_pylist([], as_spark(EVENTS.clear().to_arrow()).schema)
    for batches in ([], [empty]):
        assert list(windows_of_batches(batches, made[1], first)) == []
        assert list(first_times_of_batches(batches, made[1])) == []


def test_first_times_are_asked_for_where_they_are_shared(
    made: tuple[FeatureExtractor, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="gather first_times_of_batches over all partitions"):
        list(windows_of_batches(partitions(1)[0], made[1]))
    families = {"volume": VolumeFeatures(3), "novelty": NoveltyFeatures(scopes=("user",))}
    fitted(UserDayWindows(), EVENTS, families=families).save(tmp_path)
    assert list(windows_of_batches(partitions(1)[0], tmp_path))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("action", None, "no column 'action'"),
        ("timestamp", pl.col("timestamp").dt.replace_time_zone(None), "not instants with a time"),
    ],
)
def test_batches_that_cannot_be_used(
    made: tuple[FeatureExtractor, Path], column: str, value: pl.Expr | None, message: str
) -> None:
    events = EVENTS.drop(column) if value is None else EVENTS.with_columns(value)
    batches: Iterator[pa.RecordBatch] = iter(events.to_arrow().to_batches())
    with pytest.raises(DataError, match=message):
        list(first_times_of_batches(batches, made[1]))


def test_odd_names_are_quoted_in_the_schema(tmp_path: Path) -> None:
    events = table(["ann"] * 4, EVENTS["timestamp"][:4].to_list(), ["a`b, c int"] * 4)
    fitted(UserDayWindows(), events, families={"volume": VolumeFeatures(3)}).save(tmp_path)
    batches = list(windows_of_batches(events.to_arrow().to_batches(), tmp_path))
    assert batches[0].schema == schema_of(spark_schema(tmp_path))


def test_buckets_are_done_before_they_are_told() -> None:
    batches = [pa.RecordBatch.from_pydict({"bucket": numbers}) for numbers in ([3, 1], [], [2])]
    done: list[int] = []
    told = buckets_of_batches(done.append, batches)
    assert next(told).column("bucket").to_pylist() == [3, 1] == done
    assert [batch.num_rows for batch in told] == [0, 1] and done == [3, 1, 2]
