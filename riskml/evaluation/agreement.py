"""How far two models agree about the same windows, without labels: ranks, alerts, users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from scipy import stats

from riskml.core.errors import DataError
from riskml.evaluation.measures.budgets import BUDGETS

KEYS = ("user_id", "window_start", "window_end")
COLUMNS = ("score", "risk", "alert")
A, B = "_a", "_b"
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Windows that both scored, matched by user and time; `score_a`, `score_b` and so on.

    Raises:
        DataError: there is none.
    """
    wanted = [*KEYS, *COLUMNS]
    table = (
        first.select(wanted)
        .join(second.select(wanted), on=KEYS, suffix=B, validate="1:1")
        .rename({name: name + A for name in COLUMNS})
        .sort("window_end", "user_id", "window_start")
    )
    if table.is_empty():
        raise DataError(
            f"none of {len(first):,} and {len(second):,} windows is of the same user and time: "
            "compare models with the same windows rule over the same events"
        )
    return table


def agreement(table: pl.DataFrame, budgets: Sequence[float] = BUDGETS) -> dict[str, Any]:
    """Ranks, alerts and distributions of windows as `joined` gives them; plain values.

    Args:
        table: of all windows that both scored.
        budgets: alerts a day per 1,000 users at which the highest windows are compared.
    """
    days = table["window_end"].dt.date().n_unique()
    alert_a, alert_b = table["alert_a"], table["alert_b"]
    return {
        "windows": len(table),
        "users": table["user_id"].n_unique(),
        "days": days,
        "spearman": _correlation(stats.spearmanr, table),
        "kendall": _correlation(stats.kendalltau, table),
        "overlap": [{"per_1000_users": k, "jaccard": overlap(table, k)} for k in budgets],
        "alerts_a_day": {
            "both": int((alert_a & alert_b).sum()) / days,
            "only_a": int((alert_a & ~alert_b).sum()) / days,
            "only_b": int((alert_b & ~alert_a).sum()) / days,
        },
        "distribution": {
            side: {
                name: [float(table[name + end].quantile(q, "linear") or 0.0) for q in QUANTILES]
                for name in ("score", "risk")
            }
            for side, end in (("a", A), ("b", B))
        },
        "quantiles": list(QUANTILES),
    }


def overlap(table: pl.DataFrame, budget: float) -> float | None:
    """Windows in both budgets as a share of those in either (Jaccard); None without room.

    The k × users / 1000 highest of each UTC day. As in `measures.budgets`, room that is no whole
    number and windows of one score count in part, each as often as it would be looked at.

    Args:
        table: as of `joined`.
        budget: alerts a day per 1,000 users.
    """
    room = budget * table["user_id"].n_unique() / 1000
    both, either = (
        table.select(a=_looked_at("score_a", room), b=_looked_at("score_b", room))
        .select(
            both=pl.min_horizontal("a", "b").sum(),
            either=pl.max_horizontal("a", "b").sum(),
        )
        .row(0)
    )
    return both / either if either > 0 else None


def _looked_at(score: str, room: float) -> pl.Expr:
    """How often each window is looked at, 0 to 1."""
    day = pl.col("window_end").dt.date()
    before = pl.col(score).rank("min", descending=True).over(day).cast(pl.Int64) - 1
    tied = pl.len().over(day, score)
    return ((room - before) / tied).clip(0, 1)


def moved_most(table: pl.DataFrame, users: int = 10) -> pl.DataFrame:
    """The window of each user whose risk differs most, the largest difference first.

    Args:
        table: as of `joined`.
        users: how many.
    """
    moved = (pl.col("risk_b") - pl.col("risk_a")).alias("moved")
    return (
        table.with_columns(moved)
        .sort(pl.col("moved").abs(), "window_end", descending=[True, False])
        .unique("user_id", keep="first", maintain_order=True)
        .filter(pl.col("moved") != 0)
        .head(users)
    )


def _correlation(measure: Any, table: pl.DataFrame) -> float | None:
    """Of ranks, ties as each measure handles them; None where a model scores all alike."""
    a, b = table["score_a"].to_numpy(), table["score_b"].to_numpy()
    if (a == a[0]).all() or (b == b[0]).all():
        return None
    return float(measure(a, b).statistic)
