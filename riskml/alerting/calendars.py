"""Spans of time by the calendar: hours, days of the week, months and dates on somebody's clock."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from riskml.alerting.states import FromFile
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LEAP_YEAR = 2024
"""Has every day that a year can have."""


@dataclass(frozen=True)
class DateRange:
    """Days from one to another, both included.

    Args:
        first: of them; of any year (a leap one) where they are of each.
        last: of them.
        yearly: each year.
    """

    first: date
    last: date
    yearly: bool

    @classmethod
    def parse(cls, text: str) -> DateRange:
        """`2024-12-25`, `12-25` (each year), or two of these with `..` between them.

        Raises:
            ConfigError: it is neither, or ends before it begins.
        """
        begin, _, end = text.partition("..")
        ends = [begin.strip(), (end or begin).strip()]
        yearly = all(re.fullmatch(r"\d\d-\d\d", each) for each in ends)
        try:
            first, last = (
                date.fromisoformat(f"{LEAP_YEAR}-{each}" if yearly else each) for each in ends
            )
        except ValueError:
            raise ConfigError(
                f"dates: {printable(text)} is no date: write 2024-12-25, 12-25 for each year, or "
                "12-24..12-31"
            ) from None
        if last < first:
            raise ConfigError(f"dates: {printable(text)} ends before it begins; write two of them")
        return cls(first, last, yearly)

    def __contains__(self, day: date) -> bool:
        if self.yearly:
            day = day.replace(year=LEAP_YEAR)
        return self.first <= day <= self.last

    def months(self) -> list[tuple[int, int, int, int]]:
        """Year, month, first and last day of each month that it touches."""
        found, day = [], self.first
        while day <= self.last:
            end = min(self.last, day.replace(day=monthrange(day.year, day.month)[1]))
            found.append((day.year, day.month, day.day, end.day))
            day = end + timedelta(days=1)
        return found


@dataclass(frozen=True, kw_only=True)
class Times(FromFile):
    """A span of time that comes again; what is left out is any.

    Args:
        hours: such as 18:00-06:00, which goes over midnight: days, months and dates are those of
            its evening.
        days: of the week.
        months: of the year.
        dates: such as 2024-12-25, 12-25 for each year, or 12-24..12-31.
        time_zone: IANA name.

    Raises:
        ConfigError: no such day, month, date, zone or hours, or months and dates.
    """

    hours: str | None = None
    days: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    dates: tuple[str | date, ...] = ()
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        for setting, named, known in (("days", self.days, DAYS), ("months", self.months, MONTHS)):
            for name in named:
                if name not in known:
                    raise ConfigError(f"{setting}: {did_you_mean(name, known)}")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            zone = printable(self.time_zone)
            raise ConfigError(f"time_zone={zone} is not known; write Europe/Berlin") from error
        if self.months and self.dates:
            raise ConfigError("months and dates: give one of them, dates such as 12-01..12-31")
        self.span()
        self.ranges()

    def why_not(self, at: datetime) -> str | None:
        """What keeps a moment out of it; None: it is in it."""
        local = at.astimezone(ZoneInfo(self.time_zone))
        begin, end = self.span()
        clock, day = local.time(), local.date()
        if begin <= end:
            inside = begin <= clock < end or self.hours is None
        else:
            inside = clock >= begin or clock < end
            day = day if clock >= begin else day - timedelta(days=1)
        if not inside:
            return f"hour {clock:%H:%M} in {self.time_zone}"
        if self.days and DAYS[day.weekday()] not in self.days:
            return f"day {DAYS[day.weekday()]} in {self.time_zone}"
        if self.months and MONTHS[day.month - 1] not in self.months:
            return f"month {MONTHS[day.month - 1]} in {self.time_zone}"
        if self.dates and not any(day in each for each in self.ranges()):
            return f"date {day} in {self.time_zone}"
        return None

    def __contains__(self, at: datetime) -> bool:
        return self.why_not(at) is None

    def span(self) -> tuple[time, time]:
        """Begin and end of the hours; the end is before the begin where they go over midnight."""
        if self.hours is None:
            return time.min, time.max
        found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", self.hours)
        try:
            if found is None:
                raise ValueError
            first, second, third, fourth = map(int, found.groups())
            begin = time(first, second)
            end = time.max if (third, fourth) == (24, 0) else time(third, fourth)
        except ValueError:
            hours = printable(self.hours)
            raise ConfigError(f"hours={hours} is no span: write 08:00-18:00") from None
        if begin == end:
            raise ConfigError(f"hours={self.hours} is no time at all; leave it out for a whole day")
        return begin, end

    def ranges(self) -> list[DateRange]:
        """The dates."""
        return [DateRange.parse(str(each)) for each in self.dates]
