"""How scores are read: whose curve makes the risk, what alerts go by, who is new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt
import polars as pl

from riskml.core.errors import require
from riskml.scoring.calibration import FEWEST, P_VALUE, SCORE, Calibration


@dataclass(frozen=True)
class ScoringSettings:
    """Settings of calibration and of new users.

    Args:
        peer_windows: calibration windows from which on a peer group has a curve of its own; null:
            everyone's curve for all.
        alert_by: `score`, or `p_value` among the peers, which spreads alerts evenly over roles.
        learning_windows: users with fewer windows in the train period are new: their windows are
            marked `learning`; 0 marks nobody.

    Raises:
        ConfigError: a setting is impossible.
    """

    peer_windows: int | None = 200
    alert_by: str = SCORE
    learning_windows: int = 10

    def __post_init__(self) -> None:
        fits = self.peer_windows is None or self.peer_windows >= FEWEST
        require("scoring.peer_windows", self.peer_windows, fits, f"must be at least {FEWEST}")
        fits = self.alert_by in (SCORE, P_VALUE)
        require("scoring.alert_by", self.alert_by, fits, f"must be {SCORE} or {P_VALUE}")
        fits = self.learning_windows >= 0
        require("scoring.learning_windows", self.learning_windows, fits, "must be 0 or more")

    def calibrate(self, scores: npt.ArrayLike, peers: pl.Series) -> Calibration:
        """Learn the curves from calibration windows.

        Args:
            scores: [n].
            peers: the peer group of each [n].

        Raises:
            DataError: fewer than 20 scores, or scores that are not finite.
        """
        everyone = Calibration.fit(scores)
        fewest = len(peers) + 1 if self.peer_windows is None else self.peer_windows
        return everyone.with_peers(scores, peers, fewest, self.alert_by)
