"""What people are told of an alert, whatever the channel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import ALERTS, SIGHTINGS
from riskml.alerting.states import AlertState

REASONS = 5
"""Of an alert at most."""


@dataclass(frozen=True)
class AlertMessage:
    """An alert as it stands when it is told.

    Args:
        key: of the notice: the same one, sent again, has the same.
        kind: `trigger`, `digest` or `changed`.
        alert_id: of the alert.
        user_id: whose it is.
        signature: what it is about.
        severity: of the alert.
        state: where it stands.
        risk: the highest so far.
        count: windows that say so.
        first_seen: of the first window.
        last_seen: of the last.
        window_id: of the last window.
        reasons: of that, in words.
    """

    key: str
    kind: str
    alert_id: str
    user_id: str
    signature: str
    severity: str
    state: str
    risk: float
    count: int
    first_seen: datetime
    last_seen: datetime
    window_id: str
    reasons: tuple[str, ...]

    @property
    def is_ended(self) -> bool:
        """Whether nobody has to look any more."""
        return AlertState(self.state).is_ended

    @property
    def title(self) -> str:
        """One line."""
        state = "" if self.state == AlertState.OPEN else f" [{self.state.replace('_', ' ')}]"
        return f"{self.severity.upper()} risk {self.risk:.0f}: {self.user_id}{state}"

    @property
    def lines(self) -> list[str]:
        """What stands below the title."""
        times = "1 window" if self.count == 1 else f"{self.count} windows"
        span = f"{self.first_seen:%F %H:%M} to {self.last_seen:%F %H:%M} UTC"
        return [
            *self.reasons,
            f"{times}, {span}",
            f"alert {self.alert_id}, window {self.window_id}",
        ]

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        times = {name: values[name].isoformat() for name in ("first_seen", "last_seen")}
        return {**values, **times, "reasons": list(self.reasons)}


def message_of(connection: Connection, notice: RowMapping) -> AlertMessage:
    """The message of a row of the outbox."""
    alert = (
        connection.execute(select(*ALERTS.c).where(ALERTS.c.alert_id == notice["alert_id"]))
        .mappings()
        .one()
    )
    window = (
        connection.execute(
            select(SIGHTINGS.c.window_id, SIGHTINGS.c.reasons)
            .where(SIGHTINGS.c.alert_id == notice["alert_id"])
            .order_by(SIGHTINGS.c.window_end.desc(), SIGHTINGS.c.window_id.desc())
            .limit(1)
        )
        .mappings()
        .one()
    )
    texts = [str(reason["text"]) for reason in json.loads(window["reasons"])]
    same = ("alert_id", "user_id", "signature", "severity", "state", "risk", "count")
    return AlertMessage(
        notice["key"],
        notice["kind"],
        **{name: alert[name] for name in same},
        first_seen=alert["first_seen"],
        last_seen=alert["last_seen"],
        window_id=window["window_id"],
        reasons=tuple(texts[:REASONS]),
    )
