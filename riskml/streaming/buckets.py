"""A stream in buckets of users, for engines that divide it themselves and keep the state: Flink.

A bucket is a partition of `riskml stream`: scores, alerts and what is set apart are the same. Its
state moves on in the mapping that comes with its messages, so the engine's checkpoints hold it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

import numpy as np
import polars as pl

from riskml.export.bundle import Bundle
from riskml.serving.standing import version_of
from riskml.streaming.counts import Counts
from riskml.streaming.ends import DeadLetter
from riskml.streaming.mapping_home import Kept, MappingHome
from riskml.streaming.messages import EventReader, Messages
from riskml.streaming.partition import Partition
from riskml.streaming.scorer import ROWS, StreamSettings


@dataclass(frozen=True)
class Came:
    """A message of a topic.

    Args:
        partition: of the topic.
        offset: place in it.
        arrived: when the broker had it, ms of Unix time; -1 where that is not known.
        key: by which it was given to the partition.
        value: its content.
    """

    partition: int
    offset: int
    arrived: int
    key: bytes | None
    value: bytes


_PARTITION = attrgetter("partition")


def bucket_of(user: str | None, buckets: int) -> int:
    """The bucket of a user, the same in every process and release.

    Args:
        user: None: a message that is nobody's.
        buckets: how many there are; another number is another division.
    """
    return 0 if user is None else zlib.crc32(user.encode()) % buckets


@dataclass
class Buckets:
    """The buckets that a process works on.

    Args:
        bundle: the model, as it was loaded.
        reader: of messages.
        stream: its name, for dead letters and for events without an id.
        settings: how windows are scored.
    """

    bundle: Bundle
    reader: EventReader
    stream: str
    settings: StreamSettings = field(default_factory=StreamSettings)

    def __post_init__(self) -> None:
        self.version = version_of(self.bundle.manifest)
        # sorted once: the buckets share what training has left, instead of a copy each
        self.bundle = replace(self.bundle, profile=self.bundle.profile.ordered())
        self._at_work: dict[str, Partition] = {}

    def work(
        self, bucket: str, came: Sequence[Came], kept: Kept
    ) -> tuple[pl.DataFrame, list[DeadLetter], Counts]:
        """Score what has come for a bucket.

        Args:
            bucket: its name.
            came: in the order in which it came, at least one.
            kept: holds the bucket's state, and moves on; the same one each time.

        Returns:
            Rows to be told, columns `scorer.ROWS` and model_version; messages to be set apart;
            and what was counted.

        Raises:
            BundleError: the state is damaged, or of a later version.
        """
        partition = self._at_work.get(bucket)
        if partition is None:
            partition = self._at_work[bucket] = Partition(
                bucket,
                self.stream,
                self.bundle,
                self.reader,
                MappingHome(kept),
                self.settings,
                alone=False,
                patience=timedelta(0),
            )
        before = partition.counts
        rows, letters = [pl.DataFrame(schema=ROWS)], []
        for number, some in groupby(sorted(came, key=_PARTITION), _PARTITION):
            found, apart = partition.work(_messages(number, list(some)), None)
            rows += [found] if len(found) else []
            letters += apart
        partition.checkpoint()
        partition.finish()
        told = pl.concat(rows).with_columns(model_version=pl.lit(self.version))
        return told, letters, partition.counts - before

    def close(self) -> None:
        """Leave the buckets; what is kept counts."""
        for partition in self._at_work.values():
            partition.close()
        self._at_work.clear()


def _messages(partition: int, came: Sequence[Came]) -> Messages:
    return Messages(
        str(partition),
        [one.value for one in came],
        np.array([one.offset for one in came], np.int64),
        np.array([one.arrived for one in came], np.int64),
        [one.key for one in came],
    )
