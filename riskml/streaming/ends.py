"""Where scores and dead letters go: what every sink does, and the URLs that name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

KAFKA = "kafka"


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be scored.

    Args:
        value: its content, as it came.
        stream: where it came from.
        partition: likewise.
        offset: likewise.
        rule: short name of what is wrong.
        reason: for people.
        key: of the message.
    """

    value: bytes
    stream: str
    partition: str
    offset: int
    rule: str
    reason: str
    key: bytes | None = None


class Sink(Protocol):
    """Takes rows of windows.

    A row is known by its window and model, so one that comes again replaces the one before, and a
    replay changes nothing.
    """

    def write(self, rows: pl.DataFrame) -> None:
        """Take rows, columns `scorer.ROWS` and model_version; a later one of a window counts.

        Blocks while the place is slow or away.

        Raises:
            DataError: the place refuses for good.
        """
        ...

    def settle(self) -> None:
        """Return once all that was taken will survive this process."""
        ...

    def close(self) -> None:
        """Settle, and let go."""
        ...


class DeadLetters(Protocol):
    """Takes messages that could not be scored."""

    def put(self, letters: list[DeadLetter]) -> None:
        """Take some; the same ones may come again."""
        ...

    def settle(self) -> None:
        """Return once all that was taken will survive this process."""
        ...

    def close(self) -> None:
        """Settle, and let go."""
        ...
