"""Upper tails of counts under the user and under the peers: the baseline that knows no patterns.

A day is odd where something happened oftener than is likely for the user, and than is likely for
the user's peers too. So a new kind of work does not alarm as long as colleagues do it, nor does
what only one user does every day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import DataError, reading, require
from riskml.core.types import PEER, FeatureKind, FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.rates import Float64, Int64, shrunk, surprise_of_so_many
from riskml.models.tables import Kinds

ARRAYS = "counts.safetensors"

LEAST_SPREAD = 0.2
"""Of a feature's evidence in training: what never happened there is no stranger than this."""


class CountsDetector(Detector):
    """Scores a window by its `top_k` most surprising counts.

    The evidence of a count is the lesser of two surprises −log P(X ≥ count), under the user's
    negative binomial and under the peer group's; of a binary feature −log P(1), Bernoulli. Rates
    are drawn to the parent's by empirical Bayes: those of users to their peers', those of peers to
    everybody's. A user not known is judged by the peers alone, peers not known by everybody.
    The logarithm of the evidence, less its mean over the train windows and in units of its spread
    there, makes a part; the score is the mean of the k largest. So a kind of event that is odd
    every other day weighs little, and one far tail does not outweigh several.

    Counts and binary features make the score, others are not looked at.

    Args:
        top_k: counts that make the score; 0 takes the mean of all.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self, top_k: int = 8, contamination: float = 0.1, kinds: Kinds | None = None
    ) -> None:
        self.expect(contamination, kinds)
        require("top_k", top_k, top_k >= 0, "must be 0 (the mean of all) or more")
        self.top_k = top_k

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"top_k": self.top_k, "contamination": self.contamination, "kinds": self.kinds}

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Learn the rates of everybody, of each peer group and of each user.

        Raises:
            DataError: no feature is a count or binary.
        """
        self.spec_ = windows.spec
        x = self._counted(windows)
        if not x.shape[1]:
            raise DataError("CountsDetector needs counts or binary features, and there are none")
        last = windows.keys.sort("end").group_by("user_id").agg(pl.col(PEER).last()).sort("user_id")
        peers = windows.keys[PEER].unique().sort().to_list()
        # row 0 is everybody, then peer groups, then users
        self.peers_ = {name: i + 1 for i, name in enumerate(peers)}
        self.users_ = {name: i + 1 + len(peers) for i, name in enumerate(last["user_id"].to_list())}

        everybody = ((x.sum(0) + 0.5) / (len(x) + 1))[None]
        nobody = np.zeros(len(peers), np.int64)
        user, peer = self._rows(windows)
        peer_rates = shrunk(x, peer - 1, nobody, everybody)
        parent = last[PEER].replace_strict(self.peers_, return_dtype=pl.Int64).to_numpy() - 1
        user_rates = shrunk(x, user - 1 - len(peers), parent, peer_rates[0])
        self.mean_ = np.vstack([everybody, peer_rates[0], user_rates[0]])
        self.variance_ = np.vstack([x.var(0), peer_rates[1], user_rates[1]])

        evidence = self._log_evidence(windows)
        self.usual_ = evidence.mean(0)
        self.spread_ = np.maximum(evidence.std(0), LEAST_SPREAD)

    def _counted(self, windows: Windows) -> Float64:
        """Counts, then binary features, float64 [n, columns]."""
        return np.maximum(windows.x[:, self._columns()].astype(np.float64), 0)

    def _columns(self) -> Int64:
        counts, binary = (self.spec_.columns(k) for k in (FeatureKind.COUNT, FeatureKind.BINARY))
        return np.concatenate([counts, binary])

    def _rows(self, windows: Windows) -> tuple[Int64, Int64]:
        """Of each window's user and peer group in the rates; the next known one up if unknown."""
        rows = windows.keys.select(
            pl.col("user_id").replace_strict(self.users_, default=0, return_dtype=pl.Int64),
            pl.col(PEER).replace_strict(self.peers_, default=0, return_dtype=pl.Int64),
        )
        user, peer = rows["user_id"].to_numpy(), rows[PEER].to_numpy()
        return np.where(user > 0, user, peer), peer

    def _log_evidence(self, windows: Windows) -> Float64:
        """log(1 + evidence) of each column, float64 [n, columns]."""
        x = self._counted(windows)
        least = np.minimum(*(self._surprise(x, rows) for rows in self._rows(windows)))
        evidence: Float64 = np.log1p(least)
        return evidence

    def _surprise(self, x: Float64, rows: Int64) -> Float64:
        counts = len(self.spec_.columns(FeatureKind.COUNT))
        mean, variance = self.mean_[rows], self.variance_[rows]
        often = surprise_of_so_many(x[:, :counts], mean[:, :counts], variance[:, :counts])
        at_all = np.where(x[:, counts:] > 0.5, -np.log(np.minimum(mean[:, counts:], 1.0)), 0.0)
        return np.hstack([often, at_all])

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]: mean of the k largest parts, in spreads of the train windows."""
        scores: FloatArray = self.contributions(windows).sum(1)
        return scores

    def contributions(self, windows: Windows) -> FloatArray:
        """Of each feature: 1/k of its part if it is among the k largest, float32 [n, d]."""
        self.check_spec(windows)
        shares = np.zeros(windows.x.shape, np.float32)
        if not len(windows):
            return shares
        parts = (self._log_evidence(windows) - self.usual_) / self.spread_
        k = min(self.top_k or parts.shape[1], parts.shape[1])
        places = np.argsort(-parts, axis=1, kind="stable")[:, :k]
        rows = np.arange(len(parts))[:, None]
        shares[rows, self._columns()[places]] = parts[rows, places] / k
        return shares

    def topics(self) -> list[str]:
        """Feature topics, one a contribution."""
        return [feature.topic for feature in self.spec_.features]

    def save(self, folder: Path) -> None:
        """Write `detector.json` and the rates as safetensors."""
        write_state(folder, self, users=list(self.users_), peers=list(self.peers_))
        arrays = {
            "mean": self.mean_,
            "variance": self.variance_,
            "usual": self.usual_,
            "spread": self.spread_,
        }
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / ARRAYS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / ARRAYS):
            detector.peers_ = {name: i + 1 for i, name in enumerate(state["peers"])}
            first = 1 + len(detector.peers_)
            detector.users_ = {name: i + first for i, name in enumerate(state["users"])}
            arrays = load_file(folder / ARRAYS)
            detector.mean_, detector.variance_ = arrays["mean"], arrays["variance"]
            detector.usual_, detector.spread_ = arrays["usual"], arrays["spread"]
        return detector
