"""The alert log: what was raised, what became of it, and what people are still to be told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl
from sqlalchemy import Engine, Select, and_, func, insert, select, text, update
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import ALERTS, OUTBOX, SIGHTINGS
from riskml.alerting.messages import TRACE
from riskml.alerting.migrating import check_migrated, migrate
from riskml.alerting.sightings import Sighting, sealed
from riskml.alerting.states import AlertState, Severity, check_change
from riskml.alerting.suppression import (
    REMINDER,
    Caps,
    Decision,
    Known,
    Notice,
    Suppression,
    Told,
)
from riskml.alerting.trail import Entry, Trail, entries
from riskml.core.alert import Alert
from riskml.core.errors import DataError, did_you_mean
from riskml.core.redaction import printable
from riskml.data.database import database_errors, open_engine, require_file
from riskml.monitoring.tracing import parent

JOB = "riskml"
"""Who raises alerts, in the trail."""

MAKE = "riskml alerts init makes it"
RAISED, SEEN = "raised", "seen"
CHANGED, ESCALATED = "changed", "escalated"
"""Kinds of notices, beside those of `suppression.Notice`."""

UNVEILED = "unveiled"
"""What the trail says where somebody was shown whose alert it is."""

DAY = timedelta(days=1)

AlertRow = dict[str, Any]


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


@dataclass(frozen=True)
class AlertHistory:
    """All that the log has of one alert.

    Args:
        alert: its row.
        sightings: its windows in order of time.
        trail: its changes in order.
    """

    alert: AlertRow
    sightings: list[AlertRow]
    trail: list[Entry]

    @property
    def riskiest(self) -> Alert:
        """The window with the highest risk, of several the first."""
        window = max(self.sightings, key=lambda each: float(each["risk"]))
        reasons = tuple(str(reason["text"]) for reason in window["reasons"])
        span = (window["window_start"], window["window_end"])
        return Alert(window["window_id"], window["user_id"], *span, window["risk"], reasons)


class AlertLog:
    """Alerts in a database.

    Args:
        url: SQLAlchemy URL, e.g. sqlite:///alerts.db or postgresql+psycopg://user@host/database.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_engine(url, "alerts")

    def migrate(self) -> str:
        """Make the tables, or bring those of an older riskml up to date; gives their version."""
        return migrate(self.engine)

    def take(
        self,
        sightings: Iterable[Sighting],
        suppression: Suppression | None = None,
        at: datetime | None = None,
    ) -> Taken:
        """Log raised windows in one transaction, with what people are to be told of them.

        Windows that are there already are left out, so the same may be given again.

        Args:
            sightings: in the order in which they count.
            suppression: decides which begin an alert, and which are told.
            at: now, unless given.

        Raises:
            DataError: the database refused; nothing of this call is stored.
        """
        rules = suppression or Suppression()
        moment = datetime.now(UTC) if at is None else at
        decided: dict[str, int] = {}
        new = known = alerts = told = 0
        with self.alone("the database refused the alerts") as connection:
            trail = Trail(connection)
            for sighting in sightings:
                if _is_there(connection, sighting):
                    known += 1
                    continue
                lately = _told(connection, sighting) if rules.caps != Caps() else None
                decision = rules.decide(sighting, _last(connection, sighting), lately, moment)
                self._log(connection, trail, sighting, decision, moment)
                new += 1
                alerts += decision.alert_id is None
                told += decision.notice is not None
                decided[decision.rule] = decided.get(decision.rule, 0) + 1
        return Taken(new, known, alerts, told, decided)

    def change(
        self, alert_id: str, state: AlertState, who: str, why: str = "", at: datetime | None = None
    ) -> None:
        """Acknowledge, end or open an alert again.

        Args:
            alert_id: of the alert.
            state: that it is given.
            who: gives it.
            why: in a sentence.
            at: now, unless given.

        Raises:
            DataError: no such alert, it does not go from its state to this one, or nobody is named.
        """
        if not who.strip():
            raise DataError("who is empty: the trail says who changed an alert")
        moment = datetime.now(UTC) if at is None else at
        with self.alone("the database refused the change") as connection:
            row = self._row(connection, alert_id)
            check_change(alert_id, AlertState(row["state"]), state)
            connection.execute(
                update(ALERTS).where(ALERTS.c.alert_id == alert_id).values(state=state.value)
            )
            trail = Trail(connection)
            key = f"{alert_id}/{trail.number + 1}"
            trail.add(alert_id, moment, who, state.value, why, notice=key)
            _post(connection, alert_id, CHANGED, key, moment, state=state)

    def unveil(self, alert_id: str, who: str, why: str, at: datetime | None = None) -> str:
        """Whose alert it is, by a name that was not shown; the trail says who asked, and why.

        Args:
            alert_id: of the alert.
            who: asks.
            why: in a sentence.
            at: now, unless given.

        Raises:
            DataError: no such alert, or nobody or no reason is given.
        """
        for name, value in (("who", who), ("why", why)):
            if not value.strip():
                raise DataError(f"{name} is empty: the trail says who was shown a name, and why")
        moment = datetime.now(UTC) if at is None else at
        with self.alone("the database refused to log the unveiling") as connection:
            row = self._row(connection, alert_id)
            Trail(connection).add(alert_id, moment, who, UNVEILED, why)
        return str(row["user_id"])

    def escalate(self, alert_id: str, severity: str, to: Sequence[str], at: datetime) -> None:
        """Put by that further people are to be told; once for each severity of an alert.

        Args:
            alert_id: of the alert.
            severity: of it.
            to: names of channels.
            at: now.

        Raises:
            DataError: the database refused.
        """
        key = f"{alert_id}/{severity}/{'+'.join(sorted(to))}"
        with self.alone("the database refused the escalation") as connection:
            there = select(OUTBOX.c.number).where(OUTBOX.c.key == key)
            if connection.execute(there).first() is None:
                why = f"to {', '.join(to)}"
                Trail(connection).add(alert_id, at, JOB, ESCALATED, why, notice=key)
                _post(connection, alert_id, ESCALATED, key, at, to=list(to))

    def find(
        self,
        states: Iterable[AlertState] = (),
        user_id: str | None = None,
        least: Severity = Severity.LOW,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Alerts, the riskiest first.

        Args:
            states: that they are in; none: any.
            user_id: whose they are; None: anybody's.
            least: severity at least.
            limit: how many at most.
        """
        query = select(*ALERTS.c).order_by(ALERTS.c.risk.desc(), ALERTS.c.last_seen.desc())
        wanted = [state.value for state in states]
        if wanted:
            query = query.where(ALERTS.c.state.in_(wanted))
        if user_id is not None:
            query = query.where(ALERTS.c.user_id == user_id)
        grave = [each.value for each in Severity if each.rank >= least.rank]
        query = query.where(ALERTS.c.severity.in_(grave)).limit(limit)
        with self.reading() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        names = [column.name for column in ALERTS.c]
        return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)

    def has(self, alert_id: str) -> bool:
        """Whether there is such an alert."""
        query = select(ALERTS.c.alert_id).where(ALERTS.c.alert_id == alert_id)
        with self.reading() as connection:
            return connection.execute(query).first() is not None

    def history(self, alert_id: str) -> AlertHistory:
        """All that is known of an alert.

        Raises:
            DataError: there is no such alert.
        """
        with self.reading() as connection:
            row = self._row(connection, alert_id)
            query = (
                select(*SIGHTINGS.c)
                .where(SIGHTINGS.c.alert_id == alert_id)
                .order_by(SIGHTINGS.c.window_end, SIGHTINGS.c.window_id)
            )
            windows = [dict(each) for each in connection.execute(query).mappings()]
            for window in windows:
                window["reasons"] = json.loads(window["reasons"])
                window["event_ids"] = json.loads(window["event_ids"] or "null")
            return AlertHistory(row, windows, list(entries(connection, alert_id)))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to a log whose tables are there.

        Raises:
            DataError: they are not, or the database cannot be read.
        """
        require_file(self.engine, MAKE)
        with database_errors("the alerts cannot be read"), self.engine.connect() as connection:
            check_migrated(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that does not touch the trail.

        Raises:
            DataError: the tables are not there, or the database refuses.
        """
        require_file(self.engine, MAKE)
        with database_errors("the alert log refuses"), self.engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            check_migrated(connection)
            yield connection

    @contextmanager
    def alone(self, refused: str) -> Iterator[Connection]:
        """A transaction in which nobody else changes the log: the trail is one chain.

        Args:
            refused: the beginning of a message.

        Raises:
            DataError: the tables are not there, or the database refuses.
        """
        require_file(self.engine, MAKE)
        with database_errors(refused), self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                lock = "SELECT pg_advisory_xact_lock(hashtextextended('riskml_alert_log', 0))"
                connection.execute(text(lock))
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            check_migrated(connection)
            yield connection

    # ---- within a transaction -----------------------------------------------------------------

    def _log(
        self,
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
            state = self._seen_again(connection, alert_id, sighting, decision, at)
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
            **({} if decision.notice is None else {"notice": key}),
        )
        if decision.notice is not None:
            _post(connection, alert_id, decision.notice, key, at, window_id=sighting.window_id)

    def _seen_again(
        self,
        connection: Connection,
        alert_id: str,
        sighting: Sighting,
        decision: Decision,
        at: datetime,
    ) -> AlertState:
        """Count the window; gives the alert's state after it."""
        row = self._row(connection, alert_id)
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

    def _row(self, connection: Connection, alert_id: str) -> AlertRow:
        query = select(*ALERTS.c).where(ALERTS.c.alert_id == alert_id)
        found = connection.execute(query).mappings().first()
        if found is None:
            known = list(connection.execute(select(ALERTS.c.alert_id).limit(1_000)).scalars())
            hint = did_you_mean(alert_id, known) if known else "it has none at all"
            raise DataError(f"the log has no alert '{printable(alert_id)}': {printable(hint)}")
        return dict(found)


def alert_name(sighting: Sighting) -> str:
    """The name of the alert that a window begins: the same window, the same name."""
    said = f"{sighting.window_id}\n{sighting.model_version}\n{sighting.signature}"
    return sha256(said.encode()).hexdigest()[:12]


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


def _post(
    connection: Connection, alert_id: str, kind: str, key: str, at: datetime, **content: Any
) -> None:
    """Put by what people are to be told, once a key."""
    values = {
        "key": key,
        "alert_id": alert_id,
        "kind": kind,
        "content": json.dumps(content | _trace(), sort_keys=True),
        "created_at": at,
    }
    connection.execute(insert(OUTBOX), [values])


def _trace() -> dict[str, str]:
    """The trace in which something came to be told, where one is recorded."""
    found = parent()
    return {} if found is None else {TRACE: found}
