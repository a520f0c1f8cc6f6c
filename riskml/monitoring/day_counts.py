"""Windows counted by day and bin: periods of days, what is expected of them, how far apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.types import Windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_WINDOWS = 500
"""Of a period: with fewer, chance moves any measure of drift too far."""

SMALLEST_SHARE = 1e-3
"""What an empty bin counts as, or its logarithm would say more than it knows."""

WEEKDAYS, PRIOR = 7, 20
"""PRIOR: windows of all days that stand beside those of a weekday, of which there may be few."""


def days_of(windows: Windows) -> Ints:
    """Day of each window's start, from 1970 [n]."""
    return windows.keys["start"].dt.date().cast(pl.Int32).to_numpy().astype(np.int64)


def weekdays(days: Ints) -> Ints:
    """Monday is 0."""
    return (days + 3) % WEEKDAYS


def period_starts(days: Ints, least: int = LEAST_WINDOWS) -> Ints:
    """First days of the periods that windows of some days make.

    Days follow each other until a period has `least` windows; what is left at the end is none.

    Args:
        days: of the windows [n].
        least: windows of a period.
    """
    if not len(days):
        return np.zeros(0, np.int64)
    first, counts = int(days.min()), np.bincount(days - days.min())
    starts, begin, held = [], 0, 0
    for day, count in enumerate(counts):
        held += int(count)
        if held >= least:
            starts.append(first + begin)
            begin, held = day + 1, 0
    return np.array(starts, np.int64)


def counted(bins: Ints, days: Ints, n_bins: int) -> Floats:
    """How many windows of each day and bin [days from the first to the last, bins]."""
    first, last = int(days.min()), int(days.max())
    cells = (days - first) * n_bins + bins
    found = np.bincount(cells, minlength=(last - first + 1) * n_bins)
    return found.reshape(-1, n_bins).astype(np.float64)


def expected(shares: Floats, counts: Floats, first: int) -> Floats:
    """Shares of bins that windows of some days should have [bins].

    Args:
        shares: a row a weekday [7, bins].
        counts: windows by day [days, bins].
        first: of the days.
    """
    mix = np.zeros(WEEKDAYS)
    np.add.at(mix, weekdays(first + np.arange(len(counts))), counts.sum(axis=1))
    made: Floats = mix @ shares / mix.sum()
    return made


def stability(seen: Floats, wanted: Floats) -> float:
    """Population stability index: 0 for the same shares, from 0.2 on said to be a shift.

    Args:
        seen: shares of bins, or counts.
        wanted: likewise.
    """
    a, b = (np.maximum(each / each.sum(), SMALLEST_SHARE) for each in (seen, wanted))
    a, b = a / a.sum(), b / b.sum()
    return float(((a - b) * np.log(a / b)).sum())


def by_weekday(counts: Floats, first: int) -> Floats:
    """Shares of bins, a row a weekday [7, bins].

    Args:
        counts: windows by day [days, bins].
        first: of the days.
    """
    sums = np.zeros((WEEKDAYS, counts.shape[1]))
    np.add.at(sums, weekdays(first + np.arange(len(counts))), counts)
    overall = sums.sum(axis=0) / sums.sum()
    made: Floats = (sums + PRIOR * overall) / (sums.sum(axis=1, keepdims=True) + PRIOR)
    return made


def spread(counts: Floats, first: int, starts: Ints) -> tuple[float, int]:
    """How far periods lie from the others, against what chance would do; and how many there are.

    Under chance alone PSI × n·N/(n+N) is chi-square with a degree of freedom less than bins
    (Yurdakul and Naranjo 2020).
    """
    ends = [*starts[1:], first + len(counts)]
    found = []
    for begin, end in zip(starts - first, np.array(ends) - first, strict=True):
        own = counts[begin:end]
        rest = counts.copy()
        rest[begin:end] = 0
        n, others = own.sum(), rest.sum()
        if n and others:
            psi = stability(own.sum(axis=0), expected(by_weekday(rest, first), own, first + begin))
            found.append(psi * n * others / (n + others) / (counts.shape[1] - 1))
    return (max(1.0, float(np.mean(found))), len(found)) if found else (1.0, 0)
