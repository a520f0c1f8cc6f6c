"""Whether a rule for alerts decides by the past and by scores alone; see docs/traps.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from riskml.evaluation.checks.findings import OK, REFUSED, Finding
from riskml.evaluation.checks.probes import ANOTHER_CALENDAR, KEYS, Float64, Mask
from riskml.scoring.thresholds import Threshold

RULE = "threshold"


@dataclass(frozen=True)
class Evidence:
    """What a rule is shown.

    Args:
        before, keys: of calibration and test windows, without what a rule has no use for.
        calibration, test: what it decides by, one a window.
    """

    before: pl.DataFrame
    keys: pl.DataFrame
    calibration: Float64
    test: Float64


def rule_findings(
    name: str, rule: Threshold, evidence: Evidence, alerts: Mask, top: Mask
) -> list[Finding]:
    """Whether the alerts hold.

    Args:
        name: of the detector.
        rule: for alerts.
        evidence: what the rule was shown.
        alerts: windows over the threshold.
        top: windows that the budget has room for.
    """
    wrong = []
    days = evidence.keys["end"].dt.date()
    for mask, what in ((alerts, "alerts"), (top, "windows within the budget")):
        if not _by_score(evidence.test, days, mask):
            wrong.append(f"on the same day, {what} have lower scores than others that are none")
    if how := _not_causal(rule, evidence, alerts, days):
        wrong.append(how)
    if wrong:
        return [Finding(RULE, REFUSED, f"the rule for alerts: {'; '.join(wrong)}", name)]
    text = "alerts go by the scores and by what came before, whatever the windows are called"
    return [Finding(RULE, OK, text, name)]


def _by_score(scores: Float64, days: pl.Series, chosen: Mask) -> bool:
    """Whether on each day all that is chosen scores at least as high as what is not."""
    table = pl.DataFrame({"day": days, "score": np.asarray(scores, np.float64), "chosen": chosen})
    by_day = table.group_by("day").agg(
        pl.col("score").filter(pl.col("chosen")).min().alias("lowest"),
        pl.col("score").filter(~pl.col("chosen")).max().alias("highest"),
    )
    return not by_day.select((pl.col("lowest") < pl.col("highest")).any()).item()


def _not_causal(rule: Threshold, evidence: Evidence, alerts: Mask, days: pl.Series) -> str:
    """How alerts of the first days differ where later days are not there; empty: they do not."""
    last = days.unique().sort()
    cut = last[(len(last) - 1) // 2]
    first = np.flatnonzero((days <= cut).to_numpy())
    rng = np.random.default_rng(len(first))
    views = (
        (rng.permutation(first), "windows of the first days", "later days are not there and "),
        (rng.permutation(len(days)), "windows", ""),
    )
    users = pl.concat([evidence.before["user_id"], evidence.keys["user_id"]]).unique().sort()
    for rows, which, without in views:
        before, keys = (_elsewhere(e, users) for e in (evidence.before, evidence.keys[rows]))
        try:
            alerting = rule.start(evidence.calibration, before)
            again, _ = alerting.decide(evidence.test[rows], keys)
        except Exception as error:  # one that looks something up may fail in any way
            return (
                "it fails where windows come alone, under other ids, users and dates "
                f"({type(error).__name__}: {' '.join(str(error).split())})"
            )
        differing = int((np.asarray(again, bool) != alerts[rows]).sum())
        if differing:
            return (
                f"{differing:,} of {len(rows):,} {which} are decided otherwise where {without}"
                "windows have other ids, users and dates: it has seen the test period"
            )
    return ""


def _elsewhere(keys: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    """The same at another date, under other ids; users keep their order."""
    ids = [f"window-{row}" for row in range(len(keys))]
    names = {user: f"user-{place:09d}" for place, user in enumerate(users)}
    return keys.select(KEYS).with_columns(
        pl.Series("window_id", ids, pl.String),
        pl.col("user_id").replace_strict(names, return_dtype=pl.String),
        pl.col("start", "end") + ANOTHER_CALENDAR,
    )
