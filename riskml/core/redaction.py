"""Values of the log in messages: shown, unless they may name a person who must not be named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HIDDEN = "(not shown: pseudonyms are on)"
HIDDEN_IN_LOGS = "(not shown in logs)"
MAX_SHOWN = 200
QUOTED = re.compile(r"(['\"`]).*?\1", re.DOTALL)

_hiding: ContextVar[bool] = ContextVar("_hiding", default=False)
_always = False  # in all threads, which a context variable is not


def hide_always(hide: bool = True) -> None:
    """Keep the log's values out of all messages of this process, whoever asks for them."""
    global _always
    _always = hide


@contextmanager
def hiding_values(hide: bool = True) -> Iterator[None]:
    """Within, `shown` keeps the log's values out of messages, errors and warnings alike."""
    token = _hiding.set(hide)
    try:
        yield
    finally:
        _hiding.reset(token)


def printable(text: str) -> str:
    r"""The text without characters that would steer a terminal.

    >>> printable("a\x1b[31mb")
    'a�[31mb'
    """
    return "".join(character if character.isprintable() else "�" for character in text)


def shortened(text: str, most: int) -> str:
    """The text in so many characters at most.

    >>> shortened("alice.liddell", 6)
    'alice…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def without_quoted(text: str) -> str:
    """A message of others, which may quote the log; what it quotes is left out while hiding.

    >>> with hiding_values():
    ...     without_quoted('invalid input syntax for type timestamp: "alice"')
    'invalid input syntax for type timestamp: "…"'
    """
    return QUOTED.sub(r"\1…\1", text) if _always or _hiding.get() else text


def shown(value: object) -> str:
    """A value of the log for a message; long ones are cut.

    >>> shown("alice")
    'alice'
    >>> with hiding_values():
    ...     shown("alice")
    '(not shown: pseudonyms are on)'
    """
    if _hiding.get():
        return HIDDEN
    if _always:
        return HIDDEN_IN_LOGS
    text = printable(str(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
