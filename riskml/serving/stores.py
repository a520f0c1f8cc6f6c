"""Where scores, alerts and what a job remembers are kept: one contract, two places."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import polars as pl

from riskml.core.errors import DataError
from riskml.serving.standing import Files

CHAMPION, CHALLENGER = "champion", "challenger"

ALERT_COLUMNS = (
    "window_id",
    "user_id",
    "window_start",
    "window_end",
    "score",
    "p_value",
    "risk",
    "reasons",
    "event_ids",
)
"""What an alert has of a scored window, beside the model version and when it was raised."""

QUARANTINE_SCHEMA = {
    "digest": pl.String(),
    "event_id": pl.String(),
    "rule": pl.String(),
    "reason": pl.String(),
    "record": pl.String(),
}


class JobBusyError(DataError):
    """Another job works with the same model version in the same place."""


@dataclass(frozen=True)
class Output:
    """All that one batch leaves, written as a whole or not at all.

    Args:
        rows: scored windows, columns of `scoring.SCORE_SCHEMA`.
        quarantine: what is set apart, columns of `QUARANTINE_SCHEMA`.
        files: where the job stands after it.
        batch: its number, from 1; one that does not follow the last is refused.
        open_rows: windows that may still grow, in place of those of the run before; None: leave
            these as they are.
    """

    rows: pl.DataFrame
    quarantine: pl.DataFrame
    files: Files
    batch: int
    open_rows: pl.DataFrame | None = None


class ScoreStore(Protocol):
    """The place."""

    def alone(self, version: str, wait: timedelta) -> AbstractContextManager[None]:
        """Keep other jobs with this model version out; the lock goes with its process.

        Raises:
            JobBusyError: another one has it still after `wait`.
        """
        ...

    def standing(self, version: str) -> Files | None:
        """What the last batch of this model version left; None: there was none."""
        ...

    def write(self, version: str, role: str, output: Output) -> int:
        """Keep a batch in one step.

        Args:
            version: of the model.
            role: champion or challenger; only a champion's alerts are raised.
            output: the batch.

        Returns:
            How many rows of the quarantine were new.

        Raises:
            JobBusyError: another job has written this batch meanwhile.
            DataError: the place refuses.
        """
        ...


def with_digest(rejected: pl.DataFrame) -> pl.DataFrame:
    """Rows for the quarantine, each once: the digest is of rule and record."""
    digests = [
        hashlib.sha256(f"{rule}\n{record}".encode()).hexdigest()
        for rule, record in rejected.select("rule", "record").iter_rows()
    ]
    named = rejected.with_columns(digest=pl.Series(digests, dtype=pl.String))
    return named.select(*QUARANTINE_SCHEMA).unique("digest", keep="first", maintain_order=True)
