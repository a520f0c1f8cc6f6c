"""Whether anybody changed the alert log past its trail."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import ALERTS, OUTBOX, SIGHTINGS
from riskml.alerting.outbox import NOTICE, SEAL, sealed_notice
from riskml.alerting.sightings import sealed
from riskml.alerting.states import AlertState, Severity
from riskml.alerting.suppression import REMINDER
from riskml.alerting.taking import RAISED, SEEN
from riskml.alerting.trail import JOB, START, Entry, entries
from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import printable

SHOWN = 20
HEAD = re.compile(r"0:|[1-9][0-9]*:[0-9a-f]{64}")
SPAN = ("first_seen", "last_seen")


@dataclass(frozen=True)
class Verified:
    """What was found.

    Args:
        entries: of the trail.
        alerts: of the log.
        head: number and digest of the last entry: kept elsewhere, it proves later that no entry was
            cut off together with the alerts that it tells of.
        faults: what does not fit, in words; at most `SHOWN`.
        count: how many faults there are.
    """

    entries: int
    alerts: int
    head: str
    faults: tuple[str, ...]
    count: int


def verify(log: AlertLog, head: str | None = None) -> Verified:
    """Hold the chain, all alerts and all windows to each other.

    Args:
        log: to be looked at.
        head: that an earlier call gave; the chain must still go through it.

    Raises:
        ConfigError: `head` is none, such as one that was cut off.
        DataError: the database cannot be read.
    """
    if head is not None and not HEAD.fullmatch(head):
        raise ConfigError(
            f"--head {printable(head)!r} is no head: give all of what riskml alerts verify printed "
            "after 'head', a number, a colon and 64 digits"
        )
    try:
        return _verified(log, head)
    except ValueError as error:  # a time in SQLite can be any text
        told = printable(str(error))
        raise DataError(f"the alert log was tampered with: a value is none: {told}") from error


def _verified(log: AlertLog, head: str | None) -> Verified:
    faults: list[str] = []
    told: dict[str, dict[str, Any]] = {}
    seals: dict[tuple[str, str], str] = {}
    notices: dict[str, str | None] = {}
    before, number, met = START, 0, head in (None, _head(0, START))
    with log.reading() as connection:
        for entry in entries(connection):
            number += 1
            if entry.number != number:
                faults.append(f"entries {number} to {entry.number - 1} are missing")
                number = entry.number
            if entry.before != before:
                faults.append(f"entry {entry.number} does not follow the one before it")
            if entry.digest != entry.expected:
                faults.append(f"entry {entry.number} (alert {entry.alert_id}) was changed")
            before = entry.digest
            met = met or head == _head(number, before)
            try:
                notices |= _replay(told, seals, entry)
            except (ValueError, KeyError, TypeError, AttributeError):
                faults.append(f"entry {entry.number} cannot be read")
        if not met:
            faults.append(f"the chain does not go through {head}: entries were cut off or replaced")
        alerts, peers = 0, _peers(connection)
        for row in connection.execute(select(*ALERTS.c)).mappings():
            alerts += 1
            expected = told.pop(row["alert_id"], None)
            if expected is None:
                faults.append(f"alert {row['alert_id']} is not in the trail")
                continue
            wrong = [name for name, value in expected.items() if row[name] != value]
            if (row["alert_id"], row["peer"]) not in peers:
                wrong.append("peer")
            faults += [f"{name} of alert {row['alert_id']} was changed" for name in wrong]
        faults += [f"alert {alert_id} was taken out" for alert_id in told]
        for row in connection.execute(select(*SIGHTINGS.c)).mappings():
            seal = seals.pop((row["window_id"], row["model_version"]), None)
            if seal is None:
                faults.append(f"window {row['window_id']} is not in the trail")
            elif seal != sealed(dict(row)):
                faults.append(f"window {row['window_id']} was changed")
        faults += [f"window {window_id} was taken out" for window_id, _ in seals]
        for row in connection.execute(select(*OUTBOX.c)).mappings():
            key = row["key"]
            if key not in notices:
                faults.append(f"notice {key} is not in the trail")
            elif notices.pop(key) not in (None, sealed_notice(dict(row))):
                faults.append(f"notice {key} was changed")
        faults += [f"notice {key} was taken out" for key in notices]
    return Verified(number, alerts, _head(number, before), tuple(faults[:SHOWN]), len(faults))


def _head(number: int, digest: str) -> str:
    return f"{number}:{digest}"


def _peers(connection: Connection) -> set[tuple[str, str | None]]:
    """Alerts and the peer groups that their windows, which have seals, know of their users."""
    query = select(SIGHTINGS.c.alert_id, SIGHTINGS.c.peer).distinct()
    return {(alert_id, peer) for alert_id, peer in connection.execute(query)}


def _replay(
    told: dict[str, dict[str, Any]], seals: dict[tuple[str, str], str], entry: Entry
) -> dict[str, str | None]:
    """What an entry says that its alert is from now on; gives its notice's key and seal.

    The entries of an older riskml have no seals of notices.
    """
    content = json.loads(entry.content)
    if entry.who == JOB and entry.what in (RAISED, SEEN):
        seals[content["window_id"], content["model_version"]] = content["seal"]
        known = told.get(entry.alert_id)
        severity = Severity(content["severity"])
        if known is None:
            known = {"count": 0, "risk": 0.0, "severity": severity, "notified_at": None}
            known |= {name: content[name] for name in ("user_id", "signature")}
            known |= {name: datetime.fromisoformat(content[name]) for name in SPAN}
        is_told = NOTICE in content and entry.why != REMINDER
        first, last = (datetime.fromisoformat(content[name]) for name in SPAN)
        told[entry.alert_id] = {
            **known,
            "first_seen": min(known["first_seen"], first),
            "last_seen": max(known["last_seen"], last),
            "notified_at": entry.at if is_told else known["notified_at"],
            "state": content["state"],
            "count": known["count"] + 1,
            "risk": max(known["risk"], content["risk"]),
            "severity": max(Severity(known["severity"]), severity, key=lambda each: each.rank),
        }
    elif entry.what in set(AlertState) and entry.alert_id in told:
        told[entry.alert_id]["state"] = entry.what
    return {content[NOTICE]: content.get(SEAL)} if NOTICE in content else {}
