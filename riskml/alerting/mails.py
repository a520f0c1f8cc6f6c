"""Mailboxes: a mail in plain text and HTML by SMTP, to each who has not had it."""

from __future__ import annotations

import hashlib
import mimetypes
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import getaddresses
from html import escape

from riskml.alerting.channels import WAIT_S, AwayError, Channel, RefusedError, secret_of
from riskml.alerting.letters import Letter
from riskml.alerting.links import KEY_VARIABLE, OFFERED, Links, Offer
from riskml.alerting.messages import AlertMessage, subject_of
from riskml.alerting.posting import require_address
from riskml.alerting.states import AlertState, may_become
from riskml.core.errors import ConfigError, require

FOR_GOOD = 500
"""Codes of SMTP below it say that the same may be taken later."""


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

    Raises:
        ConfigError: there is no such way or port, or an address is none.
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
    _had: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False, compare=False)
    """Mails that somebody has while others of theirs still wait."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tls not in ("starttls", "tls", "none"):
            raise ConfigError(f"tls={self.tls} must be starttls, tls or none")
        if not self.to:
            raise ConfigError("to is empty: name at least one address")
        for name, text in (
            ("host", self.host),
            ("sender", self.sender),
            *(("to", t) for t in self.to),
        ):
            fits = text.strip() != "" and text.isprintable()
            require(name, repr(text), fits, "is empty, or has signs that no mail can have")
        require("port", self.port, 1 <= self.port <= 65_535, "must lie between 1 and 65535")
        if self.page is not None:
            require_address("page", self.page)

    def check(self) -> None:
        """See that the secrets are there."""
        if self.user is not None:
            secret_of(self.password, "email")
        if self.page is not None:
            Links(secret_of(self.link_key, "email"))

    def reach(self) -> None:
        """Connect, sign in, and leave."""
        try:
            with self._server() as server:
                server.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise AwayError(f"the mail server: {type(error).__name__}") from error

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
        left: dict[str, int] = {}
        had = {(str(mail["Message-ID"]), address) for mail in mails for address in _to(mail)}
        try:
            with self._server() as server:
                for mail in mails:
                    left |= self._hand_over(server, mail)
        except (OSError, smtplib.SMTPException) as error:
            raise AwayError(f"the mail server: {type(error).__name__}") from error
        for code in left.values():
            if code < FOR_GOOD:
                raise AwayError(f"the mail server takes a mail later: SMTP {code}")
        self._had.difference_update(had)
        for code in left.values():
            raise RefusedError(f"the mail server refuses a mail or an address: SMTP {code}")

    def _server(self) -> smtplib.SMTP:
        """A connection to the server, signed in."""
        trusted = ssl.create_default_context()
        if self.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=WAIT_S, context=trusted
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=WAIT_S)
        try:
            if self.tls == "starttls":
                server.starttls(context=trusted)
            if self.user is not None:
                server.login(self.user, secret_of(self.password, "email"))
        except BaseException:
            server.close()
            raise
        return server

    def _hand_over(self, server: smtplib.SMTP, mail: EmailMessage) -> dict[str, int]:
        """Give the server a mail for those who have not had it; gives codes of who is left."""
        name = str(mail["Message-ID"])
        waiting = [address for address in _to(mail) if (name, address) not in self._had]
        if not waiting:
            return {}
        try:
            refused = server.send_message(mail, to_addrs=waiting)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            refused = dict.fromkeys(waiting, (error.smtp_code, b""))
        self._had.update((name, address) for address in waiting if address not in refused)
        return {address: code for address, (code, _) in refused.items()}

    def _mail(self, messages: Sequence[AlertMessage], to: tuple[str, ...]) -> EmailMessage:
        # a digest that has grown since nobody took it is another mail
        told = "\n".join([*(each.key for each in messages), *to[: self.page is not None]])
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


def _to(mail: EmailMessage) -> list[str]:
    return [address for _, address in getaddresses([str(mail["To"])])]
