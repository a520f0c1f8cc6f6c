"""The loader that the tests run, in a module that a new process imports quickly."""

from __future__ import annotations

from datetime import timedelta
from multiprocessing.synchronize import Event
from typing import Any

from arrivals import OVERLAP

from riskml.data.batch_checks import BatchChecks
from riskml.data.event_mapping import EventMapping
from riskml.data.event_store import EventStore
from riskml.data.incremental import IncrementalLoader
from riskml.data.table_source import TableSource

BATCH = 400
MAPPING = EventMapping(
    columns={"timestamp": "login_time", "user_id": "employee", "resource": "document"}
)


def loader(url: str, ingested_column: str | None = None, **settings: Any) -> IncrementalLoader:
    """From the table of logins to the store in the same database."""
    source = TableSource.of(url, "logins", MAPPING, ingested_column)
    settings = {
        "overlap": OVERLAP,
        "look_back": timedelta(days=60),
        "batch_rows": BATCH,
        "wait": timedelta(seconds=30),
        "checks": BatchChecks(),
        **settings,
    }
    return IncrementalLoader(source, EventStore(url), "logins", MAPPING, **settings)


def load_until_killed(started: Event, url: str, ingested_column: str | None) -> None:
    """The work of a process that somebody kills."""
    made = loader(url, ingested_column)
    started.set()
    made.run()
