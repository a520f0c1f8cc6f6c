"""A log as it was at a moment, by reference: its source, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from riskml.core.errors import ConfigError, reading
from riskml.data.event_mapping import EventLog
from riskml.data.sources.base import Source


class SnapshotSource:
    """Another source up to a moment, without events that nothing should be learnt from.

    Args:
        source: reads the log.
        until: the first moment that is left out, ISO 8601; UTC unless it says else.
        held: Parquet file with the `event_id` of events that are left out; None: none are.

    Raises:
        ConfigError: `until` is no time.
    """

    def __init__(self, source: Source, until: str, held: str | None = None) -> None:
        self.source = source
        try:
            moment = datetime.fromisoformat(until)
        except ValueError as error:
            rule = "must be a time such as 2024-05-01"
            raise ConfigError(f"data.source.until={until} {rule}") from error
        self.until = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        self.held = None if held is None else Path(held)

    def load(self) -> EventLog:
        """The log before `until`, without the events that are held.

        Raises:
            BundleError: the file of held events is missing or damaged.
        """
        log = self.source.load()
        kept = log.events["timestamp"] < self.until
        if self.held is not None:
            with reading(self.held):
                held = pl.read_parquet(self.held, columns=["event_id"])["event_id"]
            kept &= ~log.events["event_id"].is_in(held.to_list())
        return log.only(kept.arg_true())
