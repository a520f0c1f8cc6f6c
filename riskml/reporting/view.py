"""All that a report is made from, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from riskml.alerting.page.veil import Veil
from riskml.alerting.verification import Verified
from riskml.core.redaction import shortened
from riskml.evaluation.reporting.blocks import Cell, KeyNumber
from riskml.reporting.drift_file import DriftFile
from riskml.reporting.log_facts import LogFacts
from riskml.reporting.periods import Period
from riskml.reporting.score_facts import ScoreFacts
from riskml.reporting.words import NONE, Words

MOST_ALERTS, MOST_USERS, MOST_ROWS = 20, 8, 12
"""Rows of the tables of alerts, of users, and of others."""

LONGEST_NAME = 40


@dataclass(frozen=True)
class Naming:
    """Somebody who is shown names.

    Args:
        who: it is.
        why: in a sentence.
    """

    who: str
    why: str


@dataclass(frozen=True)
class View:
    """Of a period.

    Args:
        words: in which it is told.
        veil: what is shown of users.
        period: which.
        made: when it is told, UTC.
        log, log_before: what the alert log has of it, and of the period before.
        scores, scores_before: what was scored; None: not looked at.
        drift: what `riskml drift` says; None: not looked at.
        verified: what the trail says.
        naming: who is shown names; None: nobody.
    """

    words: Words
    veil: Veil
    period: Period
    made: datetime
    log: LogFacts
    log_before: LogFacts
    scores: ScoreFacts | None
    scores_before: ScoreFacts | None
    drift: DriftFile | None
    verified: Verified
    naming: Naming | None

    @property
    def top_users(self) -> list[str]:
        """Users with raised windows, the highest risk first."""
        ranked = self.log.windows.group_by("user_id").agg(risk=pl.col("risk").max(), n=pl.len())
        ranked = ranked.sort("risk", "n", "user_id", descending=[True, True, False])
        return ranked["user_id"].head(MOST_USERS).to_list()

    @property
    def shown_alerts(self) -> list[str]:
        """Alerts whose users the report shows."""
        top = self.log.concerned.filter(pl.col("user_id").is_in(self.top_users))["alert_id"]
        listed = self.log.alerts["alert_id"].head(MOST_ALERTS)
        return list(dict.fromkeys([*listed, *top]))

    def user(self, user_id: str, peer: str | None) -> Cell:
        """A cell with a user, and the peer group."""
        return Cell(shorten(self.veil.user(user_id)), detail=shorten(self.veil.text(peer or "")))

    def number(self, value: float, digits: int = 0) -> Cell:
        """A cell with a number."""
        return Cell(self.words.number(value, digits), value)

    def share(self, part: int, of: int) -> Cell:
        """A cell with a share; a dash where there is nothing."""
        return Cell(self.words.percent(part / of), part / of) if of else Cell(NONE)

    def key(self, label: str, now: float, before: float) -> KeyNumber:
        """A number beside that of the period before."""
        words = self.words
        told = {"value": words.number(before), "change": words.change(now - before)}
        return KeyNumber(words.number(now), words(label), words("before_change", **told))


def shorten(name: str) -> str:
    """A name as long as a column bears."""
    return shortened(name, LONGEST_NAME)
