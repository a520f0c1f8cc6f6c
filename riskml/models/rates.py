"""How often things happen in groups of windows, and how unlikely so often is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

LEAST, MOST = 1.0, 200.0
"""Bounds of how many windows the rates of a group's parent weigh among its own."""

SPREAD_WINDOWS = 10.0
"""Windows that the spread common to all groups of a parent weighs among a group's own."""

SHAPES = (0.02, 1e4)
"""Bounds of the negative binomial's shape; at the upper one it is a Poisson distribution."""

_UNDERFLOW = 1e-280


def shrunk(
    x: Float64, group: Int64, parent: Int64, parent_mean: Float64
) -> tuple[Float64, Float64]:
    """Mean and variance of each group's counts, drawn to its parent's by empirical Bayes.

    The credibility of Bühlmann (1967): the parent weighs as many windows as the variance within
    groups is larger than that between them, feature by feature. The variance is that of a next
    window, so it holds how little is known of a group of few windows.

    Args:
        x: [n, d] counts of the windows.
        group: [n], 0 to groups - 1, none of them empty.
        parent: [groups] row of each group's parent.
        parent_mean: [parents, d].

    Returns:
        Mean and variance, each [groups, d].
    """
    n = np.bincount(group)[:, None].astype(np.float64)
    total = group_sums(x, group, len(n))
    above = parent_mean[parent]
    squares = group_sums((x - (total / n)[group]) ** 2, group, len(n))
    within = squares.sum(0) / max(len(x) - len(n), 1)
    between = ((n * (total / n - above) ** 2).sum(0) - len(n) * within) / len(x)
    windows = np.clip(within / np.maximum(between, within / MOST + 1e-12), LEAST, MOST)
    mean = (total + windows * above) / (n + windows)

    # every group's own mean is fitted, which costs it a degree of freedom
    free = n - 1
    common = (group_sums(squares, parent, len(parent_mean)) + SPREAD_WINDOWS * within) / (
        group_sums(free, parent, len(parent_mean)) + SPREAD_WINDOWS
    )
    spread = (squares + SPREAD_WINDOWS * common[parent]) / (free + SPREAD_WINDOWS)
    return mean, spread * (1 + 1 / (n + windows))


def group_sums(x: Float64, group: Int64, groups: int) -> Float64:
    """[n, d] → [groups, d]."""
    sums = np.zeros((groups, x.shape[1]))
    np.add.at(sums, group, x)
    return sums


def surprise_of_so_many(count: Float64, mean: Float64, variance: Float64) -> Float64:
    """−log P(X ≥ count) of a negative binomial, in nats, elementwise.

    Rises without end: where the probability is too small for a number, it is the logarithm of the
    leading term and of the geometric series that bounds the rest.

    Args:
        count: 0 or more, not necessarily whole; below 1 it is no surprise.
        mean: above 0.
        variance: where it is not above the mean, the distribution is all but Poisson.
    """
    shape = np.clip(mean**2 / np.maximum(variance - mean, 1e-12), *SHAPES)
    more = mean / (mean + shape)
    at_least = np.maximum(count, 1.0)
    tail = betainc(at_least, shape, more)
    leading = (
        at_least * np.log(more)
        + shape * np.log1p(-more)
        - betaln(at_least, shape)
        - np.log(at_least)
    )
    ratio = np.minimum(more * (at_least + shape) / (at_least + 1), 1 - 1e-6)
    far = leading - np.log1p(-ratio)
    log_tail = np.where(tail > _UNDERFLOW, np.log(np.maximum(tail, _UNDERFLOW)), far)
    surprise: Float64 = np.where(count < 1, 0.0, -log_tail)
    return surprise
