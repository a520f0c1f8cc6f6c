"""The windows of each user one after the other, worked on for all users at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.types import Windows

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Turns:
    """Rows in the order in which a detector that remembers looks at them.

    The first window of each user by its end makes the first turn, the second of each that has one
    the second, and so on.

    Args:
        order: int64 [n], rows, one turn after the other.
        user: int64 [n], row of each one's user, in that order.
        ends: int64 [turns + 1], where in `order` each turn begins, and n.
    """

    order: Int64
    user: Int64
    ends: Int64

    @classmethod
    def of(cls, windows: Windows, users: Mapping[str, int]) -> Turns:
        """Put windows, in any order, into turns.

        Args:
            windows: those of a user that end together are taken in the order of their rows.
            users: row of each user in what is remembered.
        """
        keys = windows.keys.select(
            pl.col("user_id").replace_strict(users, return_dtype=pl.Int64).alias("user"),
            pl.col("end").rank("ordinal").over("user_id").cast(pl.Int64) - 1,
        )
        number = keys["end"].to_numpy()
        order = np.argsort(number, kind="stable")
        ends = np.searchsorted(number[order], np.arange(number.max(initial=-1) + 2))
        return cls(order, keys["user"].to_numpy()[order], ends)

    def __iter__(self) -> Iterator[tuple[Int64, Int64]]:
        """Rows of the windows and of their users, both int64 [k], turn by turn."""
        for start, end in zip(self.ends[:-1], self.ends[1:], strict=True):
            yield self.order[start:end], self.user[start:end]


def with_new_users(users: Mapping[str, int], *batches: Windows) -> dict[str, int]:
    """The users known and, in rows behind theirs, those who are new in `batches`."""
    known = dict(users)
    for windows in batches:
        for name in windows.keys["user_id"].unique(maintain_order=True):
            known.setdefault(name, len(known))
    return known
