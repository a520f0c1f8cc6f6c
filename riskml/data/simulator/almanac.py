"""Dates: weekdays, public holidays, month ends and daylight saving."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from riskml.data.simulator.randomness import Flags, Floats, Integers

TIME_ZONES = (
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Seoul",
)
TIME_ZONE_SHARES = (0.42, 0.24, 0.14, 0.11, 0.09)

_FIXED_HOLIDAYS: dict[str, tuple[tuple[int, int], ...]] = {
    "Europe/London": ((1, 1), (12, 25), (12, 26)),
    "Europe/Berlin": ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26)),
    "America/New_York": ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25)),
    "Asia/Kolkata": ((1, 26), (8, 15), (10, 2)),
    "Asia/Seoul": ((1, 1), (3, 1), (6, 6), (8, 15), (10, 3), (10, 9), (12, 25)),
}
_EASTER_ZONES = ("Europe/London", "Europe/Berlin")


@dataclass(frozen=True)
class Almanac:
    """What the calendar says of each day of a world.

    Attributes:
        dates: the date of each day.
        weekday: Monday 0 … Sunday 6: [days].
        month_end: 1 on the last working days of a month, else 0: [days].
        holiday: public holidays: [zones, days].
        utc_offset: local time minus UTC at noon, in seconds: [zones, days].
    """

    dates: tuple[date, ...]
    weekday: Integers
    month_end: Floats
    holiday: Flags
    utc_offset: Floats


def make_almanac(first_day: date, days: int) -> Almanac:
    """Return the almanac of ``days`` days from ``first_day``."""
    dates = tuple(first_day + timedelta(days=day) for day in range(days))
    zones = [ZoneInfo(name) for name in TIME_ZONES]
    offsets = np.zeros((len(zones), days))
    holiday = np.zeros((len(zones), days), dtype=np.bool_)
    for row, (name, zone) in enumerate(zip(TIME_ZONES, zones, strict=True)):
        fixed = set(_FIXED_HOLIDAYS[name])
        for column, day in enumerate(dates):
            offset = datetime.combine(day, time(12), tzinfo=zone).utcoffset() or timedelta(0)
            offsets[row, column] = offset.total_seconds()
            from_easter = (day - easter(day.year)).days
            moving = name in _EASTER_ZONES and from_easter in (-2, 1)
            holiday[row, column] = (day.month, day.day) in fixed or moving
    return Almanac(
        dates=dates,
        weekday=np.array([day.weekday() for day in dates], dtype=np.int64),
        month_end=np.array([float((day + timedelta(days=4)).month != day.month) for day in dates]),
        holiday=holiday,
        utc_offset=offsets,
    )


def easter(year: int) -> date:
    """Return Easter Sunday (the anonymous Gregorian algorithm).

    >>> easter(2024)
    datetime.date(2024, 3, 31)
    """
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    lead = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * lead) // 451
    month, day = divmod(h + lead - 7 * m + 114, 31)
    return date(year, month, day + 1)
