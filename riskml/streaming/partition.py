"""One partition of a stream at work: messages in, rows and dead letters out, state in steps."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from riskml.core.errors import reading
from riskml.export.bundle import Bundle
from riskml.models.base import Detector, load_detector
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.serving.standing import known_until
from riskml.streaming.counts import Counts
from riskml.streaming.ends import DeadLetter
from riskml.streaming.messages import EventReader, Messages
from riskml.streaming.partition_state import Noted, StateHome
from riskml.streaming.scorer import PartitionScorer, StreamSettings
from riskml.streaming.user_profiles import UserProfiles


class Partition:
    """What a process holds of a partition while it has it.

    Args:
        name: of the partition.
        stream: its name, for dead letters and for events without an id.
        bundle: as it was loaded.
        reader: of messages.
        home: of the state.
        settings: how windows are scored.
        alone: the stream has no other partition.
        patience: how long to wait until another process has left it.

    Raises:
        PartitionTakenError: another process has it still after `patience`.
        BundleError: the state is damaged.
    """

    def __init__(
        self,
        name: str,
        stream: str,
        bundle: Bundle,
        reader: EventReader,
        home: StateHome,
        settings: StreamSettings,
        alone: bool,
        patience: timedelta,
    ) -> None:
        self.name, self._stream, self._reader, self._home = name, stream, reader, home
        self._writer = ThreadPoolExecutor(1, f"keeps {name}")
        self._keeping: Future[None] | None = None
        noted = home.open(patience)
        try:
            self._begin(bundle, settings, noted, alone)
        except BaseException:
            home.close()
            raise

    def _begin(
        self, bundle: Bundle, settings: StreamSettings, noted: Noted | None, alone: bool
    ) -> None:
        self.position: Any = None
        self._number, self._settled, self._memory = 0, True, None
        if noted is None:
            profiles = UserProfiles(
                self._home.folder, bundle.profile, watermark=bundle.profile.watermark
            )
            self.scorer = PartitionScorer(bundle, profiles, settings, known_until(bundle))
            if alone:
                self.scorer.adopt()
            return
        with reading(self._home.folder):
            self._number, self.position = int(noted["number"]), noted["position"]
            self._memory = noted["memory"]
            alive = replace(bundle, alerting=read_alerting(noted["alerting"]))
            if self._memory is not None:
                alive = replace(alive, graph=load_detector(self._home.folder / self._memory))
            profiles = UserProfiles(
                self._home.folder,
                bundle.profile,
                noted["segments"],
                noted["shared"],
                _moment(noted["watermark"]),
            )
            counts = Counts(**noted["counts"])
            self.scorer = PartitionScorer(
                alive, profiles, settings, _moment(noted["newest"]), counts
            )

    @property
    def counts(self) -> Counts:
        """So far, over all processes that had the partition."""
        return self.scorer.counts

    @property
    def watermark(self) -> datetime | None:
        """Event time before which its windows are closed."""
        return self.scorer.profiles.watermark

    @property
    def size(self) -> int:
        """Bytes of what is known of its users."""
        return self.scorer.profiles.size

    def work(self, messages: Messages, position: Any) -> tuple[pl.DataFrame, list[DeadLetter]]:
        """Score some messages.

        Args:
            messages: the next ones.
            position: in the stream after them.

        Returns:
            Rows to be told, and messages to be set apart.
        """
        found = self._reader.read(messages, self._stream)
        self.scorer.counts = self.scorer.counts.plus(
            messages=len(messages), poison=len(found.apart), repeated=found.repeated
        )
        rows, apart = pl.DataFrame(), found.apart
        if len(found.events):
            step = self.scorer.step(found.events)
            rows, apart = step.rows, pl.concat([apart, step.apart])
        self.position, self._settled = position, False
        letters = [
            DeadLetter(
                messages.values[at],
                self._stream,
                messages.partition,
                int(messages.offsets[at]),
                rule,
                reason,
                messages.keys[at] if messages.keys else None,
            )
            for at, rule, reason in apart.iter_rows()
        ]
        return rows, letters

    def checkpoint(self) -> None:
        """Begin to keep state and position; what was told must have been settled before.

        The next steps need not wait for disks and servers: `finish` does.

        Raises:
            PartitionTakenError: another process has the partition now.
        """
        self.finish()
        if self._settled:
            return
        number = self._number + 1
        profiles, bundle = self.scorer.profiles, self.scorer.bundle
        written = profiles.flush(number)
        counted = profiles.counted
        if bundle.graph.remembers and isinstance(bundle.graph, Detector):
            self._memory = f"{number:012d}.memory"
            bundle.graph.save(self._home.folder / self._memory)
            written.append(self._memory)
            counted.append(self._memory)
        noted = {
            "number": number,
            "at": datetime.now(UTC).isoformat(),
            "position": self.position,
            "watermark": _written(profiles.watermark),
            "newest": _written(self.scorer.newest),
            "alerting": alerting_state(bundle.alerting),
            "counts": asdict(self.counts),
            "segments": profiles.segments,
            "shared": profiles.shared,
            "memory": self._memory,
        }
        self._keeping = self._writer.submit(self._home.commit, noted, written, counted)
        self._number, self._settled = number, True

    @property
    def finished(self) -> bool:
        """Whether `finish` has nothing to wait for."""
        return self._keeping is None or self._keeping.done()

    def finish(self) -> None:
        """Wait until the last checkpoint is kept.

        Raises:
            PartitionTakenError: another process has the partition now.
        """
        if self._keeping is not None:
            keeping, self._keeping = self._keeping, None
            keeping.result()

    def close(self) -> None:
        """Leave it to others, as it was at the last checkpoint."""
        self._writer.shutdown()
        self._home.close()


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
