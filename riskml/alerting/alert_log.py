"""The alert log: what was raised, what became of it, and what people are still to be told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from sqlalchemy import Engine, select, update
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import ALERTS, OUTBOX, SIGHTINGS, AlertRow
from riskml.alerting.migrating import check_migrated, migrate
from riskml.alerting.outbox import post
from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState, Severity, check_change
from riskml.alerting.suppression import (
    Suppression,
)
from riskml.alerting.taking import Taken, alert_row, take_in
from riskml.alerting.trail import JOB, Entry, Trail, entries
from riskml.core.alert import Alert
from riskml.core.errors import DataError
from riskml.data.database import database_errors, one_at_a_time, open_engine, require_file

MAKE = "riskml alerts init makes it"
CHANGED, ESCALATED = "changed", "escalated"
"""Kinds of notices, beside those of `suppression.Notice`."""

UNVEILED = "unveiled"
"""What the trail says where somebody was shown whose alert it is."""


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
        moment = datetime.now(UTC) if at is None else at
        with self.alone("the database refused the alerts") as connection:
            return take_in(connection, sightings, suppression or Suppression(), moment)

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
            row = alert_row(connection, alert_id)
            check_change(alert_id, AlertState(row["state"]), state)
            connection.execute(
                update(ALERTS).where(ALERTS.c.alert_id == alert_id).values(state=state.value)
            )
            trail = Trail(connection)
            key = f"{alert_id}/{trail.number + 1}"
            notice = post(connection, alert_id, CHANGED, key, moment, state=state)
            trail.add(alert_id, moment, who, state.value, why, **notice)

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
            row = alert_row(connection, alert_id)
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
                notice = post(connection, alert_id, ESCALATED, key, at, to=list(to))
                Trail(connection).add(alert_id, at, JOB, ESCALATED, why, **notice)

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
            row = alert_row(connection, alert_id)
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
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            one_at_a_time(connection, "riskml_alert_log")
            check_migrated(connection)
            yield connection
