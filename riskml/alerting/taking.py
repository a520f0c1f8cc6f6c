"""Raised windows → alerts of the log, within one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Select, and_, func, insert, select, update
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import ALERTS, OUTBOX, SIGHTINGS, AlertRow
from riskml.alerting.outbox import post
from riskml.alerting.sightings import Sighting, sealed
from riskml.alerting.states import AlertState, Severity
from riskml.alerting.suppression import (
    REMINDER,
    Caps,
    Decision,
    Known,
    Notice,
    Suppression,
    Told,
)
from riskml.alerting.trail import JOB, Trail
from riskml.core.errors import DataError, did_you_mean
from riskml.core.redaction import printable

RAISED, SEEN = "raised", "seen"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Taken:
    """What became of raised windows.

    Args:
        new: windows that the log did not have.
        known: that it had.
        alerts: that they began.
        told: windows that people are told of.
        rules: how many windows each rule decided.
    """

    new: int
    known: int
    alerts: int
    told: int
    rules: dict[str, int]


def take_in(
    connection: Connection, sightings: Iterable[Sighting], rules: Suppression, at: datetime
) -> Taken:
    """Log those windows that are not there yet, with what people are to be told of them.

    Args:
        connection: in which nobody else changes the log.
        sightings: in the order in which they count.
        rules: decide which begin an alert, and which are told.
        at: now.
    """
    decided: dict[str, int] = {}
    new = known = alerts = told = 0
    trail = Trail(connection)
    for sighting in sightings:
        if _is_there(connection, sighting):
            known += 1
            continue
        lately = _told(connection, sighting) if rules.caps != Caps() else None
        decision = rules.decide(sighting, _last(connection, sighting), lately, at)
        _log(connection, trail, sighting, decision, at)
        new += 1
        alerts += decision.alert_id is None
        told += decision.notice is not None
        decided[decision.rule] = decided.get(decision.rule, 0) + 1
    return Taken(new, known, alerts, told, decided)


def alert_name(sighting: Sighting) -> str:
    """The name of the alert that a window begins: the same window, the same name."""
    said = f"{sighting.window_id}\n{sighting.model_version}\n{sighting.signature}"
    return sha256(said.encode()).hexdigest()[:12]


def alert_row(connection: Connection, alert_id: str) -> AlertRow:
    """The row of an alert.

    Raises:
        DataError: there is none.
    """
    query = select(*ALERTS.c).where(ALERTS.c.alert_id == alert_id)
    found = connection.execute(query).mappings().first()
    if found is None:
        known = list(connection.execute(select(ALERTS.c.alert_id).limit(1_000)).scalars())
        hint = did_you_mean(alert_id, known) if known else "it has none at all"
        raise DataError(f"the log has no alert '{printable(alert_id)}': {printable(hint)}")
    return dict(found)


def _log(
    connection: Connection,
    trail: Trail,
    sighting: Sighting,
    decision: Decision,
    at: datetime,
) -> None:
    alert_id = decision.alert_id or alert_name(sighting)
    values = sighting.plain()
    if decision.alert_id is None:
        state = decision.state or AlertState.OPEN
        first = {
            "alert_id": alert_id,
            "user_id": sighting.user_id,
            "peer": sighting.peer,
            "signature": sighting.signature,
            "severity": decision.severity.value,
            "state": state.value,
            "risk": sighting.risk,
            "count": 1,
            "first_seen": sighting.window_start,
            "last_seen": sighting.window_end,
            "notified_at": None if decision.notice is None else at,
        }
        connection.execute(insert(ALERTS), [first])
    else:
        state = _seen_again(connection, alert_id, sighting, decision, at)
    about = {
        "alert_id": alert_id,
        "peer": sighting.peer,
        "rule": decision.rule,
        "told": decision.notice is not None,
        "seen_at": at,
    }
    connection.execute(insert(SIGHTINGS), [{**values, **about}])
    what = RAISED if decision.alert_id is None else SEEN
    key = f"{alert_id}/{decision.severity}"
    if decision.rule == REMINDER:
        key += f"/{trail.number + 1}"
    notice = {}
    if decision.notice is not None:
        window_id = sighting.window_id
        notice = post(connection, alert_id, decision.notice, key, at, window_id=window_id)
    trail.add(
        alert_id,
        at,
        JOB,
        what,
        f"{decision.rule} ({decision.why})" if decision.why else decision.rule,
        state=state,
        window_id=sighting.window_id,
        model_version=sighting.model_version,
        risk=sighting.risk,
        severity=decision.severity,
        user_id=sighting.user_id,
        signature=sighting.signature,
        first_seen=sighting.window_start.astimezone(UTC).isoformat(),
        last_seen=sighting.window_end.astimezone(UTC).isoformat(),
        seal=sealed({**values, **about}),
        **notice,
    )


def _seen_again(
    connection: Connection,
    alert_id: str,
    sighting: Sighting,
    decision: Decision,
    at: datetime,
) -> AlertState:
    """Count the window; gives the alert's state after it."""
    row = alert_row(connection, alert_id)
    severity = max(Severity(row["severity"]), decision.severity, key=lambda each: each.rank)
    changed: AlertRow = {
        "count": row["count"] + 1,
        "risk": max(row["risk"], sighting.risk),
        "severity": severity.value,
        "first_seen": min(row["first_seen"], sighting.window_start),
        "last_seen": max(row["last_seen"], sighting.window_end),
    }
    state = decision.state or AlertState(row["state"])
    changed["state"] = state.value
    if decision.notice is not None and decision.rule != REMINDER:
        changed["notified_at"] = at
    connection.execute(update(ALERTS).where(ALERTS.c.alert_id == alert_id).values(**changed))
    return state


def _is_there(connection: Connection, sighting: Sighting) -> bool:
    mine = and_(
        SIGHTINGS.c.window_id == sighting.window_id,
        SIGHTINGS.c.model_version == sighting.model_version,
    )
    return connection.execute(select(SIGHTINGS.c.alert_id).where(mine)).first() is not None


def _last(connection: Connection, sighting: Sighting) -> Known | None:
    mine = and_(ALERTS.c.user_id == sighting.user_id, ALERTS.c.signature == sighting.signature)
    names = ("alert_id", "state", "severity", "risk", "last_seen", "notified_at")
    query: Select[Any] = (
        select(*(ALERTS.c[name] for name in names))
        .where(mine)
        .order_by(ALERTS.c.last_seen.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    if found is None:
        return None
    alert_id, state, severity, risk, last_seen, notified_at = found
    known = Known(alert_id, AlertState(state), Severity(severity), risk, last_seen, False)
    if notified_at is None:
        return known
    told = select(func.max(OUTBOX.c.created_at)).where(
        OUTBOX.c.alert_id == alert_id, OUTBOX.c.kind.in_(list(Notice))
    )
    return replace(known, told=True, told_at=connection.execute(told).scalar_one())


def _told(connection: Connection, sighting: Sighting) -> Told:
    """Of how many windows people were told that ended in the day before the window's end."""
    end = SIGHTINGS.c.window_end
    span = and_(end > sighting.window_end - DAY, end <= sighting.window_end)
    lately = select(func.count()).where(SIGHTINGS.c.told, span)
    user = lately.where(SIGHTINGS.c.user_id == sighting.user_id)
    peer = lately.where(SIGHTINGS.c.peer == sighting.peer)
    in_none = sighting.peer is None
    return Told(
        connection.execute(user).scalar_one(),
        0 if in_none else connection.execute(peer).scalar_one(),
    )
