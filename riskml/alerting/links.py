"""Links by which somebody who was told of an alert gives a verdict without signing in.

What a link may do is sealed in it (Fernet: AES-128-CBC, and HMAC-SHA256 over all): which alert,
which state, who was told, until when. So it can be neither made nor changed without the key, and
an address that ends up in some log tells nothing of people.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from riskml.alerting.states import AlertState
from riskml.core.errors import ConfigError, DataError

KEY_VARIABLE = "RISKML_LINK_KEY"
MIN_KEY_CHARACTERS = 32
PATH = "/verdict/"

OFFERED = {
    AlertState.ACKNOWLEDGED: "Acknowledge",
    AlertState.RESOLVED: "True incident",
    AlertState.FALSE_ALARM: "False alarm",
}
"""States that links give, in words for people."""

_MAKE = 'python -c "import secrets; print(secrets.token_hex(32))"'


class LinkError(DataError):
    """A link that does nothing; the message says why, for whoever followed it."""


@dataclass(frozen=True)
class Offer:
    """What a link may do.

    Args:
        alert_id: of the alert.
        state: that it gives.
        who: was sent it.
        until: it may be used, UTC.
    """

    alert_id: str
    state: AlertState
    who: str
    until: datetime


class Links:
    """Seals offers and opens them.

    Args:
        keys: a secret, or several with commas between: the first seals, all of them open, so that
            links of before still work while one takes the other's place.

    Raises:
        ConfigError: a key is too short; the message does not show it.
    """

    def __init__(self, keys: str) -> None:
        self._fernet = MultiFernet([_fernet(key.strip()) for key in keys.split(",")])

    def url(self, page: str, offer: Offer) -> str:
        """The whole address.

        Args:
            page: where `riskml alerts ui` is reached, such as https://risk.example.
            offer: what it may do.
        """
        until = int(offer.until.timestamp())
        content = json.dumps([offer.alert_id, offer.state.value, offer.who, until])
        return f"{page.rstrip('/')}{PATH}{self._fernet.encrypt(content.encode()).decode()}"

    def open(self, sealed: str, now: datetime | None = None) -> Offer:
        """What a link may do.

        Args:
            sealed: its end, after `PATH`.
            now: the present, unless given.

        Raises:
            LinkError: it was made with another key, was changed, or its time is over.
        """
        try:
            content = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken as error:
            raise LinkError(
                "this link is not valid: it is incomplete, or was made with another key"
            ) from error
        alert_id, state, who, until = content
        offer = Offer(alert_id, AlertState(state), who, datetime.fromtimestamp(until, UTC))
        if (now or datetime.now(UTC)) >= offer.until:
            raise LinkError(
                f"this link could be used until {offer.until:%F %H:%M} UTC; sign in instead"
            )
        return offer


def _fernet(key: str) -> Fernet:
    if len(key) < MIN_KEY_CHARACTERS:
        raise ConfigError(
            f"the key of links has {len(key)} characters, at least {MIN_KEY_CHARACTERS} are "
            f"needed. Make one: {_MAKE}"
        )
    derived = hmac.digest(key.encode(), b"riskml links of verdicts", "sha256")
    return Fernet(base64.urlsafe_b64encode(derived))
