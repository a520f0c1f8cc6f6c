"""One batch of a source's rows made into events, with everything that is wrong set apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import polars as pl

from riskml.core.errors import DataError
from riskml.data import quality, quarantine
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.pseudonymous import PseudonymousBatches

FEW_REJECTED = 20
"""Rejected rows of a batch that never refuse it: a share of a handful says nothing."""

NO_ID = ("missing_event_id", "the row has no event id, so that it cannot be told from a second")
NO_TIME = ("missing_timestamp", "the row has no timestamp")
NUL = ("nul_character", "a value holds the character NUL, which databases cannot store as text")

REJECTED_SCHEMA = {**quarantine.REJECTED_SCHEMA, "event_id": pl.String()}


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
    """Rows → events by an `EventMapping`, without names where there are pseudonyms.

    Args:
        mapping: what the columns mean. Its `max_rejected_share` is judged batch by batch, once
            more than `FEW_REJECTED` rows of it are bad.
        name: of the source, for messages.
        columns: of the source.
        hide: takes out names before anything is stored; of a row in quarantine a keyed hash is
            left, by which the same row is the same again.

    Raises:
        DataError: a column is missing, or none holds the event id.
    """

    def __init__(
        self,
        mapping: EventMapping,
        name: str,
        columns: list[str],
        hide: PseudonymousBatches | None = None,
    ) -> None:
        found = mapping.resolve(columns, name)
        if "event_id" not in found:
            raise DataError(
                f"{name} has no column 'event_id', and without one a row that is read again "
                "cannot be told from a new one: name it with columns.event_id=<your column>. "
                f"Its columns are: {', '.join(columns)}"
            )
        self.event_id = found["event_id"]
        self.user_id = found["user_id"]
        self._limit = mapping.max_rejected_share
        self._mapping = replace(mapping, max_rejected_share=1.0)
        self._name = name
        self._hide = hide

    def make(self, rows: pl.DataFrame) -> Batch:
        """The events of some rows.

        Raises:
            DataError: too many rows are bad.
        """
        nameless = rows[self.event_id].cast(pl.String).str.strip_chars().fill_null("") == ""
        parts = [self._set_apart(rows.filter(nameless), NO_ID)]
        named = rows.filter(~nameless)
        origin = pl.select(
            file=pl.lit(self._name), row=pl.int_range(1, len(named) + 1, dtype=pl.Int64)
        )
        nothing = pl.DataFrame(schema=quarantine.REJECTED_SCHEMA)
        log = self._mapping.apply(LogTable(self._name, named, origin, nothing))
        doubled = log.rejected["rule"] == quality.DUPLICATE_RULE.name
        parts.append(self._with_id(log.rejected.filter(~doubled)))
        events, bad = _without_nul(log.events)
        parts.append(self._set_apart(bad, NUL, "event_id"))
        rejected = pl.concat(parts)
        if len(rejected) > FEW_REJECTED:
            quarantine.check_rejected_share(rejected, len(rows), self._limit, self._name)
        if self._hide is not None:
            events = self._hide.events(events)
        return Batch(events, self._hidden(rejected), int(doubled.sum()))

    def judged(self, rejected: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
        """Events of `make` that the checks rejected, for the quarantine.

        Args:
            rejected: columns of `quarantine.REJECTED_SCHEMA`; `row` counts in `events` from 1.
            events: that were judged.
        """
        rejected = rejected.with_columns(event_id=events["event_id"].gather(rejected["row"] - 1))
        if self._hide is not None:
            # what else is left of an event may change with the users that are known
            rejected = rejected.with_columns(record=pl.col("event_id"))
        return rejected

    def hidden_ids(self, ids: pl.DataFrame) -> pl.DataFrame:
        """The source's ids as the store has them.

        Args:
            ids: with a column event_id.
        """
        if self._hide is None:
            return ids
        return ids.with_columns(self._hide.texts(ids["event_id"]))

    def without_time(self, rows: pl.DataFrame) -> Batch:
        """Rows that have no time are no events."""
        return Batch(pl.DataFrame(), self._hidden(self._set_apart(rows, NO_TIME, self.event_id)), 0)

    def _hidden(self, rejected: pl.DataFrame) -> pl.DataFrame:
        if self._hide is None:
            return rejected
        texts = rejected["record"], rejected["event_id"]
        return rejected.with_columns(map(self._hide.texts, texts))

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


def _without_nul(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    texts = [name for name, kind in events.schema.items() if kind == pl.String]
    holds = pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True).fill_null(False))
    return events.filter(~holds), events.filter(holds)


def _json(row: dict[str, object]) -> str:
    return json.dumps(row, default=str, ensure_ascii=False)
