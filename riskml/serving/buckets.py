"""What a batch closes, worked out by buckets of users on any engine (docs/scaling.md).

A bucket holds the users whose hashes lie in one range. Its events and what is known of its users
go to a worker as files; windows, scores and what is known then come back. Alerts are decided and
the store is written by the job alone, so a bucket that is worked on again counts once.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError, require
from riskml.export.bundle import Bundle, load_bundle
from riskml.export.manifest import MANIFEST
from riskml.features.cutting import watermark_after
from riskml.features.engines import Engine
from riskml.features.first_times import FIRST, FirstTimes
from riskml.features.frame_files import (
    read_frame,
    read_frames,
    write_frame,
    write_frames,
)
from riskml.features.hashing import bucket_of, hashed
from riskml.features.profile import USER, Profile
from riskml.features.window_files import from_frame, to_frame
from riskml.serving.scoring import CLOSING_ORDER, Closed, close_here
from riskml.serving.standing import version_of

BUCKET, CLOSED_FROM, SCORE, EVENT_IDS = "bucket", CLOSING_ORDER[0], "score", "event_ids"
EVENTS, MET, WINDOWS = "events.arrow", "met.arrow", "windows.arrow"
BEFORE, LEARNT, AFTER = "before", "learnt", "after"
FIRST_TIMES = "first_times.arrow"

Frames = dict[str, pl.DataFrame]


class Buckets:
    """A `Closer` whose work an engine does.

    Args:
        bundle: as it was loaded.
        folder: of the bundle; each worker reads a copy of it, once.
        engine: what runs the buckets.
        work: folder that all workers see, for what they are handed and hand back.
        buckets: into how many the users are split.
        runtime: of the graph, as the bundle was loaded.

    Raises:
        ConfigError: the detector remembers, or there are no buckets.
        DataError: the bundle was replaced meanwhile.
    """

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        engine: Engine,
        work: Path,
        buckets: int = 16,
        runtime: str | None = None,
    ) -> None:
        require("--buckets", buckets, buckets >= 1, "must be at least 1")
        if bundle.graph.remembers:
            raise ConfigError(
                f"{folder}: this detector remembers windows, and so learns from them one after the "
                "other; score with --engine here"
            )
        self._engine, self._buckets, self._runtime = engine, buckets, runtime
        self._work = work / uuid.uuid4().hex
        self._bundle = self._work / "bundle"
        shutil.copytree(folder, self._bundle)
        manifest = json.loads((self._bundle / MANIFEST).read_text())
        if version_of(manifest) != version_of(bundle.manifest):
            raise DataError(f"{folder} was replaced while it was read; run again")

    def __call__(self, bundle: Bundle, events: pl.DataFrame, open_windows: bool = False) -> Closed:
        """What `close_here` gives, but for the last digits of scores."""
        extractor, before = bundle.extractor, bundle.profile
        parts, dealt = before.split(self._buckets), _deal(events, self._buckets)
        # a window may close in a bucket without new events
        there = [b for b, part in enumerate(parts) if b in dealt or _waits(part)]
        if not there:
            return close_here(bundle, events, open_windows)
        mark = watermark_after(events["timestamp"], before, extractor.lateness)
        everybody = {name: t for name, t in before.tables.items() if USER not in t.columns}
        with self._room() as room:
            task = Task(self._bundle, self._runtime, room, mark, open_windows)
            for bucket in there:
                task.hand_out(bucket, dealt.get(bucket, events.clear()), parts[bucket])
            if dealt and extractor.shares_first_times:
                everybody |= self._first_times(task, sorted(dealt), everybody)
            self._each(task.close, there)
            closed = map(task.closed, there)
            found = pl.concat(closed, how="diagonal").sort(*CLOSING_ORDER)
            if not open_windows:
                parts = [task.after(b) if b in there else part for b, part in enumerate(parts)]
        if not open_windows:
            whole = Profile.joined(parts)
            tables = {**whole.tables, **everybody}
            profile = replace(whole, tables=tables, watermark=mark, late=before.late)
            bundle = replace(bundle, profile=profile)
        ids = found[EVENT_IDS] if EVENT_IDS in found.columns else None
        windows = from_frame(
            found.drop(CLOSED_FROM, SCORE, EVENT_IDS, strict=False), extractor.spec
        )
        return Closed(replace(windows, event_ids=ids), found[SCORE].to_numpy(), bundle)

    def _first_times(self, task: Task, buckets: Sequence[int], known: Frames) -> Frames:
        """What belongs to everybody once each bucket has told what is new to its users."""
        self._each(task.meet, buckets)
        found = [known[FIRST]] if FIRST in known else []
        found += [
            read_frame(task.told(bucket)) for bucket in buckets if task.told(bucket).is_file()
        ]
        if not found:
            return {}
        earliest = FirstTimes.of(pl.concat(found)).table()
        write_frame(earliest, task.room / FIRST_TIMES)
        return {FIRST: earliest}

    def _each(self, work: Callable[[int], int], buckets: Sequence[int]) -> None:
        for _ in self._engine.map(work, buckets):
            pass

    @contextmanager
    def _room(self) -> Iterator[Path]:
        """A folder for a batch, of its own: a worker may outlive its job."""
        room = self._work / uuid.uuid4().hex
        room.mkdir()
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


@dataclass(frozen=True)
class Task:
    """A batch as workers see it; they read and write files only, and may do a bucket again.

    Args:
        bundle: folder of it.
        runtime: of the graph.
        room: folder of the batch.
        watermark: after the batch.
        open_windows: also give the windows that may still grow, and learn nothing.
    """

    bundle: Path
    runtime: str | None
    room: Path
    watermark: datetime | None
    open_windows: bool = False

    # ---- what a worker does ------------------------------------------------------------------

    def meet(self, bucket: int) -> int:
        """The first half, where users share first times: what is new to whom. Gives the bucket."""
        before = self._before(bucket)
        events = read_frame(self._of(bucket) / EVENTS)
        met, learnt = self._load().extractor.meet(events, before, with_ids=True)
        known = before.frames()
        changed = {name: t for name, t in learnt.frames().items() if t is not known.get(name)}
        first = changed.pop(FIRST, None)
        if first is not None:
            write_frame(first, self.told(bucket))
        write_frames(changed, self._of(bucket) / LEARNT)
        write_frame(met, self._of(bucket) / MET)
        return bucket

    def close(self, bucket: int) -> int:
        """The second half, or all: windows, scores, what is known after. Gives the bucket."""
        bundle = self._load()
        met, profile = self._met(bucket)
        windows, closed_from, profile = bundle.extractor.close(met, profile, self.open_windows)
        scores = bundle.score_windows(windows) if len(windows) else np.zeros(0, np.float32)
        found = to_frame(windows).with_columns(
            closed_from.alias(CLOSED_FROM), pl.Series(SCORE, scores, pl.Float32)
        )
        if windows.event_ids is not None:
            found = found.with_columns(windows.event_ids.alias(EVENT_IDS))
        write_frame(found, self._of(bucket) / WINDOWS)
        if not self.open_windows:
            # first times of groups belong to all buckets
            own = {name: table for name, table in profile.frames().items() if name != FIRST}
            write_frames(own, self._of(bucket) / AFTER)
        return bucket

    def _met(self, bucket: int) -> tuple[pl.DataFrame, Profile]:
        """New events with what the families say of them, and what their users have learnt."""
        extractor, before = self._load().extractor, self._before(bucket)
        file, first_times = self._of(bucket) / MET, self.room / FIRST_TIMES
        if not file.is_file():
            return extractor.meet(read_frame(self._of(bucket) / EVENTS), before, with_ids=True)
        frames = {**before.frames(), **read_frames(self._of(bucket) / LEARNT)}
        met, profile = read_frame(file), Profile.of_frames(frames, self.watermark)
        if not first_times.is_file():
            return met, profile
        profile = profile.with_table(FIRST, read_frame(first_times))
        return extractor.settle(met, profile), profile

    def _before(self, bucket: int) -> Profile:
        # a bucket whose last event is earlier must close the same windows as the others
        return Profile.of_frames(read_frames(self._of(bucket) / BEFORE), self.watermark)

    def _load(self) -> Bundle:
        return _loaded(self.bundle, self.runtime)

    # ---- what it is given and gives ----------------------------------------------------------

    def hand_out(self, bucket: int, events: pl.DataFrame, part: Profile) -> None:
        """Write what the worker reads."""
        write_frame(events, self._of(bucket) / EVENTS)
        write_frames(part.frames(), self._of(bucket) / BEFORE)

    def told(self, bucket: int) -> Path:
        """File with the first times of groups that the bucket has found."""
        return self._of(bucket) / FIRST_TIMES

    def closed(self, bucket: int) -> pl.DataFrame:
        """Windows as `to_frame` gives them, with their scores and when they closed."""
        return read_frame(self._of(bucket) / WINDOWS)

    def after(self, bucket: int) -> Profile:
        """What is known of the users after the batch."""
        return Profile.of_frames(read_frames(self._of(bucket) / AFTER), self.watermark)

    def _of(self, bucket: int) -> Path:
        return self.room / str(bucket)


@lru_cache(maxsize=1)
def _loaded(folder: Path, runtime: str | None) -> Bundle:
    """Once a worker."""
    return load_bundle(folder, runtime)


def _deal(events: pl.DataFrame, buckets: int) -> dict[int, pl.DataFrame]:
    """The events of each bucket that has some, in their order."""
    of_user = bucket_of(hashed("user_id"), buckets).alias(BUCKET)
    found = events.with_columns(of_user).partition_by(
        BUCKET, maintain_order=True, include_key=False, as_dict=True
    )
    return {int(bucket): part for (bucket,), part in found.items()}


def _waits(part: Profile) -> bool:
    """Whether events are in windows that may still grow."""
    return part.open is not None and not part.open.is_empty()
