"""A topic of Kafka as source: the partitions that a group gives to this process.

Positions lie with the state, so that both move in one step; the group's offsets in Kafka follow
them for those who watch the lag.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from riskml.core.errors import DataError
from riskml.streaming.job import Partitions
from riskml.streaming.kafka import SESSION_MS, KafkaTopic, client, log_trouble, logger
from riskml.streaming.messages import Messages

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

ASK_S = 1.0
ANSWER_BYTES = 1_000_000_000
"""Of a broker at most: one may send a whole partition, whatever it was asked for."""


class KafkaSource:
    """The partitions of a topic that the group gives to this process.

    Args:
        topic: to read.
        group: processes of one group share the partitions.
        instance: a name that this process keeps over restarts (static membership): its partitions
            wait for it as long as a session lasts; None: it is a new member each time.
        earliest: where there is no state, begin with the oldest message, else with the next.

    Raises:
        ConfigError: the client is not installed, or refuses a setting.
    """

    def __init__(
        self, topic: KafkaTopic, group: str, instance: str | None = None, earliest: bool = True
    ) -> None:
        self.name, self._topic = topic.topic, topic
        settings: dict[str, Any] = {
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest" if earliest else "latest",
            "session_timeout_ms": SESSION_MS,
            "receive_message_max_bytes": ANSWER_BYTES,
            "error_cb": log_trouble,
        }
        if instance is not None:
            settings["group_instance_id"] = instance
        self._consumer: Consumer = client(lambda: self._connected(settings), "--source")
        self._partitions: Partitions | None = None
        self._count = 0
        self._failure: Exception | None = None

    def _connected(self, settings: dict[str, Any]) -> Consumer:
        from confluent_kafka import Consumer

        return Consumer(self._topic.config(**settings), logger=logger)

    def begin(self, partitions: Partitions) -> None:
        """Join the group; partitions come with a later poll."""
        self._partitions = partitions
        self._consumer.subscribe(
            [self._topic.topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    @property
    def ended(self) -> bool:
        """A topic never ends."""
        return False

    def poll(self, most: int, wait: float) -> list[tuple[Messages, Any]]:
        """What the broker has, at once."""
        if not self._count and not self._counted():
            return []
        first = self._consumer.poll(wait)
        self._check()
        if first is None:
            return []
        found = [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        self._check()
        by_partition: dict[int, list[Message]] = {}
        for message in found:
            error = message.error()
            if error is None:
                by_partition.setdefault(message.partition() or 0, []).append(message)
            elif not error.retriable() and error.fatal():
                raise DataError(f"--source: Kafka: {error.str()}")
            else:
                log_trouble(error)
        return [self._messages(number, some) for number, some in sorted(by_partition.items())]

    def kept(self, positions: dict[str, Any]) -> None:
        """Commit the offsets, without waiting for the answer."""
        from confluent_kafka import KafkaException, TopicPartition

        offsets = [
            TopicPartition(self._topic.topic, int(name), position)
            for name, position in positions.items()
            if position is not None
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            # positions lie with the state: only those who watch the lag miss it
            logger.warning("Kafka: offsets were not committed: %s", error)

    def close(self) -> None:
        """Leave the group; a member with a name of its own keeps its place for a session."""
        self._consumer.close()

    def _counted(self) -> bool:
        """Whether the broker has said how many partitions the topic has.

        Not asked within a callback: librdkafka's client ends the process when it has another to
        call after such a question.
        """
        from confluent_kafka import KafkaException

        try:
            found = self._consumer.list_topics(self._topic.topic, timeout=ASK_S)
        except KafkaException as error:
            log_trouble(error.args[0])
            return False
        topic = found.topics[self._topic.topic]
        if topic.error is not None:
            logger.warning("Kafka: topic %s: %s", self._topic.topic, topic.error.str())
        self._count = len(topic.partitions)
        if not self._count:
            time.sleep(ASK_S)
        return self._count > 0

    def _messages(self, number: int, some: Sequence[Message]) -> tuple[Messages, Any]:
        offsets = np.array([message.offset() for message in some], np.int64)
        arrived = np.array([message.timestamp()[1] for message in some], np.int64)
        values = [message.value() or b"" for message in some]
        keys = [message.key() for message in some]
        return Messages(str(number), values, offsets, arrived, keys), int(offsets[-1]) + 1

    # ---- told by librdkafka, within poll and close

    def _assigned(self, consumer: Consumer, partitions: list[Any]) -> None:
        assert self._partitions is not None
        try:
            for partition in partitions:
                number = partition.partition
                position = self._partitions.opened(str(number), self._count == 1 and number == 0)
                if position is not None:
                    partition.offset = position
            consumer.assign(partitions)
        except Exception as error:  # librdkafka would lose it
            self._failure = error

    def _revoked(self, consumer: Consumer, partitions: list[Any]) -> None:
        assert self._partitions is not None
        try:
            for partition in partitions:
                self._partitions.closing(str(partition.partition))
        except Exception as error:
            self._failure = error

    def _lost(self, consumer: Consumer, partitions: list[Any]) -> None:
        assert self._partitions is not None
        for partition in partitions:
            self._partitions.lost(str(partition.partition))

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
