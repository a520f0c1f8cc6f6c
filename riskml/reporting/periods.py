"""The week or month that a report is about, and the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

import polars as pl

DAY = timedelta(days=1)


class Length(StrEnum):
    """How long a period is."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Period:
    """Some days, in UTC.

    Args:
        length: `week` or `month`.
        last: the last day of it.

    >>> Period(Length.MONTH, date(2024, 3, 31)).first, Period(Length.WEEK, date(2024, 3, 3)).first
    (datetime.date(2024, 3, 1), datetime.date(2024, 2, 26))
    """

    length: Length
    last: date

    @property
    def first(self) -> date:
        """Its first day; a month begins a day after the same day of the month before."""
        after = self.last + DAY
        if self.length is Length.WEEK:
            return after - 7 * DAY
        before = after.replace(day=1) - DAY
        return before.replace(day=min(after.day, before.day))

    @property
    def before(self) -> Period:
        """The period that ends as this one begins."""
        return Period(self.length, self.first - DAY)

    @property
    def start(self) -> datetime:
        """The first moment."""
        return _midnight(self.first)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return _midnight(self.last + DAY)

    @property
    def days(self) -> list[date]:
        """All of them in order."""
        return [self.first + n * DAY for n in range((self.last - self.first).days + 1)]

    def holds(self, column: str) -> pl.Expr:
        """Rows whose time lies in it."""
        return (pl.col(column) >= self.start) & (pl.col(column) < self.end)


def last_whole(length: Length, today: date) -> Period:
    """The last week from Monday to Sunday, or calendar month, that is over.

    >>> today = date(2024, 5, 15)
    >>> last_whole(Length.WEEK, today).last, last_whole(Length.MONTH, today).last
    (datetime.date(2024, 5, 12), datetime.date(2024, 4, 30))
    """
    back = today.isoweekday() if length is Length.WEEK else today.day
    return Period(length, today - back * DAY)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
