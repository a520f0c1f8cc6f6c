"""More events than memory holds: split by user once, then bucket by bucket, on any engine.

A bucket holds all events of its users, so it can be worked on alone: by this process, by several,
or by Ray's workers; `arrow_batches` does the same for Spark (docs/scaling.md). What users have in
common, the times at which a peer group or everybody first met a name, is gathered before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import FeatureSpec, Windows
from riskml.features.bucket_job import BUCKETS, BucketJob, BucketResult
from riskml.features.engines import Engine, Processes
from riskml.features.extractor import FeatureExtractor
from riskml.features.first_times import KEYS
from riskml.features.increments import FIRST_TIMES, OPEN, WINDOWS, Increments, State
from riskml.features.splitting import Split, split_by_user
from riskml.features.window_blocks import WindowFiles
from riskml.features.window_files import read_files

Progress = Callable[[str, int, int], None]
T = TypeVar("T")

_logger = logging.getLogger(__name__)


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
            job = BucketJob(folder.extractor, work, mark, folder.profiles())
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
