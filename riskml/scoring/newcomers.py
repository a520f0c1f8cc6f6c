"""Who is new: the detector has seen few of the user's windows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl


def window_counts(keys: pl.DataFrame) -> dict[str, int]:
    """Windows of each user, by user id."""
    return dict(keys.group_by("user_id").len().sort("user_id").iter_rows())


def is_learning(users: pl.Series, known: Mapping[str, int], fewest: int) -> npt.NDArray[np.bool_]:
    """Whether fewer than `fewest` windows are known of each user [n].

    >>> is_learning(pl.Series(["ann", "bob", "new"]), {"ann": 10, "bob": 9}, 10).tolist()
    [False, True, True]
    """
    if fewest == 0:
        return np.zeros(len(users), np.bool_)
    if len(users) < len(known):  # a few windows: what is known of the others is not looked at
        return np.array([known.get(user, 0) < fewest for user in users.to_list()], np.bool_)
    enough = [user for user, n in known.items() if n >= fewest]
    mask: npt.NDArray[np.bool_] = ~users.is_in(enough).to_numpy()
    return mask
