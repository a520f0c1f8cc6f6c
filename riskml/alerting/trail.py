"""The audit trail: who changed what, when and why, each entry sealed with the one before.

Whoever changes, takes out or puts in an entry breaks the chain from there on. Whoever cuts off its
end is found by the alerts, whose state says more than the entries that are left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import TRAIL
from riskml.alerting.sightings import content_digest

JOB = "riskml"
"""Who did what nobody did by hand."""

START = ""
"""What the first entry has in place of a digest before."""


@dataclass(frozen=True)
class Entry:
    """One change of an alert.

    Args:
        number: from 1, without gaps.
        alert_id: of the alert.
        at: when.
        who: did it; the job where nobody did.
        what: `raised`, `seen`, `escalated`, `unveiled`, or the state that the alert was given.
        why: in the words of `who`, or the rule that decided; may be empty.
        content: what else belongs to it, as JSON.
        before: digest of the entry before.
        digest: of all of this.
    """

    number: int
    alert_id: str
    at: datetime
    who: str
    what: str
    why: str
    content: str
    before: str
    digest: str = ""

    @property
    def expected(self) -> str:
        """The digest that it should have."""
        values = asdict(self)
        del values["digest"]
        return content_digest(values.values())


class Trail:
    """Adds entries within a transaction in which nobody else adds any.

    Args:
        connection: of the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        newest = select(TRAIL.c.number, TRAIL.c.digest).order_by(TRAIL.c.number.desc()).limit(1)
        found = connection.execute(newest).first()
        self.number: int = 0 if found is None else found[0]
        self._digest: str = START if found is None else found[1]

    def add(
        self, alert_id: str, at: datetime, who: str, what: str, why: str, **content: Any
    ) -> None:
        """One more entry."""
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        # as any database gives it back
        moment = at.astimezone(UTC)
        draft = Entry(self.number + 1, alert_id, moment, who, what, why, text, self._digest)
        self.number, self._digest = draft.number, draft.expected
        values = {**asdict(draft), "digest": self._digest}
        self._connection.execute(insert(TRAIL), [values])


def entries(connection: Connection, alert_id: str | None = None) -> Iterator[Entry]:
    """All entries in their order, or those of one alert."""
    query = select(*(TRAIL.c[name] for name in Entry.__dataclass_fields__)).order_by(TRAIL.c.number)
    if alert_id is not None:
        query = query.where(TRAIL.c.alert_id == alert_id)
    for row in connection.execute(query).yield_per(1_000):
        yield Entry(*row)
