"""A log in Parquet → events by bucket of users; what cannot be split is said in one line."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from event_tables import ZERO, random_log, table

from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import EVENT_SCHEMA
from riskml.features import splitting
from riskml.features.splitting import split_by_user

EVENTS = random_log(days=2, users=20)


def split(folder: Path, files: str | None = None, **settings: object) -> splitting.Split:
    columns = settings.pop("columns", EVENT_SCHEMA)
    return split_by_user(files or str(folder / "log.parquet"), folder / "b", columns, **settings)  # type: ignore[arg-type]


def read(folder: Path) -> pl.DataFrame:
    files = list((folder / "b").rglob("*.parquet"))
    return pl.read_parquet(files, hive_partitioning=False)


def test_every_event_is_in_one_bucket_with_its_user(tmp_path: Path) -> None:
    EVENTS.write_parquet(tmp_path / "log.parquet")
    found = split(tmp_path, buckets=4)
    assert found.buckets == (0, 1, 2, 3)
    assert found.latest == EVENTS["timestamp"].max()
    users = [
        set(pl.read_parquet(folder / "*.parquet")["user_id"])
        for folder in (tmp_path / "b").iterdir()
    ]
    assert sum(map(len, users)) == len(set.union(*users)) == 20
    assert read(tmp_path).sort("event_id").equals(EVENTS.sort("event_id"))
    assert read(tmp_path).schema == pl.Schema(EVENT_SCHEMA)


def test_a_users_bucket_never_changes(tmp_path: Path) -> None:
    table(["ann", "bob", "Zoë", ""], [ZERO] * 4).write_parquet(tmp_path / "log.parquet")
    split(tmp_path, buckets=1000)
    where = {
        pl.read_parquet(file, hive_partitioning=False)["user_id"][0]: file.parent.name
        for file in (tmp_path / "b").rglob("*.parquet")
    }
    # by a definition that leaves the engine out
    lower = {user: hashlib.md5(user.encode()).digest()[8:] for user in where}
    assert where == {u: f"bucket={int.from_bytes(h, 'little') % 1000}" for u, h in lower.items()}
    assert where["ann"] == "bucket=484"


def test_globs_folders_and_hive_partitions(tmp_path: Path) -> None:
    for day, part in enumerate((EVENTS[:100], EVENTS[100:])):
        folder = tmp_path / "log" / f"day={day}"
        folder.mkdir(parents=True)
        # a column of the path's name must not come in the way
        part.with_columns(day=pl.lit("x"), extra=pl.lit(day)).write_parquet(folder / "e.parquet")
    for files in ("log", "log/", "log/**/*.parquet", "log/day=*/e.parquet"):
        found = split(tmp_path, f"{tmp_path}/{files}", buckets=2, columns=[*EVENT_SCHEMA, "day"])
        assert len(found.files) == 2 and len(read(tmp_path)) == len(EVENTS)
    assert len(split(tmp_path, f"{tmp_path}/log/day=1/*", buckets=2).files) == 1


def test_files_that_differ_in_columns_and_types(tmp_path: Path) -> None:
    nanoseconds = pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    parts = [
        EVENTS[:50].select(*reversed(EVENTS.columns), pl.lit("Asia/Tokyo").alias("time_zone")),
        EVENTS[50:].with_columns(pl.col("source").cast(pl.Categorical), nanoseconds),
    ]
    for number, part in enumerate(parts):
        part.write_parquet(tmp_path / f"{number}.parquet")
    split(tmp_path, f"{tmp_path}/*.parquet", buckets=2)
    found = read(tmp_path).sort("event_id")
    assert found.select(EVENTS.columns).equals(EVENTS.sort("event_id"))
    assert found["time_zone"].null_count() == len(EVENTS) - 50


def test_numbers_as_user_ids(tmp_path: Path) -> None:
    numbered = EVENTS.with_columns(user_id=pl.int_range(pl.len()) % 7)
    numbered.write_parquet(tmp_path / "log.parquet")
    split(tmp_path, buckets=3)
    assert set(read(tmp_path)["user_id"]) == {str(i) for i in range(7)}


def test_times_before_1970(tmp_path: Path) -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    table(["ann"], [moment]).write_parquet(tmp_path / "log.parquet")
    assert split(tmp_path, buckets=1).latest == moment


def test_files_are_known_by_what_they_hold(tmp_path: Path) -> None:
    EVENTS[:100].write_parquet(tmp_path / "log.parquet")
    first = split(tmp_path, buckets=2)
    (tmp_path / "log.parquet").rename(tmp_path / "other.parquet")
    EVENTS[100:].write_parquet(tmp_path / "log.parquet")
    EVENTS.clear().write_parquet(tmp_path / "empty.parquet")
    second = split(tmp_path, f"{tmp_path}/*.parquet", buckets=2, known=first.files)
    assert second.known == 1 and len(second.files) == 1
    assert read(tmp_path)["event_id"].sort().equals(EVENTS["event_id"][100:].sort())
    known = (*first.files, *second.files)
    third = split(tmp_path, f"{tmp_path}/*.parquet", buckets=2, known=known)
    assert third == splitting.Split((), 2)


def test_one_other_value_makes_another_file(tmp_path: Path) -> None:
    prints = set()
    for change in (timedelta(0), timedelta(microseconds=1)):
        moved = EVENTS.with_columns(pl.col("timestamp") + change)
        moved.write_parquet(tmp_path / "log.parquet")
        prints |= set(split(tmp_path, buckets=1).files)
    assert len(prints) == 2


def test_without_statistics_the_name_tells(tmp_path: Path) -> None:
    for name in "ab":
        EVENTS.write_parquet(tmp_path / f"{name}.parquet", statistics=False)
    assert len(split(tmp_path, f"{tmp_path}/*.parquet", buckets=1).files) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("source").alias("ip"), "no column 'source', which the extractor reads"),
        (pl.col("timestamp").dt.replace_time_zone(None), "'timestamp' is TIMESTAMP, not instants"),
        (pl.col("timestamp").cast(pl.Int64), "'timestamp' is BIGINT, not instants"),
        (pl.when(pl.col("event_id") > "e5").then("user_id").alias("user_id"), "no 'user_id'"),
        (pl.when(pl.col("event_id") > "e5").then("timestamp").alias("timestamp"), "no 'timestamp'"),
        (pl.when(pl.col("event_id") > "e5").then("action").alias("action"), "no 'action'"),
        (pl.lit("perhaps").alias("success"), "cannot be split: Conversion Error"),
    ],
)
def test_logs_that_cannot_be_used(tmp_path: Path, change: pl.Expr, message: str) -> None:
    events = EVENTS.with_columns(change)
    events = events.drop("source") if "ip" in events.columns else events
    events.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=message) as error:
        split(tmp_path, buckets=2)
    assert "\n" not in str(error.value)


def test_no_files_no_events_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches"):
        split(tmp_path, buckets=2)
    with pytest.raises(DataError, match="no file matches"):
        split(tmp_path, f"{tmp_path}/*/nothing", buckets=2)
    EVENTS.clear().write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="holds no events"):
        split(tmp_path, buckets=2)
    (tmp_path / "log.parquet").write_text("user_id,timestamp\n")
    with pytest.raises(DataError, match="cannot be split"):
        split(tmp_path, buckets=2)


def test_impossible_settings(tmp_path: Path) -> None:
    EVENTS.write_parquet(tmp_path / "log.parquet")
    for memory in ("much", "", "GB"):
        with pytest.raises(ConfigError, match="is no size; write for example 2GB"):
            split(tmp_path, buckets=2, memory=memory)
    with pytest.raises(ConfigError, match="buckets=0 must be at least 1"):
        split(tmp_path, buckets=0)


def test_the_engine_is_given_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EVENTS.write_parquet(tmp_path / "log.parquet")
    limits, fingerprints = [], splitting._fingerprints

    def asking(engine: duckdb.DuckDBPyConnection, files: str) -> list[tuple[str, str]]:
        query = "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        limits.append(engine.execute(query).fetchone())
        return fingerprints(engine, files)

    monkeypatch.setattr(splitting, "_fingerprints", asking)
    split(tmp_path, buckets=2, memory="300MiB")
    assert limits == [("300.0 MiB", str(tmp_path / "b" / ".spill"))]
    assert not (tmp_path / "b" / ".spill").exists()
