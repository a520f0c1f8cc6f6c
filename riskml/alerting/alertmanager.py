"""Alerts to Prometheus Alertmanager: told again while they stand, and ended with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from riskml.alerting.channels import Channel
from riskml.alerting.messages import AlertMessage
from riskml.alerting.posting import link_to, post, reach, require_address, require_link
from riskml.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Alertmanager(Channel):
    """Prometheus Alertmanager, API v2.

    It forgets what it is not told again: `every` so often all alerts that stand are sent once more,
    and they end by themselves when no worker has been there for `lasts`.

    Args:
        url: of the server, without /api.
        every: how often.
        lasts: how long an alert stands after it was sent.
        labels: further ones, the same for all but where the settings know the team or account.
        link: address of an alert, with {alert_id}; None: none.

    Raises:
        ConfigError: that is no address, alerts would end before they are sent again, or a label is
            one of ours.
    """

    url: str
    every: timedelta = timedelta(minutes=1)
    lasts: timedelta = timedelta(minutes=5)
    labels: dict[str, str] = field(default_factory=dict)
    link: str | None = None

    OWN: ClassVar[tuple[str, ...]] = (
        "alertname",
        "alert_id",
        "peer",
        "severity",
        "signature",
        "user",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_address("url", self.url)
        require_link(self.link)
        if self.every <= timedelta(0):
            raise ConfigError(f"every={self.every} must be above 0")
        if self.lasts < 2 * self.every:
            raise ConfigError(f"lasts={self.lasts} must be at least twice every={self.every}")
        for name in self.labels:
            if name in self.OWN:
                raise ConfigError(f"labels.{name}: this label is set by the alert")

    @property
    def repeats(self) -> timedelta | None:
        """All that stand, this often."""
        return self.every

    def check(self) -> None:
        """Nothing is secret."""

    def reach(self) -> None:
        """Ask whether it is well."""
        reach(f"{self.url.rstrip('/')}/-/healthy")

    def send(self, messages: Sequence[AlertMessage]) -> None:
        """Alerts with stable labels; one that has ended ends there."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {
                    **self.labels,
                    "alertname": "riskml",
                    "alert_id": each.alert_id,
                    "severity": each.severity,
                    "signature": each.signature,
                    "user": each.user_id,
                    **_known(peer=each.peer, account=each.account, team=each.team),
                },
                "annotations": {"summary": each.title, "description": "\n".join(each.lines)},
                "startsAt": min(each.first_seen, now).isoformat(),
                "endsAt": (now if each.is_ended else now + self.lasts).isoformat(),
                **(
                    {} if self.link is None else {"generatorURL": link_to(self.link, each.alert_id)}
                ),
            }
            for each in messages
        ]
        url = f"{self.url.rstrip('/')}/api/v2/alerts"
        post(url, json.dumps(alerts).encode(), {"Content-Type": "application/json"})


def _known(**labels: str | None) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value is not None}
