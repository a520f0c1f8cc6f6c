"""From raw scores to p-values and a risk of 0 to 100, against a recent normal period."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from riskml.core.errors import DataError, reading

TAIL_SHARE = 0.02
"""The largest scores of the calibration period; beyond them the tail is an exponential."""

RISK_PER_DECADE = 25.0
"""Each time ten times rarer adds this much risk: 1 in 100 is 50, 1 in 10,000 is 100."""

Float64 = npt.NDArray[np.float64]


class Calibration:
    """The distribution of scores in the calibration period.

    Attributes:
        knots: ascending scores.
        exceedance: share of calibration windows at or above each knot.
        tail_scale: mean excess over the last knot; there the tail is exponential, so that risk
            keeps rising where no window has been seen (peaks over threshold, Pickands 1975).
    """

    def __init__(self, knots: Float64, exceedance: Float64, tail_scale: float) -> None:
        self.knots, self.exceedance, self.tail_scale = knots, exceedance, tail_scale

    @classmethod
    def fit(cls, scores: npt.ArrayLike, max_knots: int = 1000) -> Calibration:
        """Learn from the scores of the calibration period [n].

        Raises:
            DataError: fewer than 20 scores, or scores that are not finite.
        """
        values = np.sort(np.asarray(scores, np.float64))
        if len(values) < 20:
            raise DataError(
                f"the calibration period has {len(values)} windows, 20 are needed: "
                "lengthen it with data.split.calibration"
            )
        if not np.isfinite(values).all():
            raise DataError("calibration scores are not all finite numbers")
        tail_start = float(np.quantile(values, 1 - TAIL_SHARE))
        body = np.unique(values[values <= tail_start])
        if len(body) > max_knots:
            body = body[np.linspace(0, len(body) - 1, max_knots).astype(int)]
        at_or_above = len(values) - np.searchsorted(values, body, "left")
        excess = values[values > body[-1]] - body[-1]
        spread = float(np.std(values)) if values[0] < values[-1] else 1.0
        return cls(
            body,
            (at_or_above + 1) / (len(values) + 1),
            float(excess.mean()) if len(excess) else spread,
        )

    def p_value(self, scores: npt.ArrayLike) -> Float64:
        """Chance that a normal window scores as high [n]; falls strictly in the tail."""
        s = np.asarray(scores, np.float64)
        inside = np.interp(s, self.knots, self.exceedance)
        beyond = np.maximum(s - self.knots[-1], 0) / max(self.tail_scale, 1e-12)
        p: Float64 = np.where(
            beyond > 0, self.exceedance[-1] * np.exp(-np.minimum(beyond, 600)), inside
        )
        return p

    def risk(self, scores: npt.ArrayLike) -> Float64:
        """Risk of 0 to 100 [n], monotone in the score."""
        risk: Float64 = np.clip(-RISK_PER_DECADE * np.log10(self.p_value(scores)), 0, 100)
        return risk

    def save(self, path: Path) -> None:
        """Write JSON."""
        state = {
            "knots": self.knots.tolist(),
            "exceedance": self.exceedance.tolist(),
            "tail_scale": self.tail_scale,
        }
        path.write_text(json.dumps(state))

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            BundleError: missing or unreadable.
        """
        with reading(path):
            state = json.loads(path.read_text())
            return cls(
                np.asarray(state["knots"], np.float64),
                np.asarray(state["exceedance"], np.float64),
                float(state["tail_scale"]),
            )
