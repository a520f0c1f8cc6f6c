"""Dead letters once more, after what was wrong has been put right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from riskml.core.errors import DataError
from riskml.core.redaction import printable
from riskml.streaming.ends import DeadLetter
from riskml.streaming.kafka import SESSION_MS, KafkaTopic, client

IDLE_S = 5.0
"""A topic is read to its end when nothing has come for so long."""


@dataclass
class KafkaReplay:
    """Dead letters of a topic that this group has not sent yet.

    Args:
        topic: of the letters.
        group: remembers how far it came.

    Raises:
        ConfigError: the client is not installed, or refuses a setting.
    """

    topic: KafkaTopic
    group: str

    def __post_init__(self) -> None:
        self._consumer: Any = client(self._connected, "--dead-letters")

    def _connected(self) -> Any:
        from confluent_kafka import Consumer

        settings = {
            "group_id": self.group,
            "group_instance_id": f"{self.group}-1",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": SESSION_MS,
        }
        return Consumer(self.topic.config(**settings))

    def __iter__(self) -> Iterator[DeadLetter]:
        self._consumer.subscribe([self.topic.topic])
        while (message := self._consumer.poll(IDLE_S)) is not None:
            if message.error() is not None:
                raise DataError(f"--dead-letters: Kafka: {message.error().str()}")
            headers = {name: value for name, value in message.headers() or []}
            told = [
                headers.get(f"riskml.{name}", b"").decode("utf-8", "replace")
                for name in ("stream", "partition", "offset", "rule", "reason")
            ]
            stream, partition, offset, rule, reason = told
            yield DeadLetter(
                message.value() or b"",
                stream,
                partition,
                int(offset or -1),
                rule,
                reason,
                headers.get("riskml.key"),
            )

    def done(self) -> None:
        """Remember that all were sent."""
        self._consumer.commit(asynchronous=False)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def replay(
    letters: Iterable[DeadLetter],
    send: Callable[[DeadLetter], None],
    rules: Collection[str] = (),
) -> tuple[int, int]:
    """Send dead letters again.

    Args:
        letters: in their order.
        send: takes each.
        rules: only those that were set apart by one of these; empty: all.

    Returns:
        How many were sent, and how many were left out.

    Raises:
        DataError: there are letters, but none of these rules; nothing was sent.
    """
    sent, left = 0, Counter[str]()
    for letter in letters:
        if rules and letter.rule not in rules:
            left[letter.rule] += 1
            continue
        send(letter)
        sent += 1
    if left and not sent:
        there = ", ".join(f"{printable(rule)} ({count:,})" for rule, count in left.most_common())
        raise DataError(f"--rule: no letter was set apart by {', '.join(rules)}; there are {there}")
    return sent, left.total()
