"""Where people are told: what all channels share. Each sends once.

Secrets come from the environment or from files, by the names that the settings give.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from riskml.alerting.letters import Letter
from riskml.alerting.messages import AlertMessage
from riskml.alerting.states import FromFile, Severity
from riskml.core.errors import ConfigError, DataError, require
from riskml.core.secret_files import FILE_VARIABLE, secret_in

WAIT_S = 10.0


class AwayError(DataError):
    """Nobody answers, or not now: the same may be sent again later."""


class RefusedError(DataError):
    """The other end does not take this message, and never will."""


def secret_of(variable: str, what: str) -> str:
    """A secret from the file that `<variable>_FILE` names, or else from the environment.

    Raises:
        ConfigError: neither is set, or the file cannot be read. The message has no secret.
    """
    value = secret_in(variable)
    if not value:
        raise ConfigError(f"{what}: set {variable}, or {variable}{FILE_VARIABLE} to a file with it")
    return value


@dataclass(frozen=True, kw_only=True)
class Channel(FromFile):
    """One way to tell people.

    Args:
        least: severity at least.
        changes: also tell that an alert was acknowledged, ended or opened again.
        a_minute: messages in a minute at most; None: as the delivery says.

    Raises:
        ConfigError: no message a minute.
    """

    least: Severity = Severity.LOW
    changes: bool = True
    a_minute: int | None = None

    def __post_init__(self) -> None:
        some = self.a_minute is None or self.a_minute >= 1
        require("a_minute", self.a_minute, some, "must be at least 1")

    @property
    def repeats(self) -> timedelta | None:
        """How often all alerts that stand are sent again; None: they are not."""
        return None

    @property
    def carries_letters(self) -> bool:
        """Whether it sends letters."""
        return False

    def send_letter(self, letter: Letter) -> None:
        """Send one.

        Raises:
            AwayError: later, perhaps.
            RefusedError: never.
        """
        raise RefusedError("only a channel of kind email sends letters")

    def takes(self, message: AlertMessage) -> bool:
        """Whether a message is for this channel."""
        return Severity(message.severity).rank >= self.least.rank and (
            self.changes or message.kind != "changed"
        )

    @abstractmethod
    def check(self) -> None:
        """See that all is there that is needed to send.

        Raises:
            ConfigError: a secret is missing.
        """

    @abstractmethod
    def reach(self) -> None:
        """See that the other end is there, without telling it anything.

        Raises:
            ConfigError: a secret is missing.
            AwayError: it does not answer.
        """

    @abstractmethod
    def send(self, messages: Sequence[AlertMessage]) -> None:
        """Send messages as one: several are a digest.

        Raises:
            AwayError: later, perhaps.
            RefusedError: never.
        """
