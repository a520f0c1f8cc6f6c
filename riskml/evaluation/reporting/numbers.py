"""Numbers as people read them; "–" stands for what is not defined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskml.evaluation.comparison import Difference, Interval

NONE = "–"
THIN = "\u00a0"
"""Between a number and its unit: no line ends there."""

UNIT = f"{THIN}%"

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits after the point.

    >>> number(0.48886), number(None), number(1234.5, 0)
    ('0.489', '–', '1,234')
    """
    return NONE if value is None else f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """With its sign, a true minus.

    >>> signed(-0.1234), signed(0.2)
    ('−0.123', '+0.200')
    """
    return f"{value:+.3f}".replace("-", "−")


def share(value: float | None) -> str:
    """In percent, the smaller the more digits.

    >>> [share(x).replace(THIN, " ") for x in (0.1778, 0.0122, 0.00456, 0.0, 1.0)]
    ['18 %', '1.2 %', '0.46 %', '0 %', '100 %']
    """
    if value is None:
        return NONE
    percent = 100 * value
    digits = 0 if percent >= 9.95 or percent == 0 else 1 if percent >= 0.95 else 2
    return f"{percent:.{digits}f}{THIN}%"


def count(value: float | None) -> str:
    """Whole, or with one digit where it is a mean.

    >>> count(12345), count(2.17), count(3.0), count(None)
    ('12,345', '2.2', '3', '–')
    """
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}".removesuffix(".0")


def some(value: float, one: str, several: str = "") -> str:
    """How many of what.

    >>> some(1, "alert"), some(12, "alert"), some(0, "day"), some(2, "query", "queries")
    ('1 alert', '12 alerts', '0 days', '2 queries')
    """
    return f"{count(value)} {one if value == 1 else several or one + 's'}"


def duration(seconds: float | None) -> str:
    """In the largest unit that fits.

    >>> [duration(x).replace(THIN, " ") for x in (0.084, 18.46, 135, 5400, 200000, 0)]
    ['0.08 s', '18.5 s', '2.2 min', '1.5 h', '2.3 days', '0.00 s']
    """
    if seconds is None:
        return NONE
    for unit, size, digits in (("days", DAY * 2, 1), ("h", HOUR, 1), ("min", MINUTE * 2, 1)):
        if seconds >= size:
            base = {"days": DAY, "h": HOUR, "min": MINUTE}[unit]
            return f"{seconds / base:,.{digits}f}{THIN}{unit}"
    return f"{seconds:.{1 if seconds >= 10 else 2}f}{THIN}s"


def in_days(value: float | None) -> str:
    """A time given in days.

    >>> in_days(0.25).replace(THIN, " "), in_days(None)
    ('6.0 h', '–')
    """
    return NONE if value is None else duration(value * timedelta(days=1).total_seconds())


def between(interval: Interval | Difference | None, show: Callable[[float], str] = number) -> str:
    """The ends of an interval; empty without one.

    >>> from riskml.evaluation.comparison import Difference, Interval
    >>> between(Interval(0.2, 0.8)), between(Difference(0.1, -0.05, 0.2, 0.3), signed)
    ('0.200 to 0.800', '−0.050 to +0.200')
    >>> between(Interval(0.043, 0.36), share).replace(THIN, " ")
    '4.3 to 36 %'
    """
    if interval is None:
        return ""
    low, high = show(interval.low), show(interval.high)
    return f"{low.removesuffix(UNIT) if high.endswith(UNIT) else low} to {high}"


def moment(value: datetime) -> str:
    """To the minute."""
    return f"{value:%Y-%m-%d %H:%M}"


def day(value: datetime) -> str:
    """Without the time."""
    return f"{value:%Y-%m-%d}"


def listed(names: list[str]) -> str:
    """In words.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"]), listed([])
    ('a', 'a and b', 'a, b and c', '')
    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
