"""Channels that are told by HTTP: webhooks of anybody, Slack and PagerDuty."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from riskml.alerting.channels import Channel, secret_of
from riskml.alerting.messages import AlertMessage, subject_of
from riskml.alerting.posting import link_to, post, reach, require_address, require_link
from riskml.core.redaction import shortened

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


@dataclass(frozen=True, kw_only=True)
class Webhook(Channel):
    """JSON to any address, signed.

    `X-Riskml-Signature` is the HMAC-SHA256 of the body, `Idempotency-Key` that of the notice.

    Args:
        url: where to.
        secret: variable with the key of the signature; None: it is not signed.

    Raises:
        ConfigError: that is no address.
    """

    url: str
    secret: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_address("url", self.url)

    def check(self) -> None:
        """See that the key is there."""
        if self.secret is not None:
            secret_of(self.secret, "webhook")

    def reach(self) -> None:
        """Ask for the head of the address."""
        reach(self.url)

    def send(self, messages: Sequence[AlertMessage]) -> None:
        """As `{"alerts": [...]}`."""
        body = json.dumps({"alerts": [each.plain() for each in messages]}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": messages[0].key}
        if self.secret is not None:
            key = secret_of(self.secret, "webhook").encode()
            signature = hmac.new(key, body, hashlib.sha256).hexdigest()
            headers["X-Riskml-Signature"] = f"sha256={signature}"
        post(self.url, body, headers)


@dataclass(frozen=True, kw_only=True)
class Slack(Channel):
    """A channel of Slack, by an incoming webhook.

    Args:
        url: variable with the webhook's address, which is a secret.
        link: address of an alert, with {alert_id}; None: no button.

    Raises:
        ConfigError: the link is no address, or the same for all alerts.
    """

    url: str = "RISKML_SLACK_URL"
    link: str | None = None

    MOST: ClassVar[int] = 15
    """Alerts of one message; Slack takes 50 blocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_link(self.link)

    def check(self) -> None:
        """See that the address is there, and is one."""
        require_address(self.url, secret_of(self.url, "slack"), secret=True)

    def reach(self) -> None:
        """Ask for the head of the webhook."""
        reach(secret_of(self.url, "slack"), hide=True)

    def send(self, messages: Sequence[AlertMessage]) -> None:
        """A header, reasons and a button of each."""
        blocks: list[dict[str, Any]] = []
        for each in messages[: self.MOST]:
            blocks.append({"type": "header", "text": _slack(each.title, "plain_text", 150)})
            text = "\n".join(f"• {line}" for line in each.lines)
            blocks.append({"type": "section", "text": _slack(_unmarked(text), "mrkdwn", 3000)})
            if self.link is not None:
                url = link_to(self.link, each.alert_id)
                button = {"type": "button", "text": _slack("Look", "plain_text", 75), "url": url}
                blocks.append({"type": "actions", "elements": [button]})
        left = len(messages) - self.MOST
        if left > 0:
            text = f"and {left} more: riskml alerts list"
            blocks.append({"type": "section", "text": _slack(text, "mrkdwn", 3000)})
        body = json.dumps({"text": subject_of(messages), "blocks": blocks}).encode()
        post(secret_of(self.url, "slack"), body, {"Content-Type": "application/json"}, hide=True)


@dataclass(frozen=True, kw_only=True)
class PagerDuty(Channel):
    """Events API v2: all notices of an alert are one incident.

    Args:
        key: variable with the integration's routing key.
        url: of the API.

    Raises:
        ConfigError: that is no address.
    """

    key: str = "RISKML_PAGERDUTY_KEY"
    url: str = PAGERDUTY

    SEVERITIES: ClassVar[dict[str, str]] = {
        "low": "info",
        "medium": "warning",
        "high": "error",
        "critical": "critical",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_address("url", self.url)

    def check(self) -> None:
        """See that the key is there."""
        secret_of(self.key, "pagerduty")

    def reach(self) -> None:
        """Ask for the head of the address."""
        reach(self.url)

    def send(self, messages: Sequence[AlertMessage]) -> None:
        """Trigger, acknowledge or resolve, by the state of each."""
        for each in messages:
            action = "acknowledge" if each.state == "acknowledged" else "trigger"
            event: dict[str, Any] = {
                "routing_key": secret_of(self.key, "pagerduty"),
                "event_action": "resolve" if each.is_ended else action,
                "dedup_key": f"riskml/{each.alert_id}",
                "payload": {
                    "summary": each.title[:1024],
                    "source": each.user_id,
                    "severity": self.SEVERITIES[each.severity],
                    "timestamp": each.last_seen.isoformat(),
                    "component": "riskml",
                    "class": each.signature,
                    "custom_details": each.plain(),
                },
            }
            post(self.url, json.dumps(event).encode(), {"Content-Type": "application/json"})


def _slack(text: str, kind: str, most: int) -> dict[str, Any]:
    return {"type": kind, "text": shortened(text, most)}


def _unmarked(text: str) -> str:
    """Names from a log are text to Slack, never links or mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
