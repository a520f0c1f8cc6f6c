"""Whether promises are kept: alerts a day, p-values among normal windows, probabilities."""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.isotonic import IsotonicRegression

from riskml.core.errors import require_positive
from riskml.evaluation.measures.ranking import Floats
from riskml.evaluation.metrics import Metrics, checked

LEVELS = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Chances that the reliability table looks at."""

AT_LEVEL = 0.01
"""The level whose observed share is a metric of its own."""

PARTS = 5
"""Groups of users that the Brier score is cross-fitted over."""


def alerts_by_day(table: pl.DataFrame, promised: float | None = None) -> pl.DataFrame:
    """Alerts delivered on each UTC day on which a window ends, against those promised.

    Args:
        table: of scores: end, alert, and label where it is known.
        promised: alerts in all; spread evenly over the days. None where no number is promised.

    Returns:
        day (every one from first to last, also without windows), windows, alerts, true_alerts (null
        without labels), promised.
    """
    known = "label" in table.columns
    by_day = table.group_by(day=pl.col("end").dt.date()).agg(
        windows=pl.len().cast(pl.Int64),
        alerts=pl.col("alert").sum().cast(pl.Int64),
        true_alerts=(pl.col("alert") & (pl.col("label") == 1)).sum().cast(pl.Int64)
        if known
        else pl.lit(None, pl.Int64),
    )
    if not by_day.is_empty():
        by_day = by_day.sort("day").upsample("day", every="1d")
    counted = ["windows", "alerts", *(["true_alerts"] if known else [])]
    each = None if promised is None or by_day.is_empty() else promised / len(by_day)
    return by_day.with_columns(pl.col(counted).fill_null(0), promised=pl.lit(each, pl.Float64))


def reliability_table(table: pl.DataFrame) -> pl.DataFrame:
    """How many windows have a p-value up to a level, against the level itself.

    A p-value is the chance that a normal window scores as high, so that a share of 1 % of normal
    windows should have one of up to 1 %. Risky windows are left out where they are known; without
    labels all windows are in, and some more low p-values are to be expected.

    Args:
        table: of scores: p_value, and label where it is known.

    Returns:
        promised (the level), observed (the share), windows (with such a p-value), of (windows in
        all), ratio (observed / promised; above 1 there are more alarms than promised).
    """
    p = _normal_p_values(table)
    counts = [int((p <= level).sum()) for level in LEVELS]
    return pl.DataFrame(
        {"promised": LEVELS, "windows": counts},
        schema={"promised": pl.Float64, "windows": pl.Int64},
    ).select(
        "promised",
        observed=pl.col("windows") / pl.lit(len(p) or None, pl.Int64),
        windows="windows",
        of=pl.lit(len(p), pl.Int64),
        ratio=pl.col("windows") / pl.lit(len(p) or None, pl.Int64) / pl.col("promised"),
    )


def reliability_metrics(table: pl.DataFrame) -> Metrics:
    """Two numbers of the reliability table.

    Returns:
        `observed_at_p_0.01`: share of normal windows with a p-value of at most 1 %;
        `p_value_gap`: the largest distance between the shares of p-values up to a level and the
        level, over all levels (Kolmogorov and Smirnov).
    """
    p = np.sort(_normal_p_values(table))
    if not len(p):
        return {f"observed_at_p_{AT_LEVEL:g}": None, "p_value_gap": None}
    upto = np.arange(len(p) + 1) / len(p)
    gap = np.maximum(np.abs(upto[1:] - p), np.abs(upto[:-1] - p))
    return {
        f"observed_at_p_{AT_LEVEL:g}": float((p <= AT_LEVEL).mean()),
        "p_value_gap": float(gap.max()),
    }


def brier_metrics(table: pl.DataFrame, normal_weight: float = 1.0) -> Metrics:
    """Brier score of the probabilities that scores could give, if labels were at hand to fit them.

    A detector that has seen no labels gives no probability of an attack: 1 − p is the chance of a
    lower score, not of an attack, and no p-value tells how rare attacks are. So there is no Brier
    score of the detector as it stands. What is measured is what its scores are worth as
    probabilities: an isotonic regression of the labels on the scores, each window judged by the
    curve of four fifths of the users to whom its own user does not belong. As it uses test labels
    it is an `oracle_`.

    Args:
        table: of scores: user_id, score and label.
        normal_weight: how many normal windows each normal one stands for.

    Returns:
        `oracle_brier`: mean squared distance of probability and label;
        `oracle_brier_skill`: 1 − that over the same for the prevalence given to every window; 1 for
        perfect, 0 for no better than knowing how rare attacks are, below 0 for worse. None where
        fewer than two users have risky windows or none has a normal one.

    Raises:
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    risky, scores, _ = checked(table["label"].to_numpy(), table["score"].to_numpy())
    weight = np.where(risky, 1.0, normal_weight)
    part = _parts(table["user_id"], risky)
    names: Metrics = dict.fromkeys(("oracle_brier", "oracle_brier_skill"))
    if len(np.unique(part[risky])) < 2 or risky.all():
        return names
    chance, constant = np.empty(len(risky)), np.empty(len(risky))
    for one in np.unique(part):
        own, rest = part == one, part != one
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        fitted.fit(_places(scores)[rest], risky[rest], sample_weight=weight[rest])
        chance[own] = fitted.predict(_places(scores)[own])
        constant[own] = np.average(risky[rest], weights=weight[rest])
    brier = float(np.average((chance - risky) ** 2, weights=weight))
    reference = float(np.average((constant - risky) ** 2, weights=weight))
    return {"oracle_brier": brier, "oracle_brier_skill": 1 - brier / reference}


def _parts(users: pl.Series, risky: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """The part of each window's user; users with risky windows are dealt out first."""
    by_user = (
        pl.DataFrame({"user": users, "risky": risky})
        .group_by("user")
        .agg(pl.col("risky").any())
        .sort("risky", "user", descending=[True, False])
        .with_columns(part=pl.int_range(pl.len()) % PARTS)
    )
    parts = users.replace_strict(by_user["user"], by_user["part"], return_dtype=pl.Float64)
    return np.asarray(parts.to_numpy(), np.float64)


def _places(scores: np.ndarray[tuple[int], np.dtype[np.floating]]) -> Floats:
    """The place of each score among the distinct ones: huge and tiny scores are not rounded."""
    places: Floats = np.unique(scores, return_inverse=True)[1].astype(np.float64)
    return places


def _normal_p_values(table: pl.DataFrame) -> Floats:
    normal = table.filter(pl.col("label") == 0) if "label" in table.columns else table
    return np.asarray(normal["p_value"].to_numpy(), np.float64)
