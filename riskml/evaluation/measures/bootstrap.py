"""How far metrics could lie off by chance: intervals and paired differences by resampling.

Windows of one user are alike, and windows of one incident even more, so neither is drawn alone:

- by user: as many users as there are, drawn with replacement, each with all windows in all folds.
  Users who share an incident come together.
- by incident: incidents drawn with replacement, each with its risky windows; and apart from them
  users, each with its normal windows. Risky windows of no incident come together by user, incidents
  that share a window come together. No resample is without risky windows.
- by window: windows drawn with replacement, those of one incident together. For logs of one user
  whose windows have nothing in common (blocks of a file system); elsewhere intervals come out too
  narrow.

Whether a window is an alert or within the budget stays as it was: what varies is who and what there
was to be found, not the choice. The interval is that of the 2.5th to the 97.5th percentile;
where that has no width, the share of incidents has the exact one of a binomial, others have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import stats

from riskml.core.errors import DataError, require, require_positive
from riskml.evaluation.measures.ranking import Floats, RankedCounts
from riskml.evaluation.measures.resampling import USER, WAYS, ClusterSums, cluster_sums
from riskml.evaluation.metrics import ranking_values

AT_A_TIME, NUMBERS = 64, 4_000_000
"""Resamples that are worked on together, as long as they are no more numbers than that: few enough
to stay in the processor's cache."""


NO_WIDTH = 1e-12
"""Ends that differ by rounding alone."""

NOT_THE_SAME = (
    "resamples can be compared on the same windows and draws only: give all the same test windows, "
    "seed, number of resamples and way of drawing"
)


@dataclass(frozen=True)
class Interval:
    """95 % of what resampling gives.

    Args:
        low, high: its ends.
        left_out: resamples in which the metric is not defined (no risky window in them, say).
        exact: of so many out of so many incidents (Clopper and Pearson), as resamples are all one.
    """

    low: float
    high: float
    left_out: int = 0
    exact: bool = False


@dataclass(frozen=True)
class Difference:
    """How far the detector in focus is above another, on the same resamples.

    Args:
        value: difference of the metric.
        low, high: 95 % interval.
        p_value: two-sided: twice the share of resamples on the other side of 0, itself among them,
            as far out as the interval is; below 0.05 where the interval holds no 0.
        left_out: resamples in which the metric is not defined for one of both.
    """

    value: float
    low: float
    high: float
    p_value: float
    left_out: int = 0


@dataclass(frozen=True)
class Resamples:
    """Metrics of one detector on resamples; those of another on the same windows pair with it.

    Args:
        values: by metric: on the windows as they are.
        resampled: by metric [resamples], NaN where it is not defined.
        drawn_from: what tells resamples of the same windows.
        attacked: how many of those that are drawn have risky windows.
        incidents: how many there are.
    """

    values: Mapping[str, float]
    resampled: Mapping[str, Floats]
    drawn_from: tuple[object, ...]
    attacked: float = np.inf
    incidents: int = 0

    def intervals(self, confidence: float = 0.95) -> dict[str, Interval]:
        """By metric, those that are defined.

        Resamples that are all one tell nothing: 8 of 8 incidents found may be luck. The share of
        incidents then has the interval of Clopper and Pearson, other metrics have none.
        """
        found = {}
        for name, values in self.resampled.items():
            ends = _ends(values, confidence, self.attacked)
            if ends is None:
                continue
            left_out = int(np.isnan(values).sum())
            if ends[1] - ends[0] > NO_WIDTH:
                found[name] = Interval(*ends, left_out)
            elif name.startswith("incident_recall") and self.incidents:
                caught = round(self.values[name] * self.incidents)
                test = stats.binomtest(caught, self.incidents)
                exact = test.proportion_ci(confidence, method="exact")
                found[name] = Interval(float(exact.low), float(exact.high), left_out, exact=True)
        return found

    def above(self, other: Resamples, confidence: float = 0.95) -> dict[str, Difference]:
        """By metric, how far these are above the other detector's, where both are defined.

        Raises:
            DataError: the other ones are of other windows, or drawn in another way.
        """
        if self.drawn_from != other.drawn_from:
            raise DataError(NOT_THE_SAME)
        found = {}
        for name in self.resampled:
            gains = self.resampled[name] - other.resampled[name]
            if ends := _ends(gains, confidence, self.attacked):
                value = self.values[name] - other.values[name]
                kept = gains[~np.isnan(gains)]
                found[name] = Difference(
                    value,
                    *ends,
                    p_value=_two_sided(kept, self.attacked),
                    left_out=len(gains) - len(kept),
                )
        return found


def mean_over_seeds(several: Sequence[Resamples]) -> Resamples:
    """The mean of a detector's metrics over its seeds, on each draw; undefined if any is.

    Args:
        several: of the same windows and draws, one a seed of the detector.

    Raises:
        DataError: they are of other windows, or drawn in another way.
    """
    first = several[0]
    if any(one.drawn_from != first.drawn_from for one in several):
        raise DataError(NOT_THE_SAME)
    return replace(
        first,
        values={n: float(np.mean([one.values[n] for one in several])) for n in first.values},
        resampled={n: np.mean([one.resampled[n] for one in several], axis=0) for n in first.values},
    )


