"""How far each quantity lies from the reference, period by period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import f as f_distribution

from riskml.core.types import UNKNOWN_ACTION, FloatArray
from riskml.monitoring.day_counts import Floats, Ints, expected, period_starts, stability
from riskml.monitoring.drift_reference import GRID, Quantity

FEWEST_EVENTS = 30
"""Expected of an action in a period before its absence says that it is gone."""

TRIMMED = slice(1, -1)
"""Quantiles that a distance is taken over: all but the lowest and the highest."""


@dataclass(frozen=True)
class Periods:
    """Days in a row with enough windows.

    Args:
        days: of the windows, in order [n].
        spans: first and last day of each period.
        slices: its windows.
    """

    days: Ints
    spans: list[tuple[int, int]]
    slices: list[slice]

    @classmethod
    def of(cls, days: Ints, least: int) -> Periods:
        """Cut days [n] into periods of at least so many windows."""
        starts = period_starts(days, least)
        if not len(starts):
            return cls(days, [], [])
        # the last ends where it has enough, the others where the next begins
        enough = np.searchsorted(days, starts[-1]) + least - 1
        ends = np.append(starts[1:] - 1, days[enough])
        spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        cuts = [np.searchsorted(days, (first, last + 1)).tolist() for first, last in spans]
        return cls(days, spans, [slice(*cut) for cut in cuts])

    def sums(self, counts: Floats) -> Iterator[tuple[tuple[int, int], Floats]]:
        """Counts by day of each period; of the days from the first to the last."""
        start = int(self.days[0])
        for first, last in self.spans:
            yield (first, last), counts[first - start : last - start + 1]


def measured_periods(
    quantity: Quantity,
    counts: Floats,
    samples: FloatArray | None,
    periods: Periods,
    reference_windows: int,
) -> pl.DataFrame:
    """PSI, its p-value and the distance of each period."""
    shares, rows = np.array(quantity.shares), []
    for ((begin, end), part), own in zip(periods.sums(counts), periods.slices, strict=True):
        seen, wanted = part.sum(axis=0), expected(shares, part, begin)
        windows, n, bins = own.stop - own.start, seen.sum(), len(seen)
        psi = stability(seen, wanted)
        if quantity.rises_only and seen @ np.arange(bins) / n <= wanted @ np.arange(bins):
            psi = 0.0
        others = reference_windows * n / windows  # several events a window, of actions
        statistic = psi * n * others / (n + others) / (bins - 1) / quantity.dispersion
        freedom = (bins - 1) * max(1, quantity.periods - 1)
        rows.append(
            {
                "begin": begin,
                "end": end,
                "windows": windows,
                "quantity": quantity.name,
                "psi": psi,
                "p_value": float(f_distribution.sf(statistic, bins - 1, freedom)),
                "distance": None if samples is None else _distance(quantity, samples[own]),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"distance": pl.Float64})


def _distance(quantity: Quantity, values: FloatArray) -> float:
    """Wasserstein distance of the trimmed distributions, in deviations of the reference's.

    The deviation is that of the reference's quantiles, so no single value sets it.
    """
    was = np.array(quantity.quantiles)
    now = np.quantile(values.astype(np.float64), GRID)
    unit = max(float(was[TRIMMED].std()), 1e-9)
    return float(np.abs(now - was)[TRIMMED].mean() / unit)


def changed_actions(
    quantity: Quantity, counts: Floats, names: Sequence[str], periods: Periods
) -> pl.DataFrame:
    """Actions that went, and events of those that training had not."""
    shares, rows = np.array(quantity.shares), []
    for (begin, _), part in periods.sums(counts):
        seen, wanted = part.sum(axis=0), expected(shares, part, begin)
        n = seen.sum()
        gone = (seen == 0) & (wanted * n >= FEWEST_EVENTS)
        new = np.zeros(len(names), np.bool_)
        new[UNKNOWN_ACTION] = seen[UNKNOWN_ACTION] > max(
            FEWEST_EVENTS, 2 * wanted[UNKNOWN_ACTION] * n
        )
        for action in np.flatnonzero(gone | new).tolist():
            rows.append(
                {
                    "begin": begin,
                    "action": names[action],
                    "expected": float(wanted[action]),
                    "seen": float(seen[action] / n),
                    "change": "gone" if gone[action] else "unknown",
                }
            )
    schema = {
        "begin": pl.Int64(),
        "action": pl.String(),
        "expected": pl.Float64(),
        "seen": pl.Float64(),
        "change": pl.String(),
    }
    found = pl.DataFrame(rows, schema=schema)
    return found.with_columns(pl.col("begin").cast(pl.Int32).cast(pl.Date))
