"""Topics of Kafka that are written to: rows and alerts, dead letters, messages sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from riskml.core.errors import DataError
from riskml.streaming.ends import DeadLetter
from riskml.streaming.kafka import KafkaTopic, client, log_trouble, logger
from riskml.streaming.topic_messages import letter_message, row_messages

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

FLUSH_S = 1.0


class KafkaWriter:
    """Produces, waits where the queue is full or the broker away, and finds out what was refused.

    Args:
        topic: names servers and settings.
        option: that named it, for messages.
    """

    def __init__(self, topic: KafkaTopic, option: str) -> None:
        self._topic, self._option = topic, option
        self._producer: Producer = client(self._connected, option)
        self._failure: str | None = None

    def _connected(self) -> Producer:
        from confluent_kafka import Producer

        settings = {
            # in order and at least once; rows are keyed, so more is not needed, and a producer
            # that must be exact ends when a broker forgets about it
            "acks": "all",
            "max_in_flight": 1,
            "linger_ms": 2,
            "message_timeout_ms": 0,  # a broker that is away is waited for
            "error_cb": log_trouble,
        }
        return Producer(self._topic.config(**settings), logger=logger)

    def _send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes,
        headers: dict[str, str | bytes | None] | None = None,
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic, value, key=key, headers=headers or [], on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(FLUSH_S)
                self._check()
        self._producer.poll(0)

    def send(self, key: bytes | None, value: bytes) -> None:
        """A message as it is."""
        self._send(self._topic.topic, key, value)

    def settle(self) -> None:
        """Wait until the broker has everything."""
        while self._producer.flush(FLUSH_S):
            self._check()
        self._check()

    def close(self) -> None:
        """Give the rest a moment."""
        self._producer.flush(FLUSH_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = error.str()

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise DataError(f"{self._option}: Kafka refused a message: {failure}")


class KafkaSink(KafkaWriter):
    """Rows as JSON, keyed by window, to a topic; those with an alert also to `<topic>.alerts`.

    A replay sends rows again: the last one of a key counts, and compaction keeps just that.

    Args:
        topic: of the rows.

    Raises:
        ConfigError: the client is not installed, or refuses a setting.
    """

    def __init__(self, topic: KafkaTopic) -> None:
        super().__init__(topic, "--sink")

    def write(self, rows: pl.DataFrame) -> None:
        """Hand the rows to the client."""
        for topic, key, value in row_messages(self._topic.topic, rows):
            self._send(topic, key, value)
        self._check()


class KafkaLetters(KafkaWriter):
    """Dead letters: the bytes as they came, and in headers where from and why.

    Args:
        topic: of the letters.
    """

    def __init__(self, topic: KafkaTopic) -> None:
        super().__init__(topic, "--dead-letters")

    def put(self, letters: list[DeadLetter]) -> None:
        """Hand them to the client."""
        for letter in letters:
            key, headers = letter_message(letter)
            self._send(self._topic.topic, key, letter.value, {**headers})
        self._check()
