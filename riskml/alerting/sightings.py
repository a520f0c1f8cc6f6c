"""A window that a model has raised, as the alert log takes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from riskml.core.errors import DataError
from riskml.core.redaction import printable
from riskml.scoring.explain import NEW_USER

NO_SIGNATURE = "score"


@dataclass(frozen=True)
class Sighting:
    """One raised window.

    Args:
        window_id: its name.
        model_version: of the bundle that raised it.
        user_id: whose it is.
        window_start: its first event, UTC.
        window_end: its last event, UTC.
        score: of the model.
        p_value: of the score.
        risk: 0 to 100.
        reasons: topic, share and text of each, the weightiest first.
        peer: the user's peer group, where it is known.
        threshold: that the score's evidence was over, where it is known.
        event_ids: `count` of the window's events and `ids` of the first and the last of them, where
            they are known.
    """

    window_id: str
    model_version: str
    user_id: str
    window_start: datetime
    window_end: datetime
    score: float
    p_value: float
    risk: float
    reasons: tuple[dict[str, Any], ...] = ()
    peer: str | None = None
    threshold: float | None = None
    event_ids: dict[str, Any] | None = None

    @property
    def signature(self) -> str:
        """What it is about: the topic of its weightiest reason that says more than "a new user"."""
        topics = (str(reason["topic"]) for reason in self.reasons)
        return next((topic for topic in topics if topic != NEW_USER), NO_SIGNATURE)

    def plain(self) -> dict[str, Any]:
        """Values for a database."""
        return {
            "window_id": self.window_id,
            "model_version": self.model_version,
            "user_id": self.user_id,
            "window_start": self.window_start,
            "window_end": self.window_end,
            # as a database gives them back, for the seal
            "score": float(self.score),
            "p_value": float(self.p_value),
            "risk": float(self.risk),
            "threshold": None if self.threshold is None else float(self.threshold),
            "reasons": json.dumps(self.reasons, ensure_ascii=False),
            "event_ids": None
            if self.event_ids is None
            else json.dumps(self.event_ids, ensure_ascii=False),
        }


def sightings_of(alerts: pl.DataFrame) -> Iterator[Sighting]:
    """Of rows as `riskml score` and `riskml stream` write them, in order of their windows' ends.

    Args:
        alerts: window_id, model_version, user_id, window_start, window_end, score, p_value, risk
            and, as JSON or null, reasons and event_ids.

    Raises:
        DataError: a row has no window, user, model or risk, or its reasons or ids are no JSON.
    """
    for row in alerts.sort("window_end", "window_id").iter_rows(named=True):
        empty = [name for name in NEEDED if row.get(name) is None]
        if empty:
            raise DataError(
                f"the alert of window {printable(str(row['window_id']))} has no {empty[0]}"
            )
        try:
            reasons = tuple(json.loads(row["reasons"] or "[]"))
            event_ids = json.loads(row.get("event_ids") or "null")
        except (TypeError, ValueError) as error:
            window = printable(str(row["window_id"]))
            told = f"the reasons or event_ids of window {window} are no JSON: {error}"
            raise DataError(told) from error
        yield Sighting(
            **{name: row[name] for name in NEEDED},
            reasons=reasons,
            peer=row.get("peer"),
            event_ids=event_ids,
        )


NEEDED = (
    "window_id",
    "model_version",
    "user_id",
    "window_start",
    "window_end",
    "score",
    "p_value",
    "risk",
)


SEALED = (*NEEDED, "threshold", "reasons", "event_ids", "alert_id", "peer", "rule", "told")


def sealed(row: Mapping[str, Any]) -> str:
    """The digest of a row of the log's sightings."""
    return content_digest(row[name] for name in SEALED)


def content_digest(rows: Iterable[Any]) -> str:
    """Of values as JSON: the same values, the same digest."""
    text = json.dumps([_plain(value) for value in rows], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return int(value.timestamp() * 1_000_000) if isinstance(value, datetime) else value
