"""A detector inside another: how it is fitted, read as evidence, explained and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from riskml.core.errors import DataError, require
from riskml.core.types import FloatArray, IntArray, Windows
from riskml.models.base import Detector, dotted, load_detector
from riskml.models.turns import Int64
from riskml.scoring.calibration import FEWEST, Calibration
from riskml.scoring.sentences import ACTION

Float64 = npt.NDArray[np.float64]

FitPart = Callable[[Detector, Windows, Windows, str], object]
"""Fits a part on train and later windows; its last argument is what to call it."""

HELD_OUT = 5
"""Without later windows, one in so many train windows, the last, is kept for calibration."""


def fit_plainly(detector: Detector, windows: Windows, later: Windows, title: str) -> object:
    """Fit as the detector does by itself."""
    return detector.fit(windows, later)


def in_two(windows: Windows, later: Windows | None) -> tuple[Windows, Windows]:
    """Windows to fit on and later ones to calibrate on.

    Args:
        windows: of the train period.
        later: of the calibration period; without it, the last fifth of the train windows is held
            out, since scores of windows fitted on are too low to compare others with.

    Raises:
        DataError: too few windows to hold any out.
    """
    if later is not None:
        return windows, later
    held_out = max(len(windows) // HELD_OUT, FEWEST)
    if len(windows) < 2 * held_out:
        raise DataError(
            f"{len(windows)} windows are too few to be fitted and calibrated on: give "
            f"{2 * FEWEST} or more, or later ones as `validation`"
        )
    order = np.argsort(windows.keys["end"].to_numpy(), kind="stable")
    return windows.take(order[:-held_out]), windows.take(order[-held_out:])


def evidence_of(scores: npt.ArrayLike, calibration: Calibration) -> Float64:
    """−log10 of the p-values of scores, float64 [n]: 2 is one normal window in a hundred."""
    evidence: Float64 = -np.log10(calibration.p_value(scores))
    return evidence


def unfitted(detector: Detector) -> Detector:
    """Another with the same arguments."""
    from sklearn.base import clone

    made: Detector = clone(detector)
    return made


def checked(setting: str, detector: object) -> Detector:
    """The detector, if it is one.

    Raises:
        ConfigError: it is something else.
    """
    require(setting, detector, isinstance(detector, Detector), "must be a detector")
    assert isinstance(detector, Detector)
    return detector


def described(detector: Detector) -> dict[str, Any]:
    """Class and settings as plain values."""
    return {"_target_": dotted(type(detector)), **detector.settings()}


def title_of(detector: Detector) -> str:
    """A short name for people and folders."""
    settings = detector.settings()
    return str(settings.get("algorithm") or type(detector).__name__.removesuffix("Detector"))


class Part:
    """A fitted detector and its distribution of scores on later, normal windows."""

    def __init__(self, detector: Detector, calibration: Calibration) -> None:
        self.detector, self.calibration = detector, calibration

    @classmethod
    def fit(cls, detector: Detector, windows: Windows, later: Windows, fit_part: FitPart) -> Self:
        """Fit another like `detector`, which stays as it is."""
        fitted = unfitted(detector)
        fit_part(fitted, windows, later, title_of(fitted))
        return cls(fitted, Calibration.fit(fitted.score(later)))

    def with_detector(self, change: Callable[[Detector], Detector]) -> Part:
        """The same distribution of scores for a changed detector."""
        return Part(change(self.detector), self.calibration)

    def evidence(self, windows: Windows, past: Windows | None = None) -> Float64:
        """−log10 of the p-value of each window, float64 [n]."""
        if past is None or not self.detector.remembers:
            return evidence_of(self.detector.score(windows), self.calibration)
        return evidence_of(self.detector.score_after(past, windows), self.calibration)

    def fitted_evidence(self) -> Float64:
        """Of the windows fitted on, each among all of them, since their scores are lower."""
        scores = self.detector.decision_scores_
        return evidence_of(scores, Calibration.fit(scores))

    def topics(self) -> list[str]:
        """What the columns of `split` are about.

        Each action where the detector's parts are a window's actions; the detector's title where
        it has no parts.
        """
        topics = self.detector.topics()
        if topics is None:
            return [ACTION + action for action in self.detector.spec_.actions]
        return topics or [title_of(self.detector)]

    def split(
        self, amount: Float64, past: Windows | None, windows: Windows, rows: Int64
    ) -> FloatArray:
        """Amounts by topic, float32 [rows, topics], in proportion to what raised the score.

        Args:
            amount: float64 [rows], the sum of each.
            past: as for `Detector.contributions_after`.
            windows: as they were scored.
            rows: which of them are asked for.
        """
        topics = self.detector.topics()
        if topics == []:
            return amount[:, None].astype(np.float32)
        shares = self.detector.contributions_after(past, windows, rows).astype(np.float64)
        if topics is None:
            shares = _by_action(shares, windows.tokens[rows], len(windows.spec.actions))
        raising = np.maximum(shares, 0)
        raising[raising.sum(1) == 0] = 1
        raising *= (amount / raising.sum(1))[:, None]
        return raising.astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the detector into a folder of its own, and its curve beside it."""
        self.detector.save(folder / "detector")
        self.calibration.save(folder / "calibration.json")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector = load_detector(folder / "detector")
        return cls(detector, Calibration.load(folder / "calibration.json"))


def _by_action(shares: Float64, tokens: IntArray, actions: int) -> Float64:
    """Shares of the actions in order [rows, L] summed by action, [rows, actions]."""
    summed = np.zeros((len(shares), actions))
    places = np.arange(len(shares))[:, None], tokens[:, : shares.shape[1]]
    np.add.at(summed, places, shares)
    return summed
