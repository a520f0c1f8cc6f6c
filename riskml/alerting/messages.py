"""What people are told of an alert, whatever the channel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import ALERTS, SIGHTINGS
from riskml.alerting.states import AlertState
from riskml.core.redaction import printable

REASONS = 5
"""Of an alert at most."""

TRACE = "traceparent"
"""Key of a notice's content: the trace in which it was written, as W3C writes it."""

STANDS = "stands"
"""Kind of a message that says again what was told."""


@dataclass(frozen=True)
class AlertMessage:
    """An alert as it stands when it is told.

    Args:
        key: of the notice: the same one, sent again, has the same.
        kind: `trigger`, `digest`, `changed`, `escalated` or `stands`.
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
        peer: peer group of the user, where it is known.
        notified_at: when people were first told, or told of a rise; None: not yet.
        account: kind of the user's account, where the settings say so.
        team: of the user, likewise.
        traceparent: of the trace in which the notice was written, where one was recorded.
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
    peer: str | None = None
    notified_at: datetime | None = None
    account: str | None = None
    team: str | None = None
    traceparent: str | None = None

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
        times = {n: v.isoformat() for n, v in values.items() if isinstance(v, datetime)}
        return {**values, **times, "reasons": list(self.reasons)}


def subject_of(messages: Sequence[AlertMessage]) -> str:
    """One line for all of them, without what would begin another header of a mail."""
    if len(messages) == 1:
        return printable(f"riskml: {messages[0].title}")
    return f"riskml: {len(messages)} alerts"


def message_of(connection: Connection, notice: RowMapping) -> AlertMessage:
    """The message of a row of the outbox."""
    alert = _row(connection, notice["alert_id"])
    message = _message(connection, alert, notice["key"], notice["kind"])
    return replace(message, traceparent=json.loads(notice["content"]).get(TRACE))


def message_of_alert(connection: Connection, alert_id: str) -> AlertMessage:
    """The message of an alert that there is, as it stands."""
    return _message(connection, _row(connection, alert_id), f"{alert_id}/stands", STANDS)


def standing(connection: Connection) -> Iterator[AlertMessage]:
    """Messages of all alerts that people were told of and that have not ended."""
    stand = [state.value for state in AlertState if not state.is_ended]
    query = (
        select(*ALERTS.c)
        .where(ALERTS.c.state.in_(stand), ALERTS.c.notified_at.is_not(None))
        .order_by(ALERTS.c.alert_id)
    )
    for alert in connection.execute(query).mappings().all():
        yield _message(connection, alert, f"{alert['alert_id']}/stands", STANDS)


def _row(connection: Connection, alert_id: str) -> RowMapping:
    query = select(*ALERTS.c).where(ALERTS.c.alert_id == alert_id)
    return connection.execute(query).mappings().one()


def _message(connection: Connection, alert: RowMapping, key: str, kind: str) -> AlertMessage:
    alert_id = alert["alert_id"]
    last = (
        select(SIGHTINGS.c.window_id, SIGHTINGS.c.reasons)
        .where(SIGHTINGS.c.alert_id == alert_id)
        .order_by(SIGHTINGS.c.window_end.desc(), SIGHTINGS.c.window_id.desc())
        .limit(1)
    )
    window = connection.execute(last).mappings().one()
    texts = [str(reason["text"]) for reason in json.loads(window["reasons"])]
    same = ("user_id", "signature", "severity", "state", "risk", "count", "first_seen", "last_seen")
    return AlertMessage(
        key,
        kind,
        alert_id,
        **{name: alert[name] for name in same},
        window_id=window["window_id"],
        reasons=tuple(texts[:REASONS]),
        peer=alert["peer"],
        notified_at=alert["notified_at"],
    )
