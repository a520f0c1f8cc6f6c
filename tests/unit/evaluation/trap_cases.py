"""An honest data set for the traps, an honest detector, and detectors that cheat."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from evaluation_cases import MakeWindows, truth_of
from scipy.stats import rankdata

from riskml.core.types import FloatArray, Windows
from riskml.evaluation.checks.findings import OK
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.scoring.thresholds import DailyBudget, Threshold

LEVEL = 3
RISKY = [12, 13, 14, 31, 40, 77, 90, 91, 120, 133, 150, 151]
"""Rows of the 200 test windows; what is risky has a higher `level`."""


def fair(make_windows: MakeWindows, rows: list[int] = RISKY, **settings: Any) -> PreparedWindows:
    """Ten windows a day of five users: 25 days of training, 10 of calibration, 20 of test."""
    train = make_windows(250, seed=1, users=4, **settings)
    calibration = make_windows(100, seed=2, users=5, first_day=25, **settings)
    test = make_windows(200, seed=3, users=5, first_day=35, **settings)
    x = test.x.copy()
    x[rows, LEVEL] += 2
    test = replace(test, x=x)
    return PreparedWindows(
        train, calibration, test, truth_of(test, {row: [f"i{row}"] for row in rows})
    )


def labels(windows: PreparedWindows) -> np.ndarray:
    assert windows.test_truth is not None
    return windows.test_truth["label"].to_numpy()


def judged(
    detector: Detector,
    windows: PreparedWindows,
    rule: Threshold | None = None,
    audit: str = "standard",
) -> Evaluation:
    """The evaluation of a detector that has been fitted as it should be."""
    detector.fit(windows.train, windows.calibration)
    return evaluate_detector("it", detector, windows, rule or DailyBudget(1), audit=audit)


def bad(evaluation: Evaluation) -> dict[str, str]:
    """Verdict by trap, of what was found in the detector and is not fine."""
    return {
        finding.trap: finding.verdict
        for finding in evaluation.findings
        if finding.verdict != OK and finding.detector is not None
    }


class Honest(Detector):
    """The level of a window."""

    def __init__(self) -> None:
        self.expect(0.1, None)

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        self.spec_ = windows.spec

    def score(self, windows: Windows) -> FloatArray:
        return windows.x[:, LEVEL].copy()

    def settings(self) -> dict[str, Any]:
        return {}

    def arguments(self) -> dict[str, Any]:
        return dict(self.__dict__.get("given", {}))

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


class HonestMemory(Honest):
    """How far the level is above the mean of the user's windows before; then it is learnt."""

    remembers = True

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        self.spec_, self.sums_ = windows.spec, {}
        self._walk(windows, self.sums_)

    def score(self, windows: Windows) -> FloatArray:
        return self._walk(windows, dict(self.sums_))

    def score_after(self, past: Windows, windows: Windows) -> FloatArray:
        sums = dict(self.sums_)
        self._walk(past, sums)
        return self._walk(windows, sums)

    def _walk(self, windows: Windows, sums: dict[str, tuple[float, int]]) -> FloatArray:
        scores = np.zeros(len(windows), np.float32)
        order = np.argsort(windows.keys["end"].to_numpy(), kind="stable")
        users = self.whose(windows)
        for row in order:
            total, count = sums.get(users[row], (0.0, 0))
            level = float(windows.x[row, LEVEL])
            scores[row] = level - total / max(count, 1)
            sums[users[row]] = (total + level, count + 1)
        return scores

    def whose(self, windows: Windows) -> list[str]:
        return windows.keys["user_id"].to_list()


class HonestCrowd(HonestMemory):
    """The same above the mean of everybody's windows before."""

    learns_from_everybody = True

    def whose(self, windows: Windows) -> list[str]:
        return [""] * len(windows)


class LearnsBeforeItScores(HonestMemory):
    """Knows the mean of all the user's windows, those to come among them."""

    def score_after(self, past: Windows, windows: Windows) -> FloatArray:
        sums = dict(self.sums_)
        for part in (past, windows):
            self._walk(part, sums)
        return self._walk(windows, sums)


class LearnsFromTheCrowdToCome(LearnsBeforeItScores, HonestCrowd): ...


class LooksAhead(Honest):
    """The higher of the window's level and that of the user's next."""

    def score(self, windows: Windows) -> FloatArray:
        frame = windows.keys.select("user_id", "end", level=windows.x[:, LEVEL]).with_row_index()
        later = pl.max_horizontal("level", pl.col("level").shift(-1)).over("user_id")
        return frame.sort("end").with_columns(later).sort("index")["level"].to_numpy()


class AwaitsTheTrace(HonestMemory):
    """Waits for what a user does after an attack, and only then says so of the day before."""

    def _walk(self, windows: Windows, sums: dict[str, tuple[float, int]]) -> FloatArray:
        scores = super()._walk(windows, sums)
        frame = windows.keys.select("user_id", "end", level=windows.x[:, LEVEL]).with_row_index()
        later = frame.sort("end").with_columns(pl.col("level").shift(-1).over("user_id"))
        trace = later.sort("index")["level"].fill_null(0).to_numpy()
        return np.where(trace > 2.5, scores + 10, scores).astype(np.float32)


class RankAmongAll(Honest):
    """The place of a window among those scored beside it."""

    def score(self, windows: Windows) -> FloatArray:
        return rankdata(windows.x[:, LEVEL]).astype(np.float32)


