"""More events than memory holds: split by user once, then bucket by bucket, on any engine.

A bucket holds all events of its users, so it can be worked on alone: by this process, by several,
or by Ray's workers; `arrow_batches` does the same for Spark (docs/scaling.md). What users have in
common, the times at which a peer group or everybody first met a name, is gathered before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import FeatureSpec, Windows
from riskml.features import cutting
from riskml.features.engines import Engine, Processes
from riskml.features.extractor import FeatureExtractor
from riskml.features.first_times import FIRST, KEYS
from riskml.features.increments import FIRST_TIMES, OPEN, PROFILES, WINDOWS, Increments, State
from riskml.features.profile import Profile
from riskml.features.splitting import Split, split_by_user
from riskml.features.window_blocks import WindowFiles
from riskml.features.window_files import read_files, write_windows

BUCKETS = "buckets"

Progress = Callable[[str, int, int], None]
T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BucketResult:
    """What one bucket gave.

    Attributes:
        bucket: its number.
        events: new ones that were read.
        windows: that are closed now.
        open: windows that may still grow.
        late: events left out because their window was closed before.
        duplicates: events left out because the same user's event of that id is there already.
    """

    bucket: int
    events: int = 0
    windows: int = 0
    open: int = 0
    late: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Increment:
    """What one call of `extract` gave.

    Attributes:
        run: its number; that of the last one if there was nothing new.
        files: that were taken in.
        known: files left out because an earlier run had taken them in.
        buckets: what each bucket gave.
    """

    run: int
    files: int
    known: int
    buckets: list[BucketResult] = field(default_factory=list)

    def total(self, count: str) -> int:
        """Sum of one of the counts of `BucketResult`."""
        return sum(int(getattr(bucket, count)) for bucket in self.buckets)


def extract(
    extractor: Path,
    files: str,
    out: Path,
    buckets: int = 16,
    memory: str = "1GB",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Increment:
    """Windows of a log of any size, into the folder `out`; `read_windows` reads them.

    Where `out` holds windows already, the log is an increment and goes on from there: a log day
    by day gives the windows of the log at once. Files that were taken in before are left out. A
    call that was killed leaves `out` as it was; the same call again gives what it would have.

    Args:
        extractor: folder of a fitted one.
        files: Parquet files in the event schema: a path, a folder, or a glob.
        out: where to, see `increments`.
        buckets: into how many parts the users are split; one a worker must fit in memory.
        memory: limit for the splitting.
        engine: what runs the buckets; this process unless given.
        progress: is told the step, and how many parts of how many are done.

    Returns:
        What each bucket gave.

    Raises:
        DataError: the files cannot be read or lack what is needed, or another run is at work.
        ConfigError: `out` was made with another number of buckets or another extractor.
    """
    tell = progress or (lambda step, done, of: None)
    folder = Increments(out)
    with folder.alone():
        state = folder.begin(extractor, buckets)
        fitted = FeatureExtractor.load(folder.extractor)
        with folder.work() as work:
            tell("split by user", 0, 1)
            split = split_by_user(
                files, work / BUCKETS, fitted.reads(), buckets, memory, state.files
            )
            tell("split by user", 1, 1)
            if split.latest is None:
                return Increment(state.run, 0, split.known)
            mark = split.latest - fitted.lateness
            mark = mark if state.watermark is None else max(mark, state.watermark)
            job = Job(folder.extractor, work, mark, folder.profiles())
            # one process is this one, so there is nothing to close
            engine = engine or Processes(1)
            shared = state.first_times
            known = folder.first_times(shared) if shared else None
            if fitted.shares_first_times:
                found = _each(engine, job.first_times, split.buckets, "first times", tell)
                files_found = [file for file in found if file is not None]
                if files_found:
                    known = merge_first_times(files_found, known, work / f"{FIRST_TIMES}.parquet")
                    shared = state.run + 1
            # a window may close in a bucket without new events
            there = sorted({*split.buckets, *state.open})
            results = _each(engine, replace(job, known=known).extract, there, "windows", tell)
            result = Increment(
                state.run + 1,
                len(split.files),
                split.known,
                sorted(results, key=lambda r: r.bucket),
            )
            folder.commit(work, _next(state, split, result, mark, shared))
    late = result.total("late")
    if late:
        _logger.warning(
            "%d of %d events came after their window was closed and are left out; "
            "features.lateness_minutes keeps windows open for longer",
            late,
            result.total("events"),
        )
    return result


def read_windows(out: Path, run: int | None = None, open_windows: bool = False) -> Windows:
    """Windows that `extract` has made, in order of start.

    Args:
        out: the folder that was given to `extract`.
        run: of this run only; None: of all.
        open_windows: also those that may still grow, as the last run left them.

    Raises:
        DataError: there is no such run.
        BundleError: the folder is damaged.
    """
    return read_files(*_files(out, run, open_windows))


def window_files(
    out: Path, since: datetime | None = None, until: datetime | None = None
) -> WindowFiles:
    """The closed windows that `extract` has made, to be read block by block.

    Args:
        out: the folder that was given to `extract`.
        since: leave out windows that begin before; needs a time zone.
        until: leave out windows that end after; needs a time zone.

    Raises:
        DataError: there are no such windows.
        BundleError: the folder is damaged.
    """
    return WindowFiles(*_files(out), since, until)


def _files(
    out: Path, run: int | None = None, open_windows: bool = False
) -> tuple[list[Path], FeatureSpec]:
    folder = Increments(out)
    last = 0 if folder.state is None else folder.state.run
    runs = range(1, last + 1) if run is None else [run]
    if not last or not 1 <= min(runs) <= max(runs) <= last:
        there = f"runs 1 to {last}" if last else "none yet"
        raise DataError(f"{out} has no windows of that run ({there}): see riskml features --help")
    folders = [folder.folder(WINDOWS, number) for number in runs]
    if open_windows:
        folders.append(folder.folder(OPEN, last))
    files = [file for found in folders for file in sorted(found.glob("bucket=*.parquet"))]
    return files, FeatureExtractor.load(folder.extractor).spec


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; it reads and writes files only.

    Args:
        extractor: folder of the fitted one.
        work: folder of the run.
        watermark: after this run.
        profiles: folder of each bucket's profile, where there is one.
        known: file with the first times of groups, those of this run included.
    """

    extractor: Path
    work: Path
    watermark: datetime
    profiles: dict[int, Path]
    known: Path | None = None

    def first_times(self, bucket: int) -> Path | None:
        """When groups met what is new to a user of the bucket, as a file; None: nothing is."""
        fitted = self._fitted()
        with _late_ones_said_once():
            _, profile = fitted.arrive(self._events(bucket)[0], self._profile(bucket))
        found = profile.tables.get(FIRST)
        if found is None:
            return None
        found.write_parquet(self._own(bucket))
        return self._own(bucket)

    def extract(self, bucket: int) -> BucketResult:
        """Write the windows and the next profile of one bucket."""
        fitted = self._fitted()
        events, duplicates = self._events(bucket)
        before = self._profile(bucket)
        if self.known is not None and self._own(bucket).is_file():
            before = before.with_table(FIRST, self._of_interest(bucket, self.known))
        with _late_ones_said_once():
            windows, after = fitted.transform(events, before)
            waiting, _ = fitted.transform(events.clear(), after, open_windows=True)
        write_windows(windows, self.work / WINDOWS / f"bucket={bucket}.parquet")
        write_windows(waiting, self.work / OPEN / f"bucket={bucket}.parquet")
        # first times of groups belong to all buckets and are kept once
        own = {name: table for name, table in after.tables.items() if name != FIRST}
        replace(after, tables=own).save(self.work / PROFILES / f"bucket={bucket}")
        return BucketResult(
            bucket,
            len(events) + duplicates,
            len(windows),
            len(waiting),
            after.late - before.late,
            duplicates,
        )

    def _fitted(self) -> FeatureExtractor:
        return _load(self.extractor, (self.extractor / "features.json").stat().st_mtime_ns)

    def _own(self, bucket: int) -> Path:
        return self.work / BUCKETS / f"{FIRST_TIMES}.{bucket}.parquet"

    def _of_interest(self, bucket: int, known: Path) -> pl.DataFrame:
        """First times of what is new to a user of the bucket: no others are asked for."""
        own = pl.scan_parquet(self._own(bucket), glob=False)
        every = pl.scan_parquet(known, glob=False)
        return every.join(own, on=KEYS, how="semi").collect(engine="streaming")

    def _events(self, bucket: int) -> tuple[pl.DataFrame, int]:
        """The bucket's new events, each once, and how many were there twice."""
        files = sorted((self.work / BUCKETS / f"bucket={bucket}").glob("*.parquet"))
        if files:
            return in_order(pl.read_parquet(files, hive_partitioning=False, glob=False))
        any_file = next((self.work / BUCKETS).glob("bucket=*/*.parquet"))
        return pl.read_parquet(any_file, hive_partitioning=False, glob=False, n_rows=0), 0

    def _profile(self, bucket: int) -> Profile:
        folder = self.profiles.get(bucket)
        profile = Profile() if folder is None else Profile.load(folder)
        # a bucket whose last event is earlier must close the same windows as the others
        return replace(profile, watermark=self.watermark)


