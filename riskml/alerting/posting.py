"""Addresses, and posting to one once, whatever the other end does."""

from __future__ import annotations

from urllib.parse import urlsplit

from riskml.alerting.channels import WAIT_S, AwayError, RefusedError
from riskml.core.errors import ConfigError

OVERLOADED, WRONG, FAILING, NO_SUCH_VERB = 429, range(400, 500), range(500, 600), 501
ALERT = "{alert_id}"
"""Stands in a link for the name of the alert."""


def require_address(setting: str, url: str, secret: bool = False) -> None:
    """Refuse what is no address of a server.

    Args:
        setting: that gives it.
        url: the address.
        secret: no message has it.

    Raises:
        ConfigError: names the setting.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isprintable() or " " in url:
        told = setting if secret else f"{setting}={_without_password(url)}"
        raise ConfigError(f"{told} is no address: write https://host/path")


def require_link(link: str | None) -> None:
    """Refuse an address that does not lead to an alert.

    Raises:
        ConfigError: it is no address, or has no {alert_id}.
    """
    if link is None:
        return
    require_address("link", link)
    if ALERT not in link:
        raise ConfigError(f"link={link} is the same for all alerts: put {ALERT} into it")


def link_to(link: str, alert_id: str) -> str:
    """Where an alert is looked at."""
    return link.replace(ALERT, alert_id)


def post(url: str, body: bytes, headers: dict[str, str], hide: bool = False) -> None:
    """Post once; what is answered beside the status is not waited for.

    Args:
        url: where to.
        body: what.
        headers: of it.
        hide: the address is a secret, and no message has it.

    Raises:
        AwayError: later, perhaps.
        RefusedError: never.
    """
    import requests

    place = "the webhook" if hide else _without_password(url.split("?")[0])
    try:
        with requests.post(
            url, body, headers=headers, timeout=WAIT_S, allow_redirects=False, stream=True
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        raise AwayError(f"{place}: {type(error).__name__}") from error
    if status in WRONG and status != OVERLOADED:
        raise RefusedError(f"{place} refused the message: HTTP {status}")
    if not 200 <= status < 300:
        raise AwayError(f"{place} answered HTTP {status}")


def reach(url: str, hide: bool = False) -> None:
    """Ask whether a server is there; whatever it answers to HEAD will do, but its own failure.

    Args:
        url: that is posted to.
        hide: the address is a secret, and no message has it.

    Raises:
        AwayError: it does not answer, or answers 5xx.
    """
    import requests

    place = "the webhook" if hide else _without_password(url.split("?")[0])
    try:
        status = requests.head(url, timeout=WAIT_S, allow_redirects=False).status_code
    except requests.RequestException as error:
        raise AwayError(f"{place}: {type(error).__name__}") from error
    if status in FAILING and status != NO_SUCH_VERB:
        raise AwayError(f"{place} answered HTTP {status}")


def _without_password(url: str) -> str:
    """The address as it may be logged."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
