"""What people are to be told, put by with what it tells of."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from riskml.alerting.log_tables import OUTBOX
from riskml.alerting.messages import TRACE
from riskml.monitoring.tracing import parent


def post(
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
