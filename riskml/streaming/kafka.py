"""Kafka: what a topic's URL says, and how librdkafka's clients are made for it."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from riskml.core.errors import ConfigError, DataError
from riskml.core.secret_files import FILE_VARIABLE
from riskml.streaming.ends import KAFKA

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

SETTINGS_VARIABLE = "RISKML_KAFKA_"
"""Environment variables with this prefix are settings of librdkafka: RISKML_KAFKA_SASL_PASSWORD."""

SESSION_MS = 30_000
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


logger = logging.getLogger(__name__)
logger.addFilter(SeldomFilter())


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

        return AdminClient(topic.config(error_cb=log_trouble), logger=logger)

    admin = client(asked, option)
    from confluent_kafka import KafkaException

    try:
        found = admin.list_topics(timeout=wait_s).topics.get(topic.topic)
    except KafkaException as error:
        raise DataError(f"{option}: {topic.servers}: {error.args[0].str()}") from error
    if found is None:
        raise DataError(f"{option}: the broker has no topic {topic.topic}")
    return len(found.partitions)


def log_trouble(error: KafkaError) -> None:
    """A broker that is away is waited for; people should know."""
    logger.warning("Kafka: %s", error.str())
