"""The same windows in other company, under other names, or with their contents exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.types import PEER, FeatureKind, FloatArray, Windows

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

KEYS = ("window_id", "user_id", "start", "end", "n_events", PEER)
"""All that a detector is shown of the keys."""

SAME_CALENDAR = timedelta(weeks=1461)
"""28 years: the same days of the week, month and year, and another date."""
ANOTHER_CALENDAR = SAME_CALENDAR + timedelta(weeks=17)
"""The same days of the week, in other places of month and year."""
INSTANT = timedelta(microseconds=1)
NUDGE = np.float32(1 + 1e-6)

TOLERANCE = 1e-4
"""Of the spread of the scores: kernels add up in another order for another number of rows."""
FLOAT_NOISE = 5e-7
"""Of the score itself: four steps of a float32."""


def shown_to_detectors(windows: Windows) -> Windows:
    """A copy of its own, with the columns of the contract and no others."""
    keys = windows.keys.select(KEYS)
    arrays = (windows.tokens.copy(), windows.lengths.copy(), windows.times.copy())
    return Windows(keys, windows.x.copy(), windows.spec, *arrays)


def renamed(windows: Windows) -> Windows:
    """With other window ids."""
    names = [f"window-{row}" for row in range(len(windows))]
    return replace(windows, keys=windows.keys.with_columns(pl.Series("window_id", names)))


def another_date(windows: Windows) -> timedelta:
    """Between these dates and others that lie alike in week, month and year (up to 2100)."""
    latest = windows.keys["start"].max()
    return -SAME_CALENDAR if isinstance(latest, datetime) and latest.year > 2071 else SAME_CALENDAR


def moved(windows: Windows, by: timedelta) -> Windows:
    """All of them that much later."""
    return replace(windows, keys=windows.keys.with_columns(pl.col("start", "end") + by))


def with_users(windows: Windows, names: Sequence[str]) -> Windows:
    """Those of some users."""
    return windows.take(windows.keys["user_id"].is_in(list(names)).to_numpy())


def with_contents_of(windows: Windows, other: Windows) -> Windows:
    """Each window with what another holds [n]: features, actions, times, number of events."""
    keys = windows.keys.with_columns(other.keys["n_events"])
    return Windows(keys, other.x, windows.spec, other.tokens, other.lengths, other.times)


def nudged(windows: Windows) -> Windows:
    """Every feature a millionth larger, but for those that are 0 or 1."""
    x = windows.x.copy()
    columns = windows.spec.columns(FeatureKind.COUNT, FeatureKind.CONTINUOUS, FeatureKind.CYCLIC)
    x[:, columns] *= NUDGE
    return replace(windows, x=x)


def in_another_order(windows: Windows, rows: Rows, keep_turns: bool, seed: int) -> Rows:
    """The rows shuffled.

    Args:
        windows: that the rows are of.
        rows: in order of time.
        keep_turns: leave those of a user in their order.
        seed: of the shuffle.
    """
    rng = np.random.default_rng(seed)
    if not keep_turns:
        return rng.permutation(rows)
    users = windows.keys["user_id"][rows].rank("dense").to_numpy().astype(np.int64)
    place = rng.permutation(int(users.max(initial=0)) + 1)
    return rows[np.argsort(place[users], kind="stable")]


def earliest(windows: Windows, share: float) -> Rows:
    """Rows of the windows that end first, in their order; none where no cut leaves some out."""
    ends = windows.keys["end"].to_physical().to_numpy()
    if not len(ends):
        return np.zeros(0, np.int64)
    cut = np.quantile(ends, share, method="lower")
    rows = np.flatnonzero(ends <= cut)
    return rows if len(rows) < len(ends) else np.flatnonzero(ends < cut)


@dataclass(frozen=True)
class Scale:
    """How far apart scores are: what a difference has to be held against.

    Args:
        middle: median.
        spread: between the quartiles, or the standard deviation where these are one.
    """

    middle: float
    spread: float

    @classmethod
    def of(cls, scores: FloatArray) -> Scale:
        """Of all scores of a test period."""
        values = np.asarray(scores, np.float64)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(middle), float(high - low) or float(values.std()))

    def differing(self, first: FloatArray, second: FloatArray) -> Mask:
        """Which of two scores of the same windows [n] are not the same."""
        a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
        allowed = TOLERANCE * (self.spread + np.abs(b - self.middle)) + FLOAT_NOISE * np.abs(b)
        mask: Mask = ~(np.abs(a - b) <= allowed)
        return mask
