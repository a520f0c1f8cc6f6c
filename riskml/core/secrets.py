"""Takes secrets and personal data out of what is logged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN, MAIL = "***", "(mail address)"
SHORTEST = 8
"""Of values of the environment that are looked for; shorter ones stand in innocent words, too."""

_NAMES = r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|signing[_-]?key"
_NAMED = re.compile(rf"(?i)(?:^|_)(?:{_NAMES}|key|dsn)s?(?:$|_)")
_RULES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]+-----|$)", re.S), HIDDEN),
    (re.compile(r"([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(hooks\.slack\.com/services/)[^\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            rf"(?i)([\w-]*(?:{_NAMES}|authorization)[\"']?\s*[=:]\s*)"
            r"(?!bearer|basic|\*)(\"[^\"]*\"|'[^']*'|[^\s,;&}\])]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


class Secrets:
    """Knows the forms of secrets, and the values of those that the environment holds."""

    def __init__(self) -> None:
        found = set()
        for name, value in os.environ.items():
            if _NAMED.search(name):
                found |= {part.strip() for part in value.split(",")} | {value}
        long = sorted((v for v in found if len(v) >= SHORTEST), key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, long))) if long else None

    def removed(self, text: str, personal: bool = False) -> str:
        """The text without them.

        >>> Secrets().removed("postgresql://risk:pass@host/db refused; token=abc")
        'postgresql://risk:***@host/db refused; token=***'
        >>> Secrets().removed("kim@example.com does not answer", personal=True)
        '(mail address) does not answer'

        Args:
            text: any.
            personal: also mail addresses.
        """
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        for rule, instead in _RULES:
            text = rule.sub(instead, text)
        return _MAIL.sub(MAIL, text) if personal else text

    def removed_from(self, value: Any, personal: bool = False) -> Any:
        """The same for all texts in an object of JSON."""
        if isinstance(value, str):
            return self.removed(value, personal)
        if isinstance(value, Mapping):
            return {name: self.removed_from(each, personal) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.removed_from(each, personal) for each in value]
        return value
