"""Where people are told: what all channels share, and mailboxes. Each sends once.

Secrets come from the environment or from files, by the names that the settings give.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import smtplib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html import escape
from pathlib import Path

from riskml.alerting.letters import Letter
from riskml.alerting.links import KEY_VARIABLE, OFFERED, Links, Offer
from riskml.alerting.messages import AlertMessage, subject_of
from riskml.alerting.states import AlertState, FromFile, Severity, may_become
from riskml.core.errors import ConfigError, DataError, require

WAIT_S = 10.0
FILE_VARIABLE = "_FILE"
"""Ends the name of a variable that names a file with the secret."""


class AwayError(DataError):
    """Nobody answers, or not now: the same may be sent again later."""


class RefusedError(DataError):
    """The other end does not take this message, and never will."""


def secret_of(variable: str, what: str) -> str:
    """A secret from the environment, or from the file that `<variable>_FILE` names.

    Raises:
        ConfigError: neither is set, or the file cannot be read. The message has no secret.
    """
    value = os.environ.get(variable)
    file = os.environ.get(variable + FILE_VARIABLE)
    if value is None and file is not None:
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{variable}{FILE_VARIABLE}: {error.strerror}") from error
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
    def send(self, messages: Sequence[AlertMessage]) -> None:
        """Send messages as one: several are a digest.

        Raises:
            AwayError: later, perhaps.
            RefusedError: never.
        """


@dataclass(frozen=True, kw_only=True)
class Email(Channel):
    """A mail in plain text and HTML.

    Args:
        host: of the SMTP server.
        port: of it.
        sender: address.
        to: addresses.
        user: at the server; None: nobody signs in.
        password: variable with the user's password.
        tls: `starttls`, `tls` from the first byte, or `none`.
        page: where `riskml alerts ui` is reached; each of `to` then gets a mail of their own, with
            links for verdicts in their name. None: no links.
        link_key: variable with the key that seals the links.
        links_last: how long they may be used.
    """

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    user: str | None = None
    password: str = "RISKML_SMTP_PASSWORD"
    tls: str = "starttls"
    page: str | None = None
    link_key: str = KEY_VARIABLE
    links_last: timedelta = timedelta(days=3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tls not in ("starttls", "tls", "none"):
            raise ConfigError(f"tls={self.tls} must be starttls, tls or none")
        if not self.to:
            raise ConfigError("to is empty: name at least one address")

    def check(self) -> None:
        """See that the secrets are there."""
        if self.user is not None:
            secret_of(self.password, "email")
        if self.page is not None:
            Links(secret_of(self.link_key, "email"))

    def send(self, messages: Sequence[AlertMessage]) -> None:
        """One mail, or one to each where there are links."""
        each_to = [self.to] if self.page is None else [(address,) for address in self.to]
        self._post([self._mail(messages, to) for to in each_to])

    @property
    def carries_letters(self) -> bool:
        """It does."""
        return True

    def send_letter(self, letter: Letter) -> None:
        """A mail with files."""
        mail = self._addressed(letter.subject, (letter.to,), letter.key)
        mail.set_content(letter.text)
        for name, content in letter.files.items():
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            main, _, sub = kind.partition("/")
            mail.add_attachment(content, maintype=main, subtype=sub, filename=name)
        self._post([mail])

    def _post(self, mails: Sequence[EmailMessage]) -> None:
        refused = ""
        kind = smtplib.SMTP_SSL if self.tls == "tls" else smtplib.SMTP
        try:
            with kind(self.host, self.port, timeout=WAIT_S) as server:
                if self.tls == "starttls":
                    server.starttls()
                if self.user is not None:
                    server.login(self.user, secret_of(self.password, "email"))
                for mail in mails:
                    try:
                        server.send_message(mail)
                    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
                        refused = type(error).__name__  # the others get theirs
        except (OSError, smtplib.SMTPException) as error:
            raise AwayError(f"the mail server: {type(error).__name__}") from error
        if refused:
            raise RefusedError(f"the mail server refuses an address ({refused})")

    def _mail(self, messages: Sequence[AlertMessage], to: tuple[str, ...]) -> EmailMessage:
        told = messages[0].key if self.page is None else f"{messages[0].key}\n{to[0]}"
        mail = self._addressed(subject_of(messages), to, told)
        texts, parts = [], []
        for each in messages:
            links = self._links(each, to[0])
            ways = [f"{name}: {url}" for name, url in links]
            texts.append("\n".join([each.title, *each.lines, *ways]))
            lines = "".join(f"<li>{escape(line)}</li>" for line in each.lines)
            buttons = " · ".join(f'<a href="{escape(url)}">{name}</a>' for name, url in links)
            end = f"<p>{buttons}</p>" if buttons else ""
            parts.append(f"<h3>{escape(each.title)}</h3><ul>{lines}</ul>{end}")
        mail.set_content("\n\n".join(texts))
        mail.add_alternative("".join(parts), subtype="html")
        return mail

    def _addressed(self, subject: str, to: tuple[str, ...], told: str) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = subject
        mail["From"], mail["To"] = self.sender, ", ".join(to)
        digest = hashlib.sha256(told.encode()).hexdigest()[:24]
        mail["Message-ID"] = f"<{digest}@riskml>"  # a mail that comes twice is known by it
        mail["Auto-Submitted"] = "auto-generated"
        return mail

    def _links(self, message: AlertMessage, who: str) -> list[tuple[str, str]]:
        """Names and addresses: to look, and to give each verdict that can be given now."""
        if self.page is None:
            return []
        links, until = Links(secret_of(self.link_key, "email")), datetime.now(UTC) + self.links_last
        may = [each for each in may_become(AlertState(message.state)) if each in OFFERED]
        offers = [Offer(message.alert_id, state, who, until) for state in may]
        look = f"{self.page.rstrip('/')}/alerts/{message.alert_id}"
        return [("Look", look), *((OFFERED[o.state], links.url(self.page, o)) for o in offers)]
