"""What a worker does with one bucket of users: its events and profile in, windows out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from riskml.features import cutting
from riskml.features.extractor import FeatureExtractor
from riskml.features.first_times import FIRST, KEYS
from riskml.features.increments import FIRST_TIMES, OPEN, PROFILES, WINDOWS
from riskml.features.profile import Profile
from riskml.features.window_files import write_windows

BUCKETS = "buckets"


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
class BucketJob:
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
