"""Users whose open windows close once the watermark passes a time."""

from __future__ import annotations

import numpy as np
import polars as pl

from riskml.core.types import Int64Array
from riskml.features.profile import USER
from riskml.streaming.user_profiles import NOBODY, Hashes

MINUTE = 60_000_000
"""Microseconds of a bucket."""


class DueUsers:
    """A calendar: buckets of a minute, so that adding and taking cost what they bring.

    A user may stand there several times, with times that a window has outgrown meanwhile.

    Args:
        known: columns `USER` and due (null: never), of the users so far.
    """

    def __init__(self, known: pl.DataFrame | None = None) -> None:
        self._buckets: dict[int, list[tuple[Int64Array, Hashes]]] = {}
        if known is not None:
            self.add(known)

    def add(self, rows: pl.DataFrame) -> None:
        """Note users, columns `USER` and due."""
        rows = rows.filter(pl.col("due").is_not_null())
        due = rows["due"].cast(pl.Int64).to_numpy()
        users = rows[USER].to_numpy()
        minutes = due // MINUTE
        for minute in np.unique(minutes).tolist():
            here = minutes == minute
            self._buckets.setdefault(minute, []).append((due[here], users[here]))

    def take(self, mark: int) -> Hashes:
        """Those whose time has come, sorted, each once; they are noted no more.

        Args:
            mark: the watermark, microseconds of Unix time.
        """
        found = [NOBODY]
        for minute in [m for m in self._buckets if m <= mark // MINUTE]:
            left = []
            for due, users in self._buckets.pop(minute):
                now = due <= mark
                found.append(users[now])
                if not now.all():
                    left.append((due[~now], users[~now]))
            if left:
                self._buckets[minute] = left
        return np.unique(np.concatenate(found))
