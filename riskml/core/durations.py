"""Lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta | None:
    """A number and a unit; None: it is something else.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)
    """
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    return None if match is None else timedelta(**{UNITS[match[2]]: int(match[1])})
