"""The events of each window as one row of token ids, and of times where they are asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray, IntArray
from riskml.features.actions import TOKEN
from riskml.features.family import WindowEvents, side_by_side
from riskml.features.local_time import LOCAL_TIME
from riskml.features.rows import micros

_SECOND, _HOUR = 1_000_000, 3_600_000_000


def sequences(
    windows: WindowEvents, order: npt.NDArray[np.int64], max_tokens: int, event_times: bool
) -> tuple[IntArray, IntArray, FloatArray]:
    """Events as padded matrices.

    Args:
        windows: with their events.
        order: the windows' rows in the order of the result.
        max_tokens: of longer windows the last ones stay.
        event_times: whether times are wanted.

    Returns:
        Tokens int32 [n, L], lengths int32 [n] and times float32 [n, L, 2] (see `Windows`), L = 0
        where no times are wanted.
    """
    lengths = np.minimum(windows.counts, max_tokens)
    width = int(lengths.max(initial=1))
    tokens = np.zeros((len(windows), width), np.int32)
    times = np.zeros((len(windows), width if event_times else 0, 2), np.float32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))

    def fill(rows: slice) -> None:
        part = windows[rows]
        # where the window's first event would stand, before the row's begin if it is cut off
        begin = rank[rows] * width - (part.counts - lengths[rows])
        place = np.arange(len(part.events)) + np.repeat(begin - part.first, part.counts)
        kept: slice | npt.NDArray[np.bool_] = slice(None)
        if (part.counts > max_tokens).any():
            kept = place >= np.repeat(rank[rows] * width, part.counts)
            place = place[kept]
        tokens.ravel()[place] = part.column(TOKEN)[kept]
        if event_times:
            times.reshape(-1, 2)[place] = _times(part)[kept]

    side_by_side(fill, windows.parts(), len(windows.events))
    return tokens, lengths[order].astype(np.int32), times


def _times(windows: WindowEvents) -> npt.NDArray[np.float64]:
    """Log of the gap and hour of day of each event, [events, 2]."""
    moment, clock = micros(windows.events["timestamp"]), micros(windows.events[LOCAL_TIME])
    gap = np.diff(moment, prepend=moment[:1])
    gap[windows.first] = 0
    return np.stack([np.log1p(gap / _SECOND), clock % (24 * _HOUR) / _HOUR], 1)
