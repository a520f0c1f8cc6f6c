"""What an alert is about, in words: the signature that the alert log gave it."""

from __future__ import annotations

import re

from riskml.core.redaction import printable, shortened
from riskml.reporting.words import Words

COMPARED = ("peer_percentile_", "percentile_", "change_", "trend_")
"""Beginnings of signatures that compare what comes after them with the past or with peers."""

NEW = re.compile(r"new_(?P<column>.+)_to_(?P<whom>user|peers|everyone|community)")
LONGEST = 60


def scenario(signature: str, words: Words) -> str:
    """A signature in words.

    >>> scenario("peer_percentile_failures", Words("en"))
    'Failed actions, compared with peers'
    >>> scenario("new_host_to_user", Words("en")), scenario("count:delete", Words("en"))
    ('Host new to this user', 'Number of “delete”')
    """
    compared = next((start for start in COMPARED if signature.startswith(start)), None)
    if compared is not None:
        what = scenario(signature.removeprefix(compared), words)
        return words(f"scenario_{compared.rstrip('_')}", what=what)
    if words.knows(f"scenario_{signature}"):
        return words(f"scenario_{signature}")
    if (found := NEW.fullmatch(signature)) is not None:
        what = _column(found["column"], words)
        return words(f"scenario_new_to_{found['whom']}", what=what)
    for start, key in (("absence_", "absence"), ("number_", "number")):
        if signature.startswith(start):
            return words(f"scenario_{key}", what=_column(signature.removeprefix(start), words))
    for start, key in (("count:", "count"), ("action: ", "action")):
        if signature.startswith(start):
            return words(f"scenario_{key}", what=_short(signature.removeprefix(start)))
    return words("scenario_other", what=_short(signature))


def _column(name: str, words: Words) -> str:
    return words(f"column_{name}") if words.knows(f"column_{name}") else _short(name)


def _short(name: str) -> str:
    return shortened(printable(name), LONGEST)