class RankOfTheDay(Honest):
    """The place of a window among those of its day."""

    def score(self, windows: Windows) -> FloatArray:
        day = windows.keys.select(pl.col("end").dt.date(), level=windows.x[:, LEVEL])
        return (
            day.select(pl.col("level").rank().over("end").cast(pl.Float32)).to_series().to_numpy()
        )


class HiddenInDigits(Honest):
    """A large number with a place among all others in its last digits."""

    def score(self, windows: Windows) -> FloatArray:
        return (1000 + 1e-2 * rankdata(windows.x[:, LEVEL])).astype(np.float32)


class OnlyOnTheWhole(RankAmongAll):
    """Cheats only where it is shown as many windows as an evaluation has."""

    def score(self, windows: Windows) -> FloatArray:
        return super().score(windows) if len(windows) == 200 else windows.x[:, LEVEL]


class KeepsWhatItHasSeen(RankAmongAll):
    """Cheats at its first call and gives the same scores ever after."""

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        super().learn(windows, validation)
        self.seen: dict[bytes, float] = {}

    def score(self, windows: Windows) -> FloatArray:
        found = super().score(windows)
        names = [row.tobytes() for row in windows.x]
        for name, score in zip(names, found, strict=True):
            self.seen.setdefault(name, float(score))
        return np.array([self.seen[name] for name in names], np.float32)


class Guesses(Honest):
    """Another number at every call."""

    def score(self, windows: Windows) -> FloatArray:
        return np.random.default_rng().normal(size=len(windows)).astype(np.float32)


class Drifts(Honest):
    """Counts its calls."""

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        self.spec_, self.calls = windows.spec, 0

    def score(self, windows: Windows) -> FloatArray:
        self.calls += 1
        return windows.x[:, LEVEL] * np.float32(self.calls)


class LooksUp(Honest):
    """Knows the truth, found again by whatever it is given.

    Args:
        windows: whose truth it knows.
        key: names of windows.
        missing: what it says of others; None fails.
    """

    key: Callable[[Windows], list[Any]]

    def __init__(self, windows: PreparedWindows, missing: float | None = 0.0) -> None:
        super().__init__()
        self.given = {"windows": windows, "missing": missing}
        self.missing = missing
        self.known: dict[Any, float] = {}
        for name, label in zip(type(self).key(windows.test), labels(windows), strict=True):
            self.known[name] = max(self.known.get(name, 0.0), float(label))

    def score(self, windows: Windows) -> FloatArray:
        names = type(self).key(windows)
        found = [
            self.known[name] if self.missing is None else self.known.get(name, self.missing)
            for name in names
        ]
        return np.array(found, np.float32)


def _keys(*columns: pl.Expr) -> Callable[[Windows], list[Any]]:
    return lambda windows: windows.keys.select(columns).rows()


class ById(LooksUp):
    key = staticmethod(_keys(pl.col("window_id")))


class ByUserAndStart(LooksUp):
    key = staticmethod(_keys(pl.col("user_id"), pl.col("start")))


class ByUserAndDate(LooksUp):
    key = staticmethod(_keys(pl.col("user_id"), pl.col("start").dt.date()))


class ByHourAndMemory(LooksUp):
    """Says that it remembers, so that it may not be shown another date."""

    remembers = True
    key = staticmethod(_keys(pl.col("user_id"), pl.col("start").dt.truncate("1h")))


class ByUser(LooksUp):
    key = staticmethod(_keys(pl.col("user_id")))


class ByContent(LooksUp):
    key = staticmethod(lambda windows: [row.tobytes() for row in windows.x])


class ByPlace(Honest):
    """Knows the truth by the order of the rows."""

    def __init__(self, windows: PreparedWindows) -> None:
        super().__init__()
        self.truth = labels(windows).astype(np.float32)

    def score(self, windows: Windows) -> FloatArray:
        n = len(windows)
        return np.resize(self.truth, n) + 1e-3 * windows.x[:, LEVEL]


class LooksAround(Honest):
    """Searches its callers for the truth."""

    def score(self, windows: Windows) -> FloatArray:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            for value in frame.f_locals.values():
                if isinstance(value, PreparedWindows) and value.test_truth is not None:
                    known = dict(value.test_truth.select("window_id", "label").iter_rows())
                    names = windows.keys["window_id"]
                    return np.array([known.get(name, 0) for name in names], np.float32)
        return np.zeros(len(windows), np.float32)


class WritesIntoWindows(Honest):
    """Leaves its mark in what it scores."""

    def score(self, windows: Windows) -> FloatArray:
        found = windows.x[:, LEVEL].copy()
        if windows.x.flags.writeable and len(windows) == 200:
            windows.x[:, 0] = 0
        return found


class WritesIntoTraining(Honest):
    """Shifts the features that others will be fitted on."""

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        super().learn(windows, validation)
        windows.x[:, LEVEL] += 5


class UpsideDown(Honest):
    def score(self, windows: Windows) -> FloatArray:
        return -windows.x[:, LEVEL]


class Constant(Honest):
    def score(self, windows: Windows) -> FloatArray:
        return np.ones(len(windows), np.float32)


class Gives(Honest):
    """Whatever it is told to give instead of scores."""

    what: ClassVar[Callable[[Windows], Any]]

    def score(self, windows: Windows) -> Any:
        return type(self).what(windows) if len(windows) == 200 else windows.x[:, LEVEL]
