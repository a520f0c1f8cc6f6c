"""What people are to be told, put by with what it tells of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import OUTBOX
from riskml.alerting.messages import TRACE
from riskml.alerting.sightings import content_digest
from riskml.monitoring.tracing import parent

NOTICE, SEAL = "notice", "notice_seal"
"""What the entry of the trail that tells of a notice says of it: its key, and its digest."""


def post(
    connection: Connection, alert_id: str, kind: str, key: str, at: datetime, **content: Any
) -> dict[str, str]:
    """Put by what people are to be told, once a key; gives what the trail has to say of it."""
    values = {
        "key": key,
        "alert_id": alert_id,
        "kind": kind,
        "content": json.dumps(content | _trace(), sort_keys=True),
        "created_at": at,
    }
    connection.execute(insert(OUTBOX), [values])
    return {NOTICE: key, SEAL: sealed_notice(values)}


def sealed_notice(row: Mapping[str, Any]) -> str:
    """The digest of a row of the outbox."""
    names = ("key", "alert_id", "kind", "content", "created_at")
    return content_digest(row[name] for name in names)


def _trace() -> dict[str, str]:
    """The trace in which something came to be told, where one is recorded."""
    found = parent()
    return {} if found is None else {TRACE: found}