def resample(
    tables: Sequence[pl.DataFrame],
    normal_weight: float = 1.0,
    by: str = USER,
    resamples: int = 10_000,
    seed: int = 0,
) -> Resamples:
    """Draw users, incidents or windows, and measure each draw.

    Args:
        tables: of scores, one a fold: window_id, user_id, score, label, incidents, alert,
            within_budget. A user, or an incident, is drawn in all folds at once. Ranking metrics
            are the mean over the folds in which they are defined, alerts and incidents are counted
            together.
        normal_weight: how many normal windows each normal one stands for.
        by: `user`, `incident` or `window`.
        resamples: how many; the work grows with this times the number of windows.
        seed: of the draws.

    Returns:
        Average precision, ROC-AUC and its part, recall at false-positive rates; precision, recall
        and F1 and incident recall, at budget and at threshold.

    Raises:
        ConfigError: another way to draw, fewer than one resample, or `normal_weight` is no finite
            number above 0.
        DataError: a label is not 0 or 1, or a score is not a finite number.
    """
    require("by", by, by in WAYS, f"must be one of {', '.join(WAYS)}")
    fits = isinstance(resamples, int) and resamples >= 1
    require("resamples", resamples, fits, "must be a whole number of at least 1")
    require_positive("normal_weight", normal_weight)
    sums = cluster_sums(tables, by)
    drawn = [_statistics(sums, times, normal_weight) for times in _draws(sums, resamples, seed)]
    once = np.bincount(sums.sort, minlength=sums.matrix.shape[1])[:, None]
    whole = _statistics(sums, once.astype(np.float64), normal_weight)
    few = min(*sums.blocks, sums.attacked) < 2  # one user says nothing about others
    return Resamples(
        {name: float(value[0]) for name, value in whole.items()},
        {
            name: np.full(resamples, np.nan) if few else np.concatenate([d[name] for d in drawn])
            for name in whole
        },
        (by, resamples, seed, normal_weight, sums.windows),
        sums.attacked,
        incidents_in(tables),
    )


def incidents_in(tables: Sequence[pl.DataFrame]) -> int:
    """How many different incidents these windows have."""
    return pl.concat([table["incidents"].explode() for table in tables]).drop_nulls().n_unique()


def _draws(sums: ClusterSums, resamples: int, seed: int) -> Iterator[Floats]:
    """How many of each sort of cluster are in each resample, some at a time [sorts, some]."""
    rng = np.random.default_rng(seed)
    sorts = sums.matrix.shape[1]
    small = sums.sort.astype(np.min_scalar_type(sorts))  # stays in the cache
    parts = np.split(small, np.cumsum(sums.blocks)[:-1])
    some = max(1, min(AT_A_TIME, NUMBERS // sum(sums.matrix.shape)))
    for first in range(0, resamples, some):
        times = np.zeros((min(some, resamples - first), sorts))
        for row in times:
            for part in parts:
                if size := len(part):
                    row += np.bincount(part[rng.integers(0, size, size)], minlength=sorts)
        yield np.ascontiguousarray(times.T)


def _statistics(sums: ClusterSums, times: Floats, normal_weight: float) -> dict[str, Floats]:
    """All metrics of resamples, by name [some]."""
    counts: Floats = sums.matrix @ times
    folds = []
    for start, stop in sums.folds:
        folds.append(ranking_values(RankedCounts.of(counts[start:stop]), normal_weight))
    found = {name: _mean_of_defined([fold[name] for fold in folds]) for name in folds[0]}
    for where, rows in sums.alerts.items():
        hits, false, positives, caught, incidents = counts[rows]
        raised = hits + normal_weight * false
        found[f"precision_at_{where}"] = _ratio(hits, raised)
        found[f"recall_at_{where}"] = _ratio(hits, positives)
        f1 = _ratio(2 * hits, raised + positives)
        found[f"f1_at_{where}"] = np.where((raised > 0) & (positives > 0), f1, np.nan)
        found[f"incident_recall_at_{where}"] = _ratio(caught, incidents)
    return found


def _mean_of_defined(folds: Sequence[Floats]) -> Floats:
    values = np.stack(folds)
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0))


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))


def _ends(values: Floats, confidence: float, n: float) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    far = stats.t.ppf((1 + confidence) / 2, n - 1) / np.sqrt(1 - 1 / n)
    low, high = np.quantile(defined, stats.norm.cdf([-far, far]))
    return float(low), float(high)


def _two_sided(gains: Floats, n: float) -> float:
    """The draw of the windows themselves counts as one more, so that it is never 0."""
    fewer = min(int((gains <= 0).sum()), int((gains >= 0).sum()))
    tail = min(1.0, 2 * (fewer + 1) / (len(gains) + 1)) / 2
    far = -stats.norm.ppf(tail) * np.sqrt(1 - 1 / n)
    return float(2 * stats.t.sf(far, n - 1))
