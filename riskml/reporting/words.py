"""Phrases, numbers and times in the language of a report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from babel import Locale
from babel.dates import format_date, format_datetime, format_interval, format_skeleton
from babel.numbers import format_decimal, format_percent

LANGUAGES = ("en", "ko")
LOCALES = {"en": "en_GB", "ko": "ko_KR"}
NONE = "–"

Phrase = str | Mapping[str, str]
"""A text with {fields}, or one for each plural form of the field {n}."""


@cache
def phrases() -> dict[str, dict[str, Phrase]]:
    """All of them by key and language."""
    text = (files("riskml.reporting") / "phrases.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Phrase]] = yaml.safe_load(text)
    return found


class Words:
    """What a report says.

    Args:
        language: one of `LANGUAGES`.

    >>> words = Words("en")
    >>> words.number(1234.5, 1), words.percent(0.254), words.day(date(2024, 5, 6))
    ('1,234.5', '25%', '6 May 2024')
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(LOCALES[language])

    def __call__(self, key: str, /, **values: Any) -> str:
        """The phrase of a key; numbers are written as the language does."""
        phrase = phrases()[key][self.language]
        if not isinstance(phrase, str):
            phrase = phrase[self._locale.plural_form(values["n"])]
        return phrase.format(**{name: self._text(value) for name, value in values.items()})

    def knows(self, key: str) -> bool:
        """Whether there is such a phrase."""
        return key in phrases()

    def number(self, value: float | None, digits: int = 0) -> str:
        """With at most so many digits after the point."""
        if value is None:
            return NONE
        return format_decimal(round(value, digits), locale=self._locale)

    def change(self, value: float, digits: int = 0) -> str:
        """With its sign."""
        rounded = round(value, digits)
        sign = "+" if rounded > 0 else "−" if rounded < 0 else "±"
        return sign + self.number(abs(value), digits)

    def percent(self, share: float | None) -> str:
        """Without digits after the point, or with one where it is small."""
        if share is None:
            return NONE
        pattern = "0.0%" if 0 < share < 0.0995 else "0%"
        return format_percent(share, format=pattern, locale=self._locale)

    def day(self, value: date) -> str:
        """With its year."""
        return format_date(value, "d MMM y" if self.language == "en" else "long", self._locale)

    def short_day(self, value: date) -> str:
        """Without its year."""
        return format_skeleton("MMMd", _moment(value), locale=self._locale)

    def weekday(self, value: date) -> str:
        """The same with the weekday."""
        return format_skeleton("MMMEd", _moment(value), locale=self._locale)

    def moment(self, value: datetime) -> str:
        """To the minute, without the year."""
        at = format_datetime(value, "HH:mm", tzinfo=UTC, locale=self._locale)
        return f"{self.short_day(value)} {at}"

    def span(self, first: date, last: date) -> str:
        """From a day to another."""
        text = format_interval(first, last, "yMMMd", locale=self._locale)
        return text.replace("\N{THIN SPACE}", "")

    def hours(self, value: timedelta | None) -> str:
        """In minutes, hours or days."""
        if value is None:
            return NONE
        hours = value.total_seconds() / 3600
        if hours < 1:
            return self("minutes", n=round(hours * 60))
        return (
            self("hours", n=round(hours, 1)) if hours < 48 else self("days", n=round(hours / 24, 1))
        )

    def _text(self, value: Any) -> str:
        if isinstance(value, int | float):
            return self.number(value, 1)
        return str(value)


def _moment(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
