"""Small logs of many kinds for the tests of sources, and what all sources must hold to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from riskml.data.sources import EventLog, LogSource


def write_lines(path: Path, records: list[Any]) -> Path:
    """A JSON record a line; text is written as it is."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def check_batches(source: LogSource, rows: int) -> EventLog:
    """Batches hold what `load` gives, no more than `rows` rows each; returns what it gives."""
    log = source.load()
    batches = list(source.batches(rows))
    sizes = [len(batch.events) for batch in batches]
    assert max(sizes) <= rows
    events = pl.concat([batch.events for batch in batches], how="vertical_relaxed")
    order = ["timestamp", "event_id"]
    assert_frame_equal(events.sort(order), log.events.sort(order))
    rejected = pl.concat([batch.rejected for batch in batches])
    key = ["file", "row"]
    assert_frame_equal(rejected.sort(key), log.rejected.sort(key))
    truths = [batch.truth for batch in batches if batch.truth is not None]
    assert (log.truth is None) == (not truths)
    if log.truth is not None:
        truth = pl.concat(truths, how="vertical_relaxed").sort("event_id")
        assert_frame_equal(truth, log.truth.sort("event_id"), check_dtypes=False)
    return log


def rules(log: EventLog) -> list[tuple[str, int, str]]:
    """File, row and rule of each rejected row."""
    return log.rejected.select("file", "row", "rule").rows()