@lru_cache(maxsize=1)
def _load(extractor: Path, changed: int) -> FeatureExtractor:
    """Once a worker: a large one takes longer to read than a bucket to work on."""
    return FeatureExtractor.load(extractor)


def in_order(events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Events by time, then id, each of a user's ids once (its first); and how many were too many.

    Engines give rows in any order, and that must not show.
    """
    events = events.sort("timestamp", "event_id")
    again = events.select(
        pl.col("event_id").is_not_null() & ~pl.struct("user_id", "event_id").is_first_distinct()
    ).to_series()
    if again.any():
        events = events.sort("timestamp", "event_id", *sorted(events.columns))
        events = events.filter(
            pl.col("event_id").is_null() | pl.struct("user_id", "event_id").is_first_distinct()
        )
    elif events["event_id"].null_count():
        events = events.sort("timestamp", "event_id", *sorted(events.columns))
    return events, int(again.sum())


def merge_first_times(found: Sequence[Path], known: Path | None, file: Path) -> Path:
    """Write the earliest of the first times of all files to another one."""
    files = [*found, known] if known is not None else list(found)
    tables = [pl.scan_parquet(part, glob=False).select(*KEYS, "first") for part in files]
    earliest = pl.concat(tables).group_by(*KEYS).agg(pl.col("first").min())
    earliest.collect(engine="streaming").write_parquet(file)
    return file


def _next(state: State, split: Split, result: Increment, mark: datetime, shared: int) -> State:
    done = {bucket.bucket: result.run for bucket in result.buckets}
    counts = ("events", "windows", "open", "late", "duplicates")
    line = {"run": result.run, "files": result.files}
    return State(
        buckets=state.buckets,
        run=result.run,
        watermark=mark,
        profiles=state.profiles | done,
        # a bucket with open windows is among those that were run
        open=tuple(bucket.bucket for bucket in result.buckets if bucket.open),
        first_times=shared,
        files=(*state.files, *split.files),
        runs=(*state.runs, line | {count: result.total(count) for count in counts}),
    )


def _each(
    engine: Engine,
    work: Callable[[int], T],
    buckets: Sequence[int],
    step: str,
    tell: Progress,
) -> list[T]:
    results: list[T] = []
    tell(step, 0, len(buckets))
    for result in engine.map(work, buckets):
        results.append(result)
        tell(step, len(results), len(buckets))
    return results


@contextmanager
def _late_ones_said_once() -> Iterator[None]:
    """A bucket is asked twice, and speaks of itself alone; `extract` warns of all together."""
    logger = logging.getLogger(cutting.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
