"""What a topic gets of windows and of dead letters, whoever sends it."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from riskml.streaming.ends import DeadLetter
from riskml.streaming.json_lines import row_json

ALERTS = ".alerts"


def row_messages(topic: str, rows: pl.DataFrame) -> Iterator[tuple[str, str, bytes]]:
    """Topic, key and value for each row; those with an alert go to `<topic>.alerts`, too.

    Args:
        topic: of the rows.
        rows: columns `scorer.ROWS` and model_version.
    """
    for row in rows.iter_rows(named=True):
        value = row_json(row)
        yield topic, row["window_id"], value
        if row["raised"] is not None:
            yield topic + ALERTS, row["window_id"], value


def letter_message(letter: DeadLetter) -> tuple[str, dict[str, bytes]]:
    """Key and headers of a dead letter, whose value stays as it came."""
    headers = {
        "riskml.stream": letter.stream.encode(),
        "riskml.partition": letter.partition.encode(),
        "riskml.offset": str(letter.offset).encode(),
        "riskml.rule": letter.rule.encode(),
        "riskml.reason": letter.reason.encode(),
    }
    if letter.key is not None:
        headers["riskml.key"] = letter.key
    return f"{letter.stream}/{letter.partition}/{letter.offset}", headers
