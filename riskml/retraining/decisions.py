"""What was decided about a model, in the alert log's trail: the decisions are the only state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.trail import JOB, Trail, entries
from riskml.core.errors import ConfigError, DataError
from riskml.data.database import exclusively


class What(StrEnum):
    """A decision, or how a training ended."""

    PUT_OFF = "retraining put off"
    STARTED = "retraining started"
    FAILED = "retraining failed"
    INTERRUPTED = "retraining interrupted"
    TRAINED = "challenger trained"
    REJECTED = "challenger rejected"
    PROMOTED = "challenger promoted"
    ROLLED_BACK = "champion rolled back"


ENDS = (What.REJECTED, What.PROMOTED, What.ROLLED_BACK)
"""After these the cool-down runs."""


@dataclass(frozen=True)
class Decision:
    """One line of a model's history.

    Args:
        what: was decided.
        at: when.
        who: decided; the job where no person did.
        why: in words.
        content: what else is known of it, plain values.
    """

    what: What
    at: datetime
    who: str
    why: str
    content: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        return {
            "what": self.what.value,
            "at": self.at.isoformat(),
            "who": self.who,
            "why": self.why,
            **self.content,
        }


class RetrainLockedError(DataError):
    """Another retraining of this model is at work."""


class Decisions:
    """A model's history in an alert log.

    Args:
        log: with its trail.
        model: name in the registry.

    Raises:
        ConfigError: no model can have that name.
    """

    def __init__(self, log: AlertLog, model: str) -> None:
        if not model or set(model) & set("/:"):  # as MLflow has it; a lock file is named by it
            raise ConfigError(f"'{model}' is no name of a model: it may hold no / and no :")
        self.log, self.model = log, model

    @property
    def key(self) -> str:
        """What stands in the trail in place of an alert's id."""
        return f"models:/{self.model}"

    def add(self, what: What, at: datetime, why: str, who: str = JOB, **content: Any) -> Decision:
        """Write one down, sealed with all before it.

        Raises:
            DataError: the database refused.
        """
        with self.log.alone("the database refused the decision") as connection:
            Trail(connection).add(self.key, at, who, what.value, why, **content)
        return Decision(what, at, who, why, content)

    def history(self) -> list[Decision]:
        """All in their order.

        Raises:
            DataError: the log cannot be read.
        """
        with self.log.reading() as connection:
            return [
                Decision(What(each.what), each.at, each.who, each.why, json.loads(each.content))
                for each in entries(connection, self.key)
            ]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One retraining of this model at a time; whoever is killed lets go of it.

        PostgreSQL frees the lock with the connection, the system that of a file with the process.

        Raises:
            RetrainLockedError: another one is at work.
        """
        busy = RetrainLockedError(
            f"another retraining of {self.model} is at work: wait for its end"
        )
        engine = self.log.engine
        if engine.dialect.name == "postgresql":
            with exclusively(engine, self.key, busy):
                yield
            return
        with self.log.reading():
            place = Path(str(engine.url.database))
        lock = FileLock(place.with_name(f"{place.name}.{self.model}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise busy from error
        try:
            yield
        finally:
            lock.release()
