"""What the accepted batches were like: columns and daily volumes, to hold the next one against."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import polars as pl

from riskml.core.errors import DataError
from riskml.core.replacing import replace_text

FORMAT = 1
KEPT_DAYS = 400
MOSTLY = 0.5
"""A column counts as filled when so large a share of its rows have a value."""

MIN_ROWS = 20
"""A batch with fewer rows says nothing about which columns are filled."""

SPREADS, SMALLEST_SPREAD = 5.0, 0.1
"""A day is odd beyond 5 robust deviations of the logarithm, and within a factor of 1.65 never."""

MIN_WEEKS = 3
"""So many days of the same weekday must be known before one is judged."""


@dataclass(frozen=True)
class ColumnState:
    """A column as the last accepted batch had it.

    Args:
        type: name of the Polars type.
        filled: share of its rows that had a value, 0 to 1.
    """

    type: str
    filled: float


@dataclass(frozen=True)
class BatchReference:
    """What the accepted batches were like.

    Args:
        columns: of the last one that had rows.
        volumes: day in UTC -> accepted events of all batches, without days before the first.
    """

    columns: Mapping[str, ColumnState] = field(default_factory=dict)
    volumes: Mapping[date, int] = field(default_factory=dict)

    def updated(self, accepted: pl.DataFrame) -> BatchReference:
        """The reference once this batch counts too; a batch without rows changes nothing."""
        if accepted.is_empty():
            return self
        columns = {
            name: ColumnState(str(kind), 1 - accepted[name].null_count() / len(accepted))
            for name, kind in accepted.schema.items()
        }
        if len(accepted) < MIN_ROWS:  # too few to say that a column has gone empty
            columns = {**columns, **self.columns}
        volumes = dict(self.volumes)
        for day, count in daily_volumes(accepted).items():
            volumes[day] = volumes.get(day, 0) + count
        oldest = max(volumes) - timedelta(days=KEPT_DAYS)
        return BatchReference(columns, {day: volumes[day] for day in volumes if day > oldest})

    def without_volumes(self) -> BatchReference:
        """Only the columns: for a batch that holds the same days again."""
        return BatchReference(self.columns)

    def to_json(self, indent: int | None = None) -> str:
        """As text, for `from_json`."""
        document = {
            "format": FORMAT,
            "columns": {n: {"type": c.type, "filled": c.filled} for n, c in self.columns.items()},
            "volumes": {day.isoformat(): self.volumes[day] for day in sorted(self.volumes)},
        }
        return json.dumps(document, indent=indent)

    @staticmethod
    def from_json(text: str, where: str) -> BatchReference:
        """Read what `to_json` gave.

        Args:
            text: the document.
            where: it was found, for messages.

        Raises:
            DataError: it is damaged or of another format.
        """
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}")
            columns = {
                str(name): ColumnState(str(column["type"]), float(column["filled"]))
                for name, column in document["columns"].items()
            }
            days = document["volumes"].items()
            return BatchReference(columns, {date.fromisoformat(day): int(n) for day, n in days})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(where, error) from error

    def save(self, path: Path) -> None:
        """Write as JSON; the file appears whole or stays as it was."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, self.to_json(indent=1))

    @staticmethod
    def load(path: Path) -> BatchReference | None:
        """Read the file; None if there is none yet.

        Raises:
            DataError: it is damaged or of another format.
        """
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damaged(str(path), error) from error
        return BatchReference.from_json(text, str(path))


def _damaged(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where} is damaged or of another format ({type(error).__name__}: {error}); "
        "restore it, or remove it to begin anew with the next batch"
    )


@dataclass(frozen=True)
class Drift:
    """Columns that differ from the last accepted batch, by rule."""

    new_column: list[str]
    missing_column: list[str]
    retyped_column: list[str]


def schema_drift(batch: pl.DataFrame, reference: BatchReference) -> Drift:
    """Compare columns; one that was mostly filled and is now empty counts as missing."""
    known = reference.columns
    gone = [name for name in known if name not in batch.columns]
    emptied = [
        name
        for name, column in known.items()
        if name in batch.columns
        and column.filled >= MOSTLY
        and len(batch) >= MIN_ROWS
        and batch[name].null_count() == len(batch)
    ]
    retyped = [
        f"{name} ({known[name].type}, now {kind})"
        for name, kind in batch.schema.items()
        if name in known and str(kind) != known[name].type and name not in emptied
    ]
    new = [name for name in batch.columns if name not in known]
    return Drift(new, [*gone, *emptied] if known else [], retyped if known else [])


@dataclass(frozen=True)
class OddDay:
    """A day with far more or far fewer events than the same weekday of the weeks before."""

    day: date
    events: int
    low: int
    high: int


def daily_volumes(events: pl.DataFrame) -> dict[date, int]:
    """Events of each day in UTC."""
    days = events.group_by(pl.col("timestamp").dt.date().alias("day")).len().sort("day")
    return dict(days.iter_rows())


def odd_days(batch: pl.DataFrame, reference: BatchReference, weeks: int) -> list[OddDay]:
    """The days of a batch whose volume is out of bounds.

    Bounds are robust: the median of the same weekday's counts, and their median deviation, both
    of logarithms. The batch's last day may not be over and is held to the upper bound only. Days
    that the reference knows and the batch adds nothing to were judged before.

    Args:
        batch: events; must not repeat those of the reference.
        reference: of the batches before.
        weeks: how many of the weeks before count.
    """
    counts = daily_volumes(batch)
    if not counts:
        return []
    first, last = min(counts), max(counts)
    known = dict(reference.volumes)
    judged_until = max(known, default=first)
    for day, count in counts.items():
        known[day] = known.get(day, 0) + count
    first = min(first, judged_until)
    odd = []
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        if day not in counts and day <= judged_until:
            continue
        found = _judged(known, day, weeks)
        finished = day < last
        if found is not None and (found.events > found.high or finished):
            odd.append(found)
    return odd


def odd_whole_days(reference: BatchReference, first: date, last: date, weeks: int) -> list[OddDay]:
    """Days that are over whose volume is out of bounds.

    Args:
        reference: that counts them.
        first: to be judged.
        last: to be judged, too.
        weeks: how many of the weeks before count.
    """
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    found = (_judged(reference.volumes, day, weeks) for day in days)
    return [odd for odd in found if odd is not None]


def _judged(volumes: Mapping[date, int], day: date, weeks: int) -> OddDay | None:
    """The day if its volume is out of bounds; None too where too few weeks are known."""
    begin = min(volumes, default=day)
    before = [day - timedelta(weeks=week) for week in range(1, weeks + 1)]
    # the very first day of all may have begun before the log did
    past = [volumes.get(other, 0) for other in before if other > begin]
    if len(past) < MIN_WEEKS:
        return None
    low, high = _bounds(past)
    events = volumes.get(day, 0)
    return OddDay(day, events, low, high) if events > high or events < low else None


def _bounds(counts: list[int]) -> tuple[int, int]:
    logs = [math.log1p(count) for count in counts]
    middle = median(logs)
    spread = max(1.4826 * median(abs(log - middle) for log in logs), SMALLEST_SPREAD)
    reach = SPREADS * spread
    return math.floor(math.expm1(max(middle - reach, 0.0))), math.ceil(math.expm1(middle + reach))
