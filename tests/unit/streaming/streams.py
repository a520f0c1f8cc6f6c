"""Parts of a stream that tests run in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from riskml.core.schema import TIMESTAMP
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import Bundle
from riskml.serving.scoring import score_events
from riskml.serving.standing import Standing
from riskml.streaming.ends import DeadLetter
from riskml.streaming.job import Pace, Partitions, StreamJob
from riskml.streaming.messages import EventReader, Messages, decoder
from riskml.streaming.partition_state import FolderHome
from riskml.streaming.scorer import PartitionScorer, StreamSettings
from riskml.streaming.user_profiles import UserProfiles

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"


class Kept:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.settled = 0

    def write(self, rows: pl.DataFrame) -> None:
        self.frames.append(rows)

    def settle(self) -> None:
        self.settled = len(self.frames)

    def close(self) -> None:
        pass

    @property
    def rows(self) -> pl.DataFrame:
        return pl.concat(self.frames)

    @property
    def newest(self) -> pl.DataFrame:
        """The last row of each window."""
        return self.rows.unique("window_id", keep="last").sort("window_id")


class KeptLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def put(self, letters: list[DeadLetter]) -> None:
        self.letters += letters

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


class ListSource:
    """Messages of several partitions, some at a time.

    Args:
        parts: by partition.
        sizes: of the steps, over and over.
        dies_at: raise amid the poll of this number.
    """

    name = "list"

    def __init__(
        self, parts: dict[str, list[bytes]], sizes: Sequence[int], dies_at: int | None = None
    ) -> None:
        self.parts, self.sizes, self.dies_at = parts, sizes, dies_at
        self.at: dict[str, int] = {}
        self.polls = 0
        self.committed: dict[str, Any] = {}

    def begin(self, partitions: Partitions) -> None:
        for name in self.parts:
            self.at[name] = partitions.opened(name, len(self.parts) == 1) or 0

    @property
    def ended(self) -> bool:
        return all(self.at[name] >= len(part) for name, part in self.parts.items())

    def poll(self, most: int, wait: float) -> list[tuple[Messages, Any]]:
        self.polls += 1
        if self.polls == self.dies_at:
            raise RuntimeError("killed")
        size = min(most, self.sizes[self.polls % len(self.sizes)])
        found = []
        for name, part in self.parts.items():
            values = part[self.at[name] : self.at[name] + size]
            if values:
                offsets = np.arange(self.at[name], self.at[name] + len(values))
                self.at[name] += len(values)
                known = offsets * 1000
                found.append((Messages(name, values, offsets, known), self.at[name]))
        return found

    def kept(self, positions: dict[str, Any]) -> None:
        self.committed = positions

    def close(self) -> None:
        pass


def people(first_day: int, days: int, users: int = 12, seed: int = 0) -> pl.DataFrame:
    """Events of users in two time zones, some at night, in order of time and id."""
    rng = np.random.default_rng([seed, first_day])
    n = users * days * 8
    user = rng.integers(0, users, n)
    day = first_day + rng.integers(0, days, n)
    hour = np.clip(rng.normal(12, 3, n), 0, 23.99)
    start = pl.lit(datetime(2024, 3, 1, tzinfo=UTC)).cast(TIMESTAMP)
    seconds = pl.Series((day * 86_400 + hour * 3_600).astype(np.int64))
    new = rng.integers(0, 400, n)
    return (
        pl.DataFrame({"user": user, "seconds": seconds, "new": new})
        .select(
            event_id=pl.format("e{}-{}", pl.lit(first_day), pl.int_range(pl.len())),
            user_id=pl.format("user{}", "user"),
            timestamp=start + pl.duration(seconds="seconds"),
            action=pl.format("action{}", (pl.col("user") + pl.col("seconds")) % 5),
            resource=pl.when(pl.col("new") < 40)
            .then(pl.format("rare{}", "new"))
            .otherwise(pl.format("file{}", pl.col("new") % 10)),
            source=pl.format("pc{}", pl.col("user") + (pl.col("new") == 7)),
            success=pl.col("new") % 9 > 0,
            bytes=pl.col("new").cast(pl.Float64) * 10,
            time_zone=pl.when(pl.col("user") % 2 == 0)
            .then(pl.lit("Asia/Seoul"))
            .otherwise(pl.lit("Europe/Berlin")),
        )
        .sort("timestamp", "event_id")
    )


def as_messages(events: pl.DataFrame) -> list[bytes]:
    times = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return [orjson.dumps(row) for row in events.with_columns(times).iter_rows(named=True)]


def stream(
    bundle: Bundle,
    source: ListSource,
    folder: Path,
    sink: Kept,
    letters: KeptLetters | None = None,
    checkpoint: float = 0.0,
    settings: StreamSettings | None = None,
) -> StreamJob:
    return StreamJob(
        bundle,
        source,
        EventReader(
            EventMapping({}, max_rejected_share=1.0), bundle.extractor.reads(), decoder("json")
        ),
        lambda name: FolderHome(folder / name),
        [sink],
        letters,
        settings or StreamSettings(),
        Pace(checkpoint=timedelta(seconds=checkpoint), wait=timedelta(0)),
    )


def batch_rows(bundle: Bundle, events: pl.DataFrame) -> pl.DataFrame:
    """Closed windows of the scoring job over the whole log at once."""
    return score_events(Standing.of(bundle), events, timedelta(hours=2)).rows.sort("window_id")


def scorer(bundle: Bundle, folder: Path, settings: StreamSettings | None = None) -> PartitionScorer:
    profiles = UserProfiles(folder, bundle.profile, watermark=bundle.profile.watermark)
    made = PartitionScorer(bundle, profiles, settings or StreamSettings())
    made.adopt()
    return made


def steps(events: pl.DataFrame, rng: np.random.Generator, most: int) -> Iterator[pl.DataFrame]:
    at = 0
    while at < len(events):
        size = int(rng.integers(1, most + 1))
        yield events[at : at + size].with_columns(pl.int_range(pl.len()).alias("_at"))
        at += size
