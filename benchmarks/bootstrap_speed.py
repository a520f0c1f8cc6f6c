"""Time of resampling: `python benchmarks/bootstrap_speed.py [--windows N] [--resamples B]`.

Two made-up detectors on the same windows of 1,000 users, 1 % of them risky: all metrics of one with
their intervals, then the other and the paired differences. Average precision of some resamples is
also worked out window by window with scikit-learn, to see that both agree and what that would take.
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from riskml.evaluation.measures.bootstrap import resample
from riskml.evaluation.measures.resampling import WAYS


def made(
    windows: int, users: int, share: float, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores of two detectors, the first one better; attacks come in runs of five windows."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, users, windows))
    runs = rng.choice(windows // 5, max(1, int(share * windows / 5)), replace=False)
    incident = np.full(windows, -1)
    for number, run in enumerate(runs):
        incident[5 * run : 5 * run + 5] = number
    risky = incident >= 0
    noise = rng.normal(size=windows) + rng.normal(size=users)[user] * 0.5
    table = pl.DataFrame(
        {
            "window_id": [f"{row:08d}" for row in range(windows)],
            "user_id": [f"user{number:06d}" for number in user],
            "label": risky.astype(np.int8),
            "incidents": pl.Series([[f"i{i}"] if i >= 0 else [] for i in incident]),
        },
        schema_overrides={"incidents": pl.List(pl.String)},
    ).with_columns(start=pl.lit(datetime(2024, 1, 1, tzinfo=UTC)))

    def scored(lead: float) -> pl.DataFrame:
        scores = (noise + 0.7 * rng.normal(size=windows) + lead * risky).astype(np.float32)
        high = scores >= np.quantile(scores, 0.99)
        return table.with_columns(
            score=pl.Series(scores), alert=pl.Series(high), within_budget=pl.Series(high)
        )

    return scored(2.5), scored(2.4)


def by_hand(table: pl.DataFrame, resamples: int) -> float:
    """Seconds that so many resamples take with scikit-learn."""
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    user = (table["user_id"].rank("dense") - 1).to_numpy()
    users = int(user.max()) + 1
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, users, users), minlength=users)
        average_precision_score(labels, scores, sample_weight=times[user])
    return time.perf_counter() - start


def main() -> None:
    """Print seconds and what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--windows", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--by", nargs="+", choices=WAYS, default=WAYS)
    given = parser.parse_args()
    one, other = made(given.windows, given.users, given.share)
    print(f"{given.windows:,} windows, {given.users:,} users, {one['label'].sum():,} risky")
    for by in given.by:
        start, busy = time.perf_counter(), time.process_time()
        first = resample([one], by=by, resamples=given.resamples)
        intervals = first.intervals()
        alone = time.perf_counter() - start
        second = resample([other], by=by, resamples=given.resamples)
        lead = first.above(second)["average_precision"]
        pair = time.perf_counter() - start
        found = intervals["average_precision"]
        print(
            f"by {by}: {given.resamples:,} resamples, {len(intervals)} metrics: "
            f"{alone:.1f} s for one detector, {pair:.1f} s for two and their differences "
            f"({time.process_time() - busy:.1f} s of a processor); "
            f"AP {first.values['average_precision']:.3f} [{found.low:.3f}, {found.high:.3f}], "
            f"lead {lead.value:.4f} [{lead.low:.4f}, {lead.high:.4f}], p {lead.p_value:.4f}"
        )
    hand = by_hand(one, 20) / 20 * given.resamples
    print(f"average precision alone with scikit-learn, from 20 resamples: {hand:.0f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GiB")


if __name__ == "__main__":
    main()
