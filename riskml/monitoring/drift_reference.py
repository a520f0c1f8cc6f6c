"""What windows looked like before the bundle went to work: the measure that drift is held to.

Each quantity (a feature, the score, the actions) is cut into few bins once, at the deciles of the
reference days; the outermost bins are open, so that no outlier moves an edge. Days of a weekday are
compared with the same weekday, and how much the days differ among themselves is part of the
reference: people who share a calendar are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from riskml.core.errors import DataError, reading
from riskml.core.types import Feature, FeatureKind, FeatureSpec, FloatArray, Windows
from riskml.monitoring.day_counts import (
    LEAST_WINDOWS,
    Floats,
    Ints,
    by_weekday,
    counted,
    days_of,
    period_starts,
    spread,
)

FILE = "drift.json"
"""Of a bundle, beside what it scores with."""

SCORE, ACTIONS = "score", "actions"
"""Quantities that are no feature."""

BINS = 10
LEAST_PERIODS = 4
"""Of a reference: with fewer nobody knows how much days differ."""

GRID = np.linspace(0, 1, 101)
"""Quantiles that a distribution is kept as."""

REFERENCE_DAYS = 56
"""The last of what was known before the test period."""


@dataclass(frozen=True)
class Quantity:
    """One number of windows, as it was in the reference.

    Args:
        name, meaning: of it.
        edges: inner edges of its bins, increasing; None for actions, which are their own bins.
        shares: expected share of each bin, a row a weekday [7][bins].
        dispersion: how much further apart the reference days are than independent windows, >= 1.
        periods: that the dispersion was seen in.
        quantiles: at `GRID`; empty for actions.
        rises_only: drift is a rise alone, since the more is known, the less is new.
    """

    name: str
    meaning: str
    edges: list[float] | None
    shares: list[list[float]]
    dispersion: float
    periods: int
    quantiles: list[float]
    rises_only: bool = False

    @property
    def bins(self) -> int:
        """How many."""
        return len(self.shares[0])

    def binned(self, values: FloatArray | Floats) -> Ints:
        """Bin of each value [n]."""
        assert self.edges is not None
        return np.searchsorted(np.array(self.edges), values, side="left")


@dataclass(frozen=True)
class DriftReference:
    """All quantities of windows in a stretch of time.

    Args:
        begin, end: first and last day, ISO.
        windows: of them.
        quantities: of them; constant ones, the calendar's and those that only tell how long
            somebody has been watched are left out.
    """

    begin: str
    end: str
    windows: int
    quantities: tuple[Quantity, ...]

    @classmethod
    def of(cls, parts: Sequence[Windows], scored: Windows, scores: FloatArray) -> Self:
        """What drift is held to: the last `REFERENCE_DAYS` days of some windows.

        Args:
            parts: windows before the bundle's work, when users were known already; of one spec.
            scored: windows that the detector has not learnt from; where they are less than
                `LEAST_PERIODS` periods, the score is left out.
            scores: of those [n].

        Raises:
            DataError: they are too few to tell how much days differ.
        """
        spec = parts[0].spec
        last_day = max((int(days_of(part).max()) for part in parts if len(part)), default=0)
        # what is older may be more than memory has room for twice
        parts = [part.take(days_of(part) > last_day - REFERENCE_DAYS) for part in parts]
        days = np.concatenate([days_of(part) for part in parts])
        if len(period_starts(days)) < LEAST_PERIODS:
            raise DataError(
                f"{len(days):,} windows are no reference for drift: it takes {LEAST_PERIODS} "
                f"periods of {LEAST_WINDOWS} windows each"
            )
        x = np.concatenate([part.x for part in parts]).astype(np.float64)
        tokens = np.concatenate([_actions_of(part) for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        found = [_quantity(feature, x[:, column], days) for column, feature in watched(spec)]
        if len(period_starts(days_of(scored))) >= LEAST_PERIODS:
            score = Feature(SCORE, "", FeatureKind.CONTINUOUS, "score of a window")
            found.append(_quantity(score, scores.astype(np.float64), days_of(scored)))
        bins = counted(tokens, np.repeat(days, lengths), len(spec.actions))
        found.append(_actions(bins, days))
        first, last = (str(np.datetime64(int(day), "D")) for day in (days.min(), days.max()))
        return cls(first, last, len(days), tuple(each for each in found if each is not None))

    def text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Of a bundle, whose files have been checked.

        Raises:
            DataError: it has none.
            BundleError: the file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            raise DataError(
                f"{folder} has no {FILE}: it was exported without one; train again with at least "
                f"{LEAST_PERIODS * LEAST_WINDOWS:,} windows before the test period"
            )
        with reading(path):
            state: Mapping[str, Any] = json.loads(path.read_text())
            quantities = tuple(Quantity(**each) for each in state["quantities"])
            return cls(state["begin"], state["end"], state["windows"], quantities)


def watched(spec: FeatureSpec) -> list[tuple[int, Feature]]:
    """Columns and features that drift may show in.

    The weekday is the calendar's; an absence is at most as long as somebody has been watched.
    """
    return [
        (column, feature)
        for column, feature in enumerate(spec.features)
        if feature.aspect != "weekday" and not feature.aspect.startswith("absence_")
    ]


def _quantity(feature: Feature, values: Floats, days: Ints) -> Quantity | None:
    edges = np.unique(np.quantile(values, GRID[BINS:-1:BINS]))
    edges = edges[edges < values.max()]  # the last bin would never be met
    if not len(edges):
        if values.min() == values.max():
            return None
        edges = np.unique(values)[:-1][-1:]
    bins = np.searchsorted(edges, values, side="left")
    counts, first = counted(bins, days, len(edges) + 1), int(days.min())
    dispersion, periods = spread(counts, first, period_starts(days))
    return Quantity(
        feature.name,
        feature.meaning,
        edges.tolist(),
        by_weekday(counts, first).tolist(),
        dispersion,
        periods,
        np.quantile(values, GRID).tolist(),
        feature.aspect.startswith("new_"),
    )


def _actions(counts: Floats, days: Ints) -> Quantity:
    """Shares of the actions; an unknown one is a bin of its own."""
    first = int(days.min())
    dispersion, periods = spread(counts, first, period_starts(days))
    shares = by_weekday(counts, first).tolist()
    return Quantity(ACTIONS, "actions", None, shares, dispersion, periods, [])


def action_counts(windows: Windows, days: Ints) -> Floats:
    """Events by day and action [days from the first to the last, actions]."""
    return counted(
        _actions_of(windows), np.repeat(days, windows.lengths), len(windows.spec.actions)
    )


def _actions_of(windows: Windows) -> Ints:
    """Action of each event, window after window, without padding."""
    used = np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]
    return windows.tokens[used].astype(np.int64)
