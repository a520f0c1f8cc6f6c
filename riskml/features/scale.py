"""More events than memory holds: split by user once, then bucket by bucket, on any engine.

A bucket holds all events of its users, so it can be worked on alone: by this process, by several,
by Ray's workers, or in Spark's `mapInArrow` (docs/scaling.md). What users have in common, the
times at which a peer group or everybody first met a name, is gathered from all buckets before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from riskml.core.errors import ConfigError, DataError, require
from riskml.core.schema import TIME_ZONE
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import FIRST
from riskml.features.profile import Profile
from riskml.features.window_files import write_windows

BUCKETS, WINDOWS, PROFILES = "buckets", "windows", "profiles"
SHARED = "first_times.parquet"
STATE = "buckets.json"

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class BucketResult:
    """What one bucket gave."""

    bucket: int
    events: int
    windows: int
    late: int


class Engine(Protocol):
    """Runs one function on many buckets."""

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """The results, in any order."""
        ...


class Processes:
    """So many processes of this machine; one means here.

    Raises:
        ConfigError: fewer than one.
    """

    def __init__(self, workers: int = 1) -> None:
        require("workers", workers, workers >= 1, "must be at least 1")
        self.workers = workers

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """Work on the buckets side by side."""
        if self.workers == 1:
            yield from map(work, buckets)
            return
        threads = os.environ.get("POLARS_MAX_THREADS")
        # each worker is one core's worth
        os.environ["POLARS_MAX_THREADS"] = "1"
        try:
            with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
                for future in as_completed([pool.submit(work, bucket) for bucket in buckets]):
                    yield future.result()
        finally:
            if threads is None:
                del os.environ["POLARS_MAX_THREADS"]
            else:
                os.environ["POLARS_MAX_THREADS"] = threads


class RayTasks:
    """Tasks of a Ray cluster; every machine must see the same folders.

    Args:
        address: of the cluster; None starts one here.
        workers: cores of the one that is started here.

    Raises:
        ConfigError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("Ray is not installed: pip install 'riskml[ray]'") from error
        # a cluster of this process alone needs no token in the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        self.ray = ray
        if not ray.is_initialized():
            ray.init(
                address=address,
                num_cpus=workers if address is None else None,
                include_dashboard=False,
                log_to_driver=False,
                runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}},
            )

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """One task a bucket."""
        task: Any = self.ray.remote(num_cpus=1)(lambda bucket: work(bucket))
        waiting = [task.remote(bucket) for bucket in buckets]
        while waiting:
            done, waiting = self.ray.wait(waiting)
            yield self.ray.get(done[0])


def split_by_user(
    files: str, folder: Path, columns: Iterable[str], buckets: int, memory: str = "1GB"
) -> datetime:
    """Write each user's events into one of `buckets` folders, within a memory limit.

    Args:
        files: Parquet files in the event schema, a path or a glob.
        folder: where the buckets go; an earlier split is replaced.
        columns: of the log that are kept, and `time_zone` if it is there.
        buckets: into how many.
        memory: limit for the engine, e.g. 1GB; it spills to disk beyond.

    Returns:
        The time of the latest event.

    Raises:
        DataError: no such files, no events, or a column is missing.
        ConfigError: the limit is not understood.
    """
    import duckdb

    require("buckets", buckets, buckets >= 1, "must be at least 1")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # a hash of no engine's own, so that a later release finds the same buckets
    bucket = f"md5_number_lower(user_id) % {buckets} AS bucket"
    with duckdb.connect() as engine:
        try:
            engine.execute("SET memory_limit = ?", [memory])
        except duckdb.Error as error:
            raise ConfigError(f"memory={memory!r} is no size; write for example 2GB") from error
        engine.execute("SET preserve_insertion_order = false")
        engine.execute("SET temp_directory = ?", [str(folder / ".spill")])
        engine.execute("SET partitioned_write_max_open_files = ?", [buckets])
        source = f"read_parquet({_quoted(files)}, union_by_name = true, hive_partitioning = false)"
        try:
            there = [row[0] for row in engine.execute(f"DESCRIBE FROM {source}").fetchall()]
            wanted = dict.fromkeys((*columns, *({TIME_ZONE} & set(there))))
            kept = ", ".join(f'"{name}"' for name in wanted)
            engine.execute(
                f"COPY (SELECT {kept}, {bucket} FROM {source}) "
                f"TO {_quoted(str(folder))} (FORMAT parquet, PARTITION_BY (bucket))"
            )
            latest = engine.execute(f"SELECT epoch_us(max(timestamp)) FROM {source}").fetchone()
        except duckdb.Error as error:
            raise DataError(f"{files} cannot be split: {str(error).splitlines()[0]}") from error
    shutil.rmtree(folder / ".spill", ignore_errors=True)
    if latest is None or latest[0] is None:
        raise DataError(f"{files} holds no events")
    return datetime.fromtimestamp(latest[0] // 1_000_000, UTC) + timedelta(
        microseconds=latest[0] % 1_000_000
    )


