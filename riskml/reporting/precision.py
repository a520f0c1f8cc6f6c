"""How many of the judged alerts were confirmed, with how much doubt."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import polars as pl

from riskml.reporting.log_facts import TRUE

LEVEL = 0.95


@dataclass(frozen=True)
class Precision:
    """Of some alerts.

    Args:
        judged: how many have a verdict.
        confirmed: how many are true incidents.
    """

    judged: int
    confirmed: int

    @property
    def share(self) -> float | None:
        """None where nothing is judged."""
        return self.confirmed / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float]:
        """After Wilson (1927), of a share of independent draws.

        >>> [round(end, 3) for end in Precision(10, 7).interval]
        [0.397, 0.892]
        """
        if not self.judged:
            return 0.0, 1.0
        z = NormalDist().inv_cdf((1 + LEVEL) / 2)
        n, share = self.judged, self.confirmed / self.judged
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


def precision_of(alerts: pl.DataFrame) -> Precision:
    """Of alerts with a column `verdict`."""
    judged = alerts["verdict"].drop_nulls()
    return Precision(len(judged), int((judged == TRUE).sum()))
