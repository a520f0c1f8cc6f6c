"""`riskml stream`: poll, score, tell, and now and then keep state and position."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

from riskml.export.bundle import Bundle
from riskml.monitoring.tracing import span
from riskml.serving.standing import version_of
from riskml.streaming.counts import Counts
from riskml.streaming.ends import DeadLetters, Sink
from riskml.streaming.messages import EventReader, Messages
from riskml.streaming.partition import Partition
from riskml.streaming.partition_state import StateHome
from riskml.streaming.scorer import StreamSettings

_logger = logging.getLogger(__name__)


class Partitions(Protocol):
    """Told by a source which partitions this process has."""

    def opened(self, name: str, alone: bool) -> Any:
        """A partition is ours; gives the position to read on from, None for the beginning."""
        ...

    def closing(self, name: str) -> None:
        """It will be another's."""
        ...

    def lost(self, name: str) -> None:
        """It is another's already: nothing may be kept."""
        ...


class StreamSource(Protocol):
    """A log that goes on."""

    name: str
    """For people, and for events without an id."""

    def begin(self, partitions: Partitions) -> None:
        """Start; partitions may be opened now or at a later poll."""
        ...

    def poll(self, most: int, wait: float) -> list[tuple[Messages, Any]]:
        """What has come, by partition, with the position after it.

        Args:
            most: messages in all.
            wait: seconds, while there is nothing.

        Raises:
            DataError: the source refuses for good.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        ...

    def kept(self, positions: dict[str, Any]) -> None:
        """State and positions are kept: tell those who watch the lag."""
        ...

    def close(self) -> None:
        """Closes the partitions, and lets go."""
        ...


@dataclass(frozen=True)
class Pace:
    """How the loop goes.

    Args:
        most: messages in a step; bounds memory and latency.
        wait: longest time between looks at the source.
        checkpoint: how often state and position are kept; what came since is done again after a
            kill.
        patience: how long to wait for another process to leave a partition.
        idle: end when nothing has come for so long to the partitions at hand; None: never.
    """

    most: int = 10_000
    wait: timedelta = timedelta(milliseconds=100)
    checkpoint: timedelta = timedelta(seconds=2)
    patience: timedelta = timedelta(seconds=60)
    idle: timedelta | None = None


Watcher = Callable[[Counts], None]
"""Told after each checkpoint."""


@dataclass
class StreamJob:
    """One process of a stream.

    Args:
        bundle: the model.
        source: of messages.
        reader: of their contents.
        home_of: the place of a partition's state by its name.
        sinks: that are told of windows.
        letters: takes what cannot be scored; None: it is counted and logged only.
        settings: how windows are scored.
        pace: of the loop.
    """

    bundle: Bundle
    source: StreamSource
    reader: EventReader
    home_of: Callable[[str], StateHome]
    sinks: Sequence[Sink]
    letters: DeadLetters | None = None
    settings: StreamSettings = field(default_factory=StreamSettings)
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        self.version = version_of(self.bundle.manifest)
        self._partitions: dict[str, Partition] = {}
        self._before = Counts()
        self._left = Counts()
        self._stopping = False
        self._kept_at = 0.0
        self._keeping: dict[str, Any] | None = None

    # ---- told by the source

    def opened(self, name: str, alone: bool) -> Any:
        """Take a partition."""
        partition = Partition(
            name,
            self.source.name,
            self.bundle,
            self.reader,
            self.home_of(name),
            self.settings,
            alone,
            self.pace.patience,
        )
        self._partitions[name] = partition
        self._before += partition.counts
        _logger.info("partition %s: from %s", name, partition.position)
        return partition.position

    def closing(self, name: str) -> None:
        """Keep the partition's state and leave it."""
        if name in self._partitions:
            self._settle()
            self._partitions[name].checkpoint()
            self._partitions[name].finish()
            self.lost(name)

    def lost(self, name: str) -> None:
        """Leave the partition as it was kept last."""
        partition = self._partitions.pop(name, None)
        if partition is not None:
            self._left += partition.counts
            partition.close()
            _logger.info("partition %s: left", name)

    # ---- the loop

    def stop(self) -> None:
        """End after the step at hand; may be called by a signal handler."""
        self._stopping = True

    def run(self, watcher: Watcher | None = None) -> Counts:
        """Work until the source ends, nothing comes any more, or `stop`.

        Returns:
            What this process has done.

        Raises:
            DataError: source, sink or state refuse for good; what was kept counts.
        """
        try:
            self.source.begin(self)
            self._kept_at = last = time.monotonic()
            while not self._stopping and not self.source.ended:
                came = self.source.poll(self.pace.most, self._wait())
                for messages, position in came:
                    self._work(messages, position)
                now = time.monotonic()
                last = now if came or not self._partitions else last
                if self._keeping is not None and all(p.finished for p in self._partitions.values()):
                    self._kept(watcher)
                if now - self._kept_at >= self.pace.checkpoint.total_seconds():
                    self._keep(watcher)
                if self.pace.idle is not None and now - last >= self.pace.idle.total_seconds():
                    break
            self._keep(watcher)
            self._kept(watcher)
            return self.done
        finally:
            # after an error nothing more is kept: what was told may not have been settled
            for name in list(self._partitions):
                self.lost(name)
            self.source.close()
            for sink in self.sinks:
                sink.close()
            if self.letters is not None:
                self.letters.close()

    @property
    def done(self) -> Counts:
        """What this process has done so far."""
        return sum((p.counts for p in self._partitions.values()), self._left) - self._before

    @property
    def watermark(self) -> datetime | None:
        """Event time before which windows of all partitions at hand are closed."""
        marks = [p.watermark for p in self._partitions.values() if p.watermark is not None]
        return min(marks, default=None)

    @property
    def size(self) -> int:
        """Bytes of what is known of users."""
        return sum(partition.size for partition in self._partitions.values())

    def _keep(self, watcher: Watcher | None) -> None:
        """Make sure of what was told, then begin to keep state and positions."""
        self._kept(watcher)
        self._settle()
        for partition in self._partitions.values():
            partition.checkpoint()
        self._keeping = {name: p.position for name, p in self._partitions.items()}
        self._kept_at = time.monotonic()

    def _kept(self, watcher: Watcher | None) -> None:
        """Wait for the last checkpoint, and tell of it."""
        if self._keeping is None:
            return
        for partition in self._partitions.values():
            partition.finish()
        positions, self._keeping = self._keeping, None
        self.source.kept({n: at for n, at in positions.items() if n in self._partitions})
        if watcher is not None:
            watcher(self.done)

    def _work(self, messages: Messages, position: Any) -> None:
        partition = self._partitions.get(messages.partition)
        if partition is None:
            return  # it went to another process amid the poll, who reads these again
        with span("riskml stream", messages=len(messages.values)):
            with span("score"):
                rows, letters = partition.work(messages, position)
            with span("tell", windows=len(rows)):
                if len(rows):
                    told = rows.with_columns(model_version=pl.lit(self.version))
                    for sink in self.sinks:
                        sink.write(told)
                if letters and self.letters is not None:
                    self.letters.put(letters)

    def _settle(self) -> None:
        for sink in self.sinks:
            sink.settle()
        if self.letters is not None:
            self.letters.settle()

    def _wait(self) -> float:
        """Until the next look, or the next checkpoint if that is sooner."""
        left = self._kept_at + self.pace.checkpoint.total_seconds() - time.monotonic()
        return max(0.0, min(self.pace.wait.total_seconds(), left))
