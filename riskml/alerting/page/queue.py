"""Which alerts are to be looked at next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.engine import Connection

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import ALERTS, SIGHTINGS, AlertRow
from riskml.alerting.states import AlertState, Severity
from riskml.core.errors import ConfigError

ON_PAGE = 25

TO_DO, ALL = "todo", "all"
STATES: dict[str, tuple[AlertState, ...]] = {
    TO_DO: (AlertState.OPEN, AlertState.ACKNOWLEDGED),
    **{state.value: (state,) for state in AlertState},
    ALL: tuple(AlertState),
}
"""What a queue can be of, by the word in its address."""


class Chances:
    """The chance that an auditor would confirm, which `riskml triage` gave to windows.

    Args:
        folder: of a run, with triage/ranking.parquet; read again when it changes.

    Raises:
        ConfigError: there is no ranking.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._stamp = folder / "triage" / "ranking.parquet", 0
        self._chances: dict[str, float] = {}
        self.of_windows()

    def of_windows(self) -> dict[str, float]:
        """By window_id; none where verdicts do not count yet."""
        try:
            stamp = self._file.stat().st_mtime_ns
            if stamp != self._stamp:
                found = pl.read_parquet(self._file, glob=False)
                found = found.select("window_id", "confirm_probability").drop_nulls()
                self._chances, self._stamp = dict(found.iter_rows()), stamp
        except (OSError, pl.exceptions.PolarsError) as error:
            told = "riskml triage --run FOLDER makes it"
            raise ConfigError(f"--triage: {self._file} cannot be read: {told}") from error
        return self._chances


def blended(risk: float, chance: float | None) -> float:
    """The highest risk, and where the triage knows the alert the mean of it and the chance.

    A mean, so that what the triage has learnt to doubt comes later, but a high risk never last.

    >>> blended(90.0, None), blended(90.0, 0.1)
    (90.0, 50.0)
    """
    return risk if chance is None else (risk + 100 * chance) / 2


MOST_DIGITS = 10


def whole_number(text: str) -> int | None:
    """The number that somebody wrote into an address; None: it is none, or beyond all use."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < MOST_DIGITS else None


@dataclass(frozen=True)
class Filter:
    """Which alerts a queue has.

    Args:
        state: a word of `STATES`.
        least: severity at least.
        page: from 1.
    """

    state: str = TO_DO
    least: Severity = Severity.LOW
    page: int = 1

    @classmethod
    def of(cls, state: str, least: str, page: str) -> Filter:
        """From an address; what it does not say well is as if it said nothing."""
        return cls(
            state if state in STATES else TO_DO,
            Severity(least) if least in set(Severity) else Severity.LOW,
            max(1, min(whole_number(page) or 1, 1_000_000)),
        )

    @property
    def severities(self) -> list[str]:
        """That it lets through."""
        return [each.value for each in Severity if each.rank >= self.least.rank]


@dataclass(frozen=True)
class Queued:
    """One alert of the queue.

    Args:
        alert: its row of the log.
        blended: risk, 0 to 100, by which it stands where it stands.
        chance: of the triage, None where it does not know the alert.
        reason: the weightiest of its riskiest window, in words; may be empty.
    """

    alert: AlertRow
    blended: float
    chance: float | None
    reason: str


@dataclass(frozen=True)
class QueuePage:
    """Some alerts.

    Args:
        alerts: the riskiest first.
        filter: what was asked for, its page one that there is.
        pages: how many there are.
        total: alerts on all of them.
        counts: alerts by word of `STATES`, of the severities asked for.
    """

    alerts: list[Queued]
    filter: Filter
    pages: int
    total: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Queue:
    """Alerts of a log by blended risk.

    Args:
        log: that has them.
        chances: of the triage; None: there is none.
    """

    log: AlertLog
    chances: Chances | None = None

    def page(self, wanted: Filter) -> QueuePage:
        """Some of it.

        Raises:
            DataError: the log cannot be read.
        """
        with self.log.reading() as connection:
            counts = _counts(connection, wanted)
            total = counts[wanted.state]
            pages = max(1, -(-total // ON_PAGE))
            shown = replace(wanted, page=min(wanted.page, pages))
            places = self._places(connection, shown)
            places = places[(shown.page - 1) * ON_PAGE :][:ON_PAGE]
            ids = [alert_id for alert_id, *_ in places]
            found = select(*ALERTS.c).where(ALERTS.c.alert_id.in_(ids))
            rows = {row["alert_id"]: dict(row) for row in connection.execute(found).mappings()}
            reasons = _first_reasons(connection, ids)
        alerts = [Queued(rows[i], risk, chance, reasons[i]) for i, risk, chance in places]
        return QueuePage(alerts, shown, pages, total, counts)

    def chance(self, windows: Iterable[str]) -> float | None:
        """The highest chance that the triage gave to one of these; None: it knows none of them."""
        known = {} if self.chances is None else self.chances.of_windows()
        return max((known[window] for window in windows if window in known), default=None)

    def _places(
        self, connection: Connection, wanted: Filter
    ) -> list[tuple[str, float, float | None]]:
        """Alert, blended risk and chance, in the order of the queue."""
        which = _which(wanted)
        query = select(ALERTS.c.alert_id, ALERTS.c.risk, ALERTS.c.last_seen).where(which)
        found = connection.execute(query).all()
        windows: dict[str, list[str]] = {}
        if self.chances is not None:
            both = select(SIGHTINGS.c.alert_id, SIGHTINGS.c.window_id).join(ALERTS).where(which)
            for alert_id, window_id in connection.execute(both):
                windows.setdefault(alert_id, []).append(window_id)
        places = []
        for alert_id, risk, last_seen in found:
            chance = self.chance(windows.get(alert_id, ()))
            places.append((blended(risk, chance), last_seen, alert_id, chance))
        places.sort(key=lambda place: place[:3], reverse=True)
        return [(alert_id, risk, chance) for risk, _, alert_id, chance in places]


def _which(wanted: Filter) -> ColumnElement[bool]:
    states = [state.value for state in STATES[wanted.state]]
    return and_(ALERTS.c.state.in_(states), ALERTS.c.severity.in_(wanted.severities))


def _counts(connection: Connection, wanted: Filter) -> dict[str, int]:
    grave = ALERTS.c.severity.in_(wanted.severities)
    query = select(ALERTS.c.state, func.count()).where(grave).group_by(ALERTS.c.state)
    found = {state: number for state, number in connection.execute(query)}
    return {
        word: sum(found.get(state.value, 0) for state in states) for word, states in STATES.items()
    }


def _first_reasons(connection: Connection, ids: list[str]) -> dict[str, str]:
    """The weightiest reason of each alert's riskiest window."""
    place = func.row_number().over(
        partition_by=SIGHTINGS.c.alert_id,
        order_by=(SIGHTINGS.c.risk.desc(), SIGHTINGS.c.window_end.desc()),
    )
    columns = SIGHTINGS.c.alert_id, SIGHTINGS.c.reasons, place.label("place")
    ranked = select(*columns).where(SIGHTINGS.c.alert_id.in_(ids)).subquery()
    query = select(ranked.c.alert_id, ranked.c.reasons).where(ranked.c.place == 1)
    told = {alert_id: json.loads(reasons) for alert_id, reasons in connection.execute(query)}
    return {alert_id: reasons[0]["text"] if reasons else "" for alert_id, reasons in told.items()}
