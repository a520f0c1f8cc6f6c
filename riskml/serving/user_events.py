"""The events of one user, for people who look into an alert."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

import polars as pl

from riskml.core.schema import EVENT_SCHEMA
from riskml.serving.events import EventSource

KEPT = 64
"""Answers, so that a page that is opened again does not read the log again."""

MOMENT = timedelta(microseconds=1)


class UserEvents:
    """Looks into a log; one question at a time.

    Args:
        source: of the events.
    """

    def __init__(self, source: EventSource) -> None:
        self._source, self._alone = source, threading.Lock()
        self._kept: OrderedDict[tuple[str, datetime, datetime], pl.DataFrame] = OrderedDict()

    def of(self, user_id: str, since: datetime, until: datetime) -> pl.DataFrame:
        """The columns of `EVENT_SCHEMA`, by time; both ends are in.

        Raises:
            DataError: the source cannot be read.
        """
        key = user_id, since, until
        with self._alone:
            if key not in self._kept:
                parts = [
                    batch.events.filter(pl.col("user_id") == user_id)
                    for batch in self._source.batches(since - MOMENT, until + MOMENT, ())
                ]
                empty = pl.DataFrame(schema=EVENT_SCHEMA)
                found = pl.concat([empty, *(part.select(*EVENT_SCHEMA) for part in parts)])
                self._kept[key] = found.sort("timestamp", maintain_order=True)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return self._kept[key]
