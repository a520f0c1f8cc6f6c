"""How often 95 % intervals hold the truth: `python benchmarks/bootstrap_coverage.py [--worlds N]`.

Worlds are drawn in which users differ, and incidents differ even more, so that windows are far from
independent. What is true is measured on one very large world; what is counted is in how many of the
small worlds its interval, and that of a paired difference of two detectors, holds it.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import numpy as np
import polars as pl

from riskml.evaluation.measures.bootstrap import resample
from riskml.evaluation.measures.resampling import INCIDENT, USER

METRICS = (
    "average_precision",
    "roc_auc",
    "recall_at_fpr_0.01",
    "precision_at_threshold",
    "recall_at_threshold",
    "incident_recall_at_threshold",
)
WINDOWS_OF_USER = 40
WINDOWS_OF_INCIDENT = 6
THRESHOLD = 3.0


def world(users: int, incidents: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores of two detectors, the second one a little worse."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), WINDOWS_OF_USER)
    attacked = np.repeat(rng.integers(0, users, incidents), WINDOWS_OF_INCIDENT)
    who = np.concatenate([user, attacked])
    risky = np.arange(len(who)) >= len(user)
    number = np.concatenate(
        [np.full(len(user), -1), np.repeat(np.arange(incidents), WINDOWS_OF_INCIDENT)]
    )
    strength = np.where(risky, rng.normal(2.2, 1.0, incidents)[number], 0.0)
    common = rng.normal(0, 0.5, users)[who] + strength + rng.normal(size=len(who))
    table = pl.DataFrame(
        {
            "window_id": [f"{row:08d}" for row in range(len(who))],
            "user_id": [f"user{each:07d}" for each in who],
            "label": risky.astype(np.int8),
            "incidents": pl.Series([[f"i{n:07d}"] if n >= 0 else [] for n in number]),
        },
        schema_overrides={"incidents": pl.List(pl.String)},
    ).with_columns(start=pl.lit(datetime(2024, 1, 1, tzinfo=UTC)))

    def scored(loss: float) -> pl.DataFrame:
        own = rng.normal(0, 0.3, incidents)[number] * risky  # each finds other incidents easy
        scores = common + own - loss * risky + 0.5 * rng.normal(size=len(who))
        high = pl.Series(scores >= THRESHOLD)
        return table.with_columns(score=pl.Series(scores), alert=high, within_budget=high)

    return scored(0.0), scored(0.15)


def main() -> None:
    """Print shares of intervals that hold the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--incidents", type=int, nargs="+", default=[8, 20, 60])
    given = parser.parse_args()
    for incidents in given.incidents:
        many = 100
        one, other = world(given.users * many, incidents * many, seed=10**6)
        large, behind = (resample([each], resamples=1).values for each in (one, other))
        held = {(by, what, name): 0 for by in (USER, INCIDENT) for what in "ad" for name in METRICS}
        for seed in range(given.worlds):
            pair = world(given.users, incidents, seed)
            for by in (USER, INCIDENT):
                first, second = (
                    resample([each], by=by, resamples=given.resamples) for each in pair
                )
                alone, leads = first.intervals(), first.above(second)
                for name in METRICS:
                    truth, gain = large[name], large[name] - behind[name]
                    interval, lead = alone.get(name), leads.get(name)
                    held[by, "a", name] += interval is not None and (
                        interval.low <= truth <= interval.high
                    )
                    held[by, "d", name] += lead is not None and lead.low <= gain <= lead.high
        print(f"{given.worlds} worlds of {given.users} users and {incidents} incidents; share held")
        print(f"{'':32}{'by user':>9}{'paired':>9}{'by incident':>13}{'paired':>9}")
        for name in METRICS:
            shares = [
                held[by, what, name] / given.worlds for by in (USER, INCIDENT) for what in "ad"
            ]
            print(
                f"{name:32}{shares[0]:9.1%}{shares[1]:9.1%}{shares[2]:13.1%}{shares[3]:9.1%}"
                f"   true {large[name]:.3f}, lead {large[name] - behind[name]:.4f}"
            )


if __name__ == "__main__":
    main()