def extract(
    extractor: Path,
    files: str,
    out: Path,
    buckets: int = 16,
    memory: str = "1GB",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> list[BucketResult]:
    """Windows of a log of any size, into `out/windows`, and the profiles into `out/profiles`.

    Where `out` holds profiles already, the log is an increment: it goes on from them.

    Args:
        extractor: folder of a fitted one.
        files: Parquet files in the event schema, a path or a glob.
        out: where to; windows of an earlier call stay beside the new ones only in its profiles.
        buckets: into how many parts the users are split; one must fit in memory.
        memory: limit for the splitting.
        engine: what runs the buckets; this process unless given.
        progress: is told the step, and how many buckets of how many are done.

    Returns:
        What each bucket gave.

    Raises:
        DataError: the files cannot be read.
        ConfigError: `out` was made with another number of buckets.
    """
    engine = engine or Processes(1)
    fitted = FeatureExtractor.load(extractor)
    _same_number(out, buckets)
    latest = split_by_user(files, out / BUCKETS, fitted.reads(), buckets, memory)
    # a bucket whose last event is earlier must close the same windows as the others
    state = {"buckets": buckets, "watermark": (latest - fitted.lateness).isoformat()}
    (out / STATE).write_text(json.dumps(state))
    there = [n for n in range(buckets) if (out / BUCKETS / f"bucket={n}").is_dir()]
    if fitted.shares_first_times:
        found = _each(engine, partial(first_times, extractor, out), there, "first times", progress)
        earliest = pl.concat(found).group_by("group", "column", "slot").agg(pl.col("first").min())
        earliest.write_parquet(out / SHARED)
    shutil.rmtree(out / WINDOWS, ignore_errors=True)
    (out / WINDOWS).mkdir(parents=True)
    work = partial(extract_bucket, extractor, out)
    results = _each(engine, work, there, "windows", progress)
    shutil.rmtree(out / BUCKETS)
    return sorted(results, key=lambda result: result.bucket)


def first_times(extractor: Path, out: Path, bucket: int) -> pl.DataFrame:
    """When groups first met names, by the events of one bucket and what was known before."""
    fitted = FeatureExtractor.load(extractor)
    _, profile = fitted.arrive(_events(out, bucket), _profile(out, bucket))
    return profile.tables[FIRST]


def extract_bucket(extractor: Path, out: Path, bucket: int) -> BucketResult:
    """Write the windows and the profile of one bucket."""
    fitted = FeatureExtractor.load(extractor)
    events, before = _events(out, bucket), _profile(out, bucket)
    windows, after = fitted.transform(events, before)
    write_windows(windows, out / WINDOWS / f"bucket={bucket}.parquet")
    # first times of groups belong to all buckets and are kept once
    own = {name: table for name, table in after.tables.items() if name != FIRST}
    replace(after, tables=own).replace_folder(out / PROFILES / f"bucket={bucket}")
    return BucketResult(bucket, len(events), len(windows), after.late - before.late)


def _events(out: Path, bucket: int) -> pl.DataFrame:
    files = out / BUCKETS / f"bucket={bucket}" / "*.parquet"
    events = pl.read_parquet(files, hive_partitioning=False)
    # the order in which the engine wrote them is not the log's
    return events.sort("timestamp", "event_id")


def _profile(out: Path, bucket: int) -> Profile:
    folder = out / PROFILES / f"bucket={bucket}"
    profile = Profile.load(folder) if folder.is_dir() else Profile()
    if (out / SHARED).is_file():
        profile = profile.with_table(FIRST, pl.read_parquet(out / SHARED))
    watermark = datetime.fromisoformat(json.loads((out / STATE).read_text())["watermark"])
    return replace(profile, watermark=watermark)


def _each(
    engine: Engine,
    work: Callable[[int], T],
    buckets: Sequence[int],
    step: str,
    progress: Progress | None,
) -> list[T]:
    results = []
    for result in engine.map(work, buckets):
        results.append(result)
        if progress is not None:
            progress(step, len(results), len(buckets))
    return results


def _same_number(out: Path, buckets: int) -> None:
    """Users must fall into the buckets that hold their profiles."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / STATE).is_file():
        before = int(json.loads((out / STATE).read_text())["buckets"])
        if before != buckets:
            raise ConfigError(f"{out} was made with buckets={before}, not {buckets}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
