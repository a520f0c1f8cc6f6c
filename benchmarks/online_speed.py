"""How many points a second forests score and learn: ours beside the packages that they come from.

    pip install rrcf==0.4.4 'setuptools<81'
    python benchmarks/online_speed.py
    python benchmarks/online_speed.py --points 20000 --features 63

Random points with a few odd ones, one stream after the other, one thread, seconds of CPU. The plain
package for robust random cuts forgets the oldest point of each tree, inserts the new one and reads
its collusive displacement, which is what its paper does; it is timed over `--peer` points, once its
trees are full. River's half-space trees have the same number of trees and height as ours. The bar:
5,000 points a second for robust random cuts, 40 trees of 256 points. The last column is the ROC-AUC
over the points that are timed, the odd ones being those that were moved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from riskml import HalfSpaceTreesDetector, PointStream, RRCFDetector
from riskml.core.types import FloatArray

TREES, SAMPLE, HEIGHT = 40, 256, 8
Scorer = Callable[[FloatArray], FloatArray]


def points_of(n: int, features: int) -> tuple[FloatArray, FloatArray]:
    """Points, and which of them are odd."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, features)).astype(np.float32)
    odd = rng.random(n) < 0.01
    points[odd, :2] += 4
    return points, odd


def ours(stream: PointStream) -> Scorer:
    """In blocks of 256, as a stream would come."""

    def score(points: FloatArray) -> FloatArray:
        parts = range(0, len(points), 256)
        return np.concatenate([stream.score(points[i : i + 256]) for i in parts])

    return score


def plain_rrcf() -> Scorer:
    """The package, each tree a window over the stream."""
    import rrcf

    forest, seen = [rrcf.RCTree(random_state=i) for i in range(TREES)], [0]

    def score(points: FloatArray) -> FloatArray:
        found = np.zeros(len(points))
        for row, point in enumerate(points.astype(np.float64)):
            number = seen[0]
            for tree in forest:
                if len(tree.leaves) >= SAMPLE:
                    tree.forget_point(number - SAMPLE)
                tree.insert_point(point, index=number)
                found[row] += tree.codisp(number) / TREES
            seen[0] += 1
        return found

    return score


def river_trees(features: int) -> Scorer:
    """River's, over features cut off at -6 and 6 and brought to between 0 and 1."""
    from river.anomaly import HalfSpaceTrees

    trees = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=SAMPLE, seed=0)

    def score(points: FloatArray) -> FloatArray:
        found = []
        for point in (np.clip(points, -6, 6) / 12 + 0.5).tolist():
            named = dict(enumerate(point))
            found.append(trees.score_one(named))
            trees.learn_one(named)
        return np.array(found)

    return score


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--peer", type=int, default=1_000, help="points of the plain package")
    given = parser.parse_args()
    torch.set_num_threads(1)
    points, odd = points_of(given.points, given.features)
    rrcf = PointStream(RRCFDetector(trees=TREES, sample=SAMPLE, memory=1024))
    spaces = PointStream(HalfSpaceTreesDetector(trees=TREES, height=HEIGHT, memory=1024))
    rows: list[tuple[str, Callable[[], Scorer], int]] = [
        ("robust random cuts, riskml", lambda: ours(rrcf), given.points),
        ("robust random cuts, rrcf", plain_rrcf, given.peer + SAMPLE),
        ("half-space trees, riskml", lambda: ours(spaces), given.points),
        ("half-space trees, River", lambda: river_trees(given.features), given.points // 5),
    ]
    print("| | points | points/s of CPU | ROC-AUC |\n|---|---:|---:|---:|")
    for name, make, n in rows:
        try:
            score = make()
        except ImportError as error:
            print(f"| {name} | not installed: {error.name} | | |")
            continue
        warm = 1024 if "riskml" in name else SAMPLE
        score(points[:warm])
        start = time.process_time()
        scores = score(points[warm:n])
        seconds = time.process_time() - start
        truth = odd[warm:n]
        print(
            f"| {name} | {n - warm:,} | {(n - warm) / seconds:,.0f} | "
            f"{roc_auc_score(truth, scores):.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
