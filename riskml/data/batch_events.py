"""One batch of a source's rows made into events, with everything that is wrong set apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from riskml.core.errors import DataError
from riskml.data import quality
from riskml.data.event_mapping import EventMapping, LogTable

Pseudonymiser = Callable[[pl.Series], pl.Series]
"""User ids to pseudonyms, one for one; null stays null and equal ids get equal pseudonyms."""

FEW_REJECTED = 20
"""Rejected rows of a batch that never refuse it: a share of a handful says nothing."""

NO_ID = ("missing_event_id", "the row has no event id, so that it cannot be told from a second")
NO_TIME = ("missing_timestamp", "the row has no timestamp")
NUL = ("nul_character", "a value holds the character NUL, which databases cannot store as text")

REJECTED_SCHEMA = {**quality.REJECTED_SCHEMA, "event_id": pl.String()}


class BatchChecks(Protocol):
    """Judges events beyond the rules of single rows."""

    def check(self, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part a batch into accepted and rejected events.

        Args:
            events: the event schema and pass-through columns, by time.

        Returns:
            The accepted, with the same columns; the rejected, with `rule` and `reason` besides.

        Raises:
            DataError: the batch as a whole is refused; nothing of it is stored.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """What became of some rows of the source.

    Args:
        events: the usable ones.
        rejected: columns of `REJECTED_SCHEMA`.
        doubled: how many usable rows repeat an id of this batch.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    doubled: int


class BatchMaker:
    """Rows → events by an `EventMapping`, user ids pseudonymised, checks applied.

    Args:
        mapping: what the columns mean. Its `max_rejected_share` is judged batch by batch, once
            more than `FEW_REJECTED` rows of it are bad.
        name: of the source, for messages.
        columns: of the source.
        checks: applied to the events of each batch.
        pseudonymise: applied to user ids before anything is stored, the quarantine included.

    Raises:
        DataError: a column is missing, or none holds the event id.
    """

    def __init__(
        self,
        mapping: EventMapping,
        name: str,
        columns: list[str],
        checks: BatchChecks | None = None,
        pseudonymise: Pseudonymiser | None = None,
    ) -> None:
        found = mapping.resolve(columns, name)
        if "event_id" not in found:
            raise DataError(
                f"{name} has no column 'event_id', and without one a row that is read again "
                "cannot be told from a new one: name it with columns.event_id=<your column>. "
                f"Its columns are: {', '.join(columns)}"
            )
        self.event_id = found["event_id"]
        self._user_id = found["user_id"]
        self._limit = mapping.max_rejected_share
        self._mapping = replace(mapping, max_rejected_share=1.0)
        self._name = name
        self._checks = checks
        self._pseudonymise = pseudonymise

    def make(self, rows: pl.DataFrame) -> Batch:
        """The events of some rows.

        Raises:
            DataError: too many rows are bad, or the checks refuse the batch.
        """
        rows = self._hide_users(rows)
        nameless = rows[self.event_id].cast(pl.String).str.strip_chars().fill_null("") == ""
        parts = [self._set_apart(rows.filter(nameless), NO_ID)]
        named = rows.filter(~nameless)
        origin = pl.select(
            file=pl.lit(self._name), row=pl.int_range(1, len(named) + 1, dtype=pl.Int64)
        )
        nothing = pl.DataFrame(schema=quality.REJECTED_SCHEMA)
        log = self._mapping.apply(LogTable(self._name, named, origin, nothing))
        doubled = log.rejected["rule"] == quality.DUPLICATE_RULE.name
        parts.append(self._with_id(log.rejected.filter(~doubled)))
        events, bad = _without_nul(log.events)
        parts.append(self._set_apart(bad, NUL, "event_id"))
        if self._checks is not None:
            events, bad = self._checks.check(events)
            parts.append(self._judged(bad))
        rejected = pl.concat(parts)
        if len(rejected) > FEW_REJECTED:
            quality.check_rejected_share(rejected, len(rows), self._limit, self._name)
        return Batch(events, rejected, int(doubled.sum()))

    def without_time(self, rows: pl.DataFrame) -> Batch:
        """Rows that have no time are no events."""
        rows = self._hide_users(rows)
        return Batch(pl.DataFrame(), self._set_apart(rows, NO_TIME, self.event_id), 0)

    def _hide_users(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self._pseudonymise is None:
            return rows
        # before the mapping, so that the records in quarantine name nobody either
        users = rows[self._user_id].cast(pl.String).str.strip_chars()
        hidden = self._pseudonymise(users.set(users == "", None))
        if len(hidden) != len(users) or hidden.is_null().ne(users.is_null() | (users == "")).any():
            raise DataError(
                "the pseudonymiser must give one pseudonym for each user id, and null for null"
            )
        return rows.with_columns(hidden.cast(pl.String).alias(self._user_id))

    def _set_apart(
        self, rows: pl.DataFrame, why: tuple[str, str], event_id: str | None = None
    ) -> pl.DataFrame:
        ids = pl.lit(None, pl.String) if event_id is None else pl.col(event_id).cast(pl.String)
        records = [_json(row) for row in rows.iter_rows(named=True)]
        return rows.select(
            file=pl.lit(self._name),
            row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
            rule=pl.lit(why[0]),
            reason=pl.lit(why[1]),
            record=pl.Series(records, dtype=pl.String),
            event_id=ids,
        )

    def _with_id(self, rejected: pl.DataFrame) -> pl.DataFrame:
        ids = [str(json.loads(record)[self.event_id]).strip() for record in rejected["record"]]
        return rejected.with_columns(event_id=pl.Series(ids, dtype=pl.String))

    def _judged(self, bad: pl.DataFrame) -> pl.DataFrame:
        rows = bad.drop("rule", "reason")
        return self._set_apart(rows, ("", ""), "event_id").with_columns(
            bad["rule"].cast(pl.String), bad["reason"].cast(pl.String)
        )


def _without_nul(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    texts = [name for name, kind in events.schema.items() if kind == pl.String]
    holds = pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True).fill_null(False))
    return events.filter(~holds), events.filter(holds)


def _json(row: dict[str, object]) -> str:
    return json.dumps(row, default=str, ensure_ascii=False)
