"""What is found by looking at the k highest windows a day per 1,000 users.

The budget of a day is k × users / 1000, with the users who have a window in the test period; the
day is the UTC day on which a window ends. A budget that is no whole number stands for one alert
more on that share of days (2.4 a day: two alerts on 60 % of days, three on 40 %; 0.3 a day: one on
30 % of days), and windows of one score come in any order: both are means, exact and without a draw.
So more budget never finds less. (`DailyBudget.top` rounds, and under one alert a day takes the
highest of the whole period, for which one has to know what comes later.) A normal window that
stands for many counts as that many of its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import require_positive
from riskml.evaluation.measures.ranking import Floats
from riskml.evaluation.metrics import Metrics, checked, of_alerts

BUDGETS = (1, 5, 10, 20, 50)
"""Alerts a day per 1,000 users."""


@dataclass(frozen=True)
class Looked:
    """Sums over the days, one entry a budget.

    Args:
        hits: mean number of risky windows among those looked at.
        raised: how many windows are looked at.
        positives: how many are risky in all.
    """

    hits: Floats
    raised: Floats
    positives: float

    def __add__(self, other: Looked) -> Looked:
        return Looked(
            self.hits + other.hits, self.raised + other.raised, self.positives + other.positives
        )


def look(table: pl.DataFrame, budgets: Sequence[float], normal_weight: float = 1.0) -> Looked:
    """Spend each budget on a table of scores.

    Args:
        table: user_id, end, score and label, a row a window.
        budgets: alerts a day per 1,000 users.
        normal_weight: how many normal windows each normal one stands for.

    Raises:
        DataError: a label is not 0 or 1, or a score is not a finite number.
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    risky, scores, _ = checked(table["label"].to_numpy(), table["score"].to_numpy())
    day = table["end"].dt.date().rank("dense").to_numpy().astype(np.int64) - 1
    room = np.asarray(budgets, np.float64) * table["user_id"].n_unique() / 1000
    hits, raised = _spend(day, scores, risky, np.where(risky, 1.0, normal_weight), room)
    return Looked(hits, raised, float(risky.sum()))


def budget_metrics(
    tables: Sequence[pl.DataFrame],
    normal_weight: float = 1.0,
    budgets: Sequence[int] = BUDGETS,
) -> Metrics:
    """Precision, recall and F1 at budgets, and the cumulative recall of Tuor et al. (2017).

    CR-k is the sum of the recalls at all budgets up to and including k; here budgets go in steps of
    one alert a day per 1,000 users, so that it is at most k. The area is CR-k / k.

    Args:
        tables: one a fold, see `look`; their windows and days are counted together.
        normal_weight: how many normal windows each normal one stands for.
        budgets: alerts a day per 1,000 users.
    """
    highest = max(budgets)
    steps = [*range(1, highest + 1), *budgets]
    looked = look(tables[0], steps, normal_weight)
    for table in tables[1:]:
        looked += look(table, steps, normal_weight)
    metrics: Metrics = {}
    for budget, hits, raised in zip(
        budgets, looked.hits[highest:], looked.raised[highest:], strict=True
    ):
        for name, value in of_alerts(float(hits), float(raised), looked.positives).items():
            metrics[f"{name}_at_{budget}_per_1000_users"] = value
    total = float(looked.hits[:highest].sum())
    cumulative = total / looked.positives if looked.positives else None
    return metrics | {
        f"cumulative_recall_{highest}": cumulative,
        f"cumulative_recall_area_{highest}": None if cumulative is None else cumulative / highest,
    }


def _spend(
    day: npt.NDArray[np.int64],
    scores: npt.NDArray[np.floating],
    risky: npt.NDArray[np.bool_],
    weight: Floats,
    room: Floats,
) -> tuple[Floats, Floats]:
    """Hits and alerts when each day has so much room, both [len(room)]."""
    if not len(scores):
        return np.zeros(len(room)), np.zeros(len(room))
    order = np.lexsort((-scores, day))
    day, scores, risky, weight = day[order], scores[order], risky[order], weight[order]
    first = np.ones(len(scores), np.bool_)  # of its day, and of its score therein
    first[1:] = (np.diff(day) != 0) | (scores[1:] != scores[:-1])
    starts = np.flatnonzero(first)
    tied = np.add.reduceat(weight, starts)
    found = np.add.reduceat(risky.astype(np.float64), starts)
    whole = np.bincount(day, weight)
    before = np.cumsum(tied) - tied
    before -= (np.cumsum(whole) - whole)[day[starts]]
    with_hits = found > 0
    share = np.clip((room - before[with_hits, None]) / tied[with_hits, None], 0, 1)
    return found[with_hits] @ share, np.minimum(room, whole[:, None]).sum(axis=0)
