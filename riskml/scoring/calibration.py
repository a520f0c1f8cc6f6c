"""From raw scores to p-values and a risk of 0 to 100, against a recent normal period."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError, reading

TAIL_SHARE = 0.02
"""The largest scores of the calibration period; beyond them the tail is an exponential."""

FEWEST = 20
"""Scores that a curve needs."""

RISK_PER_DECADE = 25.0
"""Each time ten times rarer adds this much risk: 1 in 100 is 50, 1 in 10,000 is 100."""

Float64 = npt.NDArray[np.float64]


SCORE, P_VALUE = "score", "p_value"
"""What alerts can be decided by."""


class Calibration:
    """The distribution of scores in the calibration period, of everyone and by peer group.

    Attributes:
        knots: ascending scores.
        exceedance: share of calibration windows at or above each knot.
        tail_scale: mean excess over the last knot; there the tail is exponential, so that risk
            keeps rising where no window has been seen (peaks over threshold, Pickands 1975).
        peers: curves of the peer groups that have one of their own.
        alert_by: `score` or `p_value`, see `evidence`.
    """

    def __init__(
        self,
        knots: Float64,
        exceedance: Float64,
        tail_scale: float,
        peers: Mapping[str, Calibration] | None = None,
        alert_by: str = SCORE,
    ) -> None:
        self.knots, self.exceedance, self.tail_scale = knots, exceedance, tail_scale
        self.peers, self.alert_by = dict(peers or {}), alert_by

    @classmethod
    def fit(cls, scores: npt.ArrayLike, max_knots: int = 1000) -> Calibration:
        """Learn everyone's curve from the scores of the calibration period [n].

        Raises:
            DataError: fewer than 20 scores, or scores that are not finite.
        """
        values = np.sort(np.asarray(scores, np.float64))
        if len(values) < FEWEST:
            raise DataError(
                f"the calibration period has {len(values)} windows, {FEWEST} are needed: "
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

    def with_peers(
        self, scores: npt.ArrayLike, peers: pl.Series, min_windows: int, alert_by: str = SCORE
    ) -> Calibration:
        """The same with a curve for each peer group of enough calibration windows.

        Args:
            scores: of the calibration period [n].
            peers: the peer group of each [n].
            min_windows: smaller groups go by everyone's curve; at least 20.
            alert_by: see `evidence`.
        """
        values, names = np.asarray(scores, np.float64), peers.to_numpy()
        counts = peers.value_counts().sort(peers.name).iter_rows()
        enough = [name for name, n in counts if n >= max(min_windows, FEWEST)]
        curves = {name: Calibration.fit(values[names == name]) for name in enough}
        return Calibration(self.knots, self.exceedance, self.tail_scale, curves, alert_by)

    def p_value(self, scores: npt.ArrayLike, peers: pl.Series | None = None) -> Float64:
        """Chance that a normal window scores as high [n]; falls strictly in the tail.

        Args:
            scores: [n].
            peers: the peer group of each: then among windows of that group, where it has a curve
                of its own.
        """
        s = np.asarray(scores, np.float64)
        inside = np.interp(s, self.knots, self.exceedance)
        beyond = np.maximum(s - self.knots[-1], 0) / max(self.tail_scale, 1e-12)
        p: Float64 = np.where(
            beyond > 0, self.exceedance[-1] * np.exp(-np.minimum(beyond, 600)), inside
        )
        if peers is not None and self.peers:
            names = peers.to_numpy()
            for name, curve in self.peers.items():
                rows = np.flatnonzero(names == name)
                if len(rows):
                    p[rows] = curve.p_value(s[rows])
        return p

    def risk(self, scores: npt.ArrayLike, peers: pl.Series | None = None) -> Float64:
        """Risk of 0 to 100 [n], monotone in the score of everyone, or of one peer group."""
        return risk_of(self.p_value(scores, peers))

    def evidence(self, scores: npt.ArrayLike, peers: pl.Series) -> Float64:
        """What thresholds act on [n]: the score, or −log10 of the p-value among the peers."""
        if self.alert_by == SCORE:
            return np.asarray(scores, np.float64)
        evidence: Float64 = -np.log10(self.p_value(scores, peers))
        return evidence

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        peers = {name: curve._curve() for name, curve in self.peers.items()}
        return {**self._curve(), "peers": peers, "alert_by": self.alert_by}

    def _curve(self) -> dict[str, Any]:
        return {
            "knots": self.knots.tolist(),
            "exceedance": self.exceedance.tolist(),
            "tail_scale": self.tail_scale,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Calibration:
        """Read what `to_dict` gave; from before there were curves of peer groups too."""
        peers = {name: cls(*_curve(part)) for name, part in state.get("peers", {}).items()}
        alert_by = state.get("alert_by", SCORE)
        if alert_by not in (SCORE, P_VALUE):
            raise ValueError(f"alert_by is '{alert_by}'")
        return cls(*_curve(state), peers, alert_by)

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(self.to_dict(), ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            BundleError: missing or unreadable.
        """
        with reading(path):
            return cls.from_dict(json.loads(path.read_text()))


def risk_of(p_values: Float64) -> Float64:
    """The risk of 0 to 100 that p-values mean [n]."""
    risk: Float64 = np.clip(-RISK_PER_DECADE * np.log10(p_values), 0, 100)
    return risk


def _curve(state: dict[str, Any]) -> tuple[Float64, Float64, float]:
    """Raises ValueError where knots do not rise, or shares and scale are none."""
    knots = np.asarray(state["knots"], np.float64)
    exceedance = np.asarray(state["exceedance"], np.float64)
    tail_scale = float(state["tail_scale"])
    if not len(knots) or knots.shape != exceedance.shape or not (np.diff(knots) > 0).all():
        raise ValueError("knots must rise, each with its exceedance")
    shares = ((exceedance > 0) & (exceedance <= 1)).all()
    if not (np.isfinite(knots).all() and shares and 0 <= tail_scale < np.inf):
        raise ValueError("knots, exceedance and tail scale must be such numbers")
    return knots, exceedance, tail_scale
