"""Environment variables that are set for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(values: Mapping[str, str | None], weak: bool = False) -> Iterator[None]:
    """Set variables within, and put them back.

    Args:
        values: by name; None: it is not set.
        weak: only those that are not set.
    """
    before = {name: os.environ.get(name) for name in values}
    _set({n: v for n, v in values.items() if not weak or before[n] is None})
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
