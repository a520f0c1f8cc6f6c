"""Kafka: topics as source, as sink and for dead letters, by librdkafka.

Positions lie with the state, so that both move in one step; the group's offsets in Kafka follow
them for those who watch the lag.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.secret_files import FILE_VARIABLE
from riskml.streaming.ends import KAFKA, DeadLetter
from riskml.streaming.job import Partitions
from riskml.streaming.messages import Messages
from riskml.streaming.topic_messages import letter_message, row_messages

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

SETTINGS_VARIABLE = "RISKML_KAFKA_"
"""Environment variables with this prefix are settings of librdkafka: RISKML_KAFKA_SASL_PASSWORD."""

FLUSH_S = 1.0
ASK_S = 1.0
SESSION_MS = 30_000
ANSWER_BYTES = 1_000_000_000
"""Of a broker at most: one may send a whole partition, whatever it was asked for."""

TOLD_AGAIN_S = 60.0
"""How long the same trouble, of whatever broker and connection, is not told again."""


class SeldomFilter(logging.Filter):
    """Lets the same message through once a minute: a broker that is away is told of all along."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Messages are the same but for their numbers."""
        text = re.sub(r"\d+", "0", record.getMessage())
        fresh = record.created - self._told.get(text, -TOLD_AGAIN_S) >= TOLD_AGAIN_S
        if fresh:
            self._told[text] = record.created
        return fresh


_logger = logging.getLogger(__name__)
_logger.addFilter(SeldomFilter())


@dataclass(frozen=True)
class KafkaTopic:
    """`kafka://HOST:PORT[,HOST:PORT]/TOPIC[?setting=value]`.

    Args:
        servers: of the cluster.
        topic: its name.
        settings: of librdkafka.
    """

    servers: str
    topic: str
    settings: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, option: str) -> KafkaTopic:
        """Read a URL; settings also come from `RISKML_KAFKA_...` variables.

        Raises:
            ConfigError: it has no servers or no topic, or a password, which a process list shows.
        """
        parts = urlsplit(url)
        topic = parts.path.strip("/")
        if parts.scheme != KAFKA or not parts.netloc or not topic or "/" in topic:
            raise ConfigError(f"{option}: write kafka://HOST:PORT/TOPIC")
        if "@" in parts.netloc or "password" in parts.query:
            raise ConfigError(
                f"{option}: a URL shows its password to all users of the machine; set "
                f"{SETTINGS_VARIABLE}SASL_USERNAME and {SETTINGS_VARIABLE}SASL_PASSWORD instead"
            )
        servers = ",".join(
            host if ":" in host else f"{host}:9092" for host in parts.netloc.split(",")
        )
        named = {
            name.removeprefix(SETTINGS_VARIABLE).lower().replace("_", "."): value
            for name, value in os.environ.items()
            if name.startswith(SETTINGS_VARIABLE) and not name.endswith(FILE_VARIABLE)
        }
        return cls(servers, topic, named | dict(parse_qsl(parts.query)))

    def config(self, **more: Any) -> dict[str, Any]:
        """As librdkafka has it."""
        own = {n if n.endswith("_cb") else n.replace("_", "."): v for n, v in more.items()}
        return {
            "bootstrap.servers": self.servers,
            "client.id": f"riskml-{socket.gethostname()}",
            **own,
            **self.settings,
        }


def client(make: Callable[[], Any], option: str) -> Any:
    """A client, with an error that names the option."""
    try:
        return make()
    except ImportError as error:
        raise ConfigError(
            "confluent-kafka is not installed: pip install 'riskml[stream]'"
        ) from error
    except Exception as error:  # librdkafka refuses a setting with an error of its own
        raise ConfigError(f"{option}: {error}") from error


def count_partitions(topic: KafkaTopic, option: str, wait_s: float) -> int:
    """How many partitions a topic has.

    Raises:
        ConfigError: the client is not installed, or refuses a setting.
        DataError: no broker answers, or there is no such topic.
    """

    def asked() -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient(topic.config(error_cb=_log_trouble), logger=_logger)

    admin = client(asked, option)
    from confluent_kafka import KafkaException

    try:
        found = admin.list_topics(timeout=wait_s).topics.get(topic.topic)
    except KafkaException as error:
        raise DataError(f"{option}: {topic.servers}: {error.args[0].str()}") from error
    if found is None:
        raise DataError(f"{option}: the broker has no topic {topic.topic}")
    return len(found.partitions)


def _log_trouble(error: KafkaError) -> None:
    """A broker that is away is waited for; people should know."""
    _logger.warning("Kafka: %s", error.str())


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
            "error_cb": _log_trouble,
        }
        if instance is not None:
            settings["group_instance_id"] = instance
        self._consumer: Consumer = client(lambda: self._connected(settings), "--source")
        self._partitions: Partitions | None = None
        self._count = 0
        self._failure: Exception | None = None

    def _connected(self, settings: dict[str, Any]) -> Consumer:
        from confluent_kafka import Consumer

        return Consumer(self._topic.config(**settings), logger=_logger)

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
                _log_trouble(error)
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
            _logger.warning("Kafka: offsets were not committed: %s", error)

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
            _log_trouble(error.args[0])
            return False
        topic = found.topics[self._topic.topic]
        if topic.error is not None:
            _logger.warning("Kafka: topic %s: %s", self._topic.topic, topic.error.str())
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
            "error_cb": _log_trouble,
        }
        return Producer(self._topic.config(**settings), logger=_logger)

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
