"""The loop of days: show, judge, learn, rank anew; with a simulated auditor for studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray
from riskml.triage.blending import Examples, Seen, Triage, to_show
from riskml.triage.memory import remembered

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.str_]

Judge = Callable[[int], int | None]
"""Verdict on a row: 1 true incident, 0 false alarm, None unsure."""


@dataclass(frozen=True)
class Stream:
    """The windows of a period, in any order.

    Args:
        x: float32 [n, columns], see `triage_matrix`.
        evidence: of the detector [n].
        day: number of the day on which each ends [n].
        users: whose they are [n].
        background: float32 [m, columns], windows from before the period.
    """

    x: FloatArray
    evidence: Float64
    day: Int64
    users: Strings
    background: FloatArray


@dataclass(frozen=True)
class Shown:
    """What the auditor was shown.

    Args:
        shown: bool [n].
        log_odds: by which each window was ranked on its day, float64 [n].
        learnt: whether verdicts counted on that day, bool [n].
        verdicts: how many were given in all.
        triage: as it was on the last day.
    """

    shown: Mask
    log_odds: Float64
    learnt: Mask
    verdicts: int
    triage: Triage

    @property
    def chance(self) -> Float64:
        """Of being confirmed, float64 [n]; where verdicts did not count yet, by the prior."""
        chance: Float64 = 1 / (1 + np.exp(-self.log_odds))
        return chance


def run_loop(
    stream: Stream,
    judge: Judge,
    triage: Triage,
    per_day: int = 5,
    retrain_days: int = 1,
    budget: int | None = None,
) -> Shown:
    """Go through the days: nothing of a day is known before it was shown.

    Args:
        stream: the windows.
        judge: gives the verdicts.
        triage: that learns; it begins without verdicts.
        per_day: windows an auditor looks at a day.
        retrain_days: learn anew every so many days.
        budget: stop asking after so many verdicts; the ranking goes on.
    """
    settings = triage.settings
    rng = np.random.default_rng(settings.seed)
    n = len(stream.evidence)
    shown, learnt, log_odds = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n)
    past = np.zeros((n, 2))
    rows: list[int] = []
    said: list[int] = []
    for number, day in enumerate(np.unique(stream.day)):
        today = np.flatnonzero(stream.day == day)
        verdicts = np.array(said, np.int8)
        past[today] = remembered(
            stream.users[today], stream.day[today], stream.users[rows], stream.day[rows], verdicts,
            settings.half_life,
        )  # fmt: skip
        if number % retrain_days == 0 and rows:
            seen = _seen(stream, past, np.array(rows))
            triage.fit(Examples(seen, verdicts, stream.users[rows], stream.background))
        odds = triage.log_odds(_seen(stream, past, today))
        log_odds[today], learnt[today] = odds, triage.learnt
        asking = budget is None or len(rows) < budget
        explore = settings.exploring(len(rows)) if asking else 0.0
        for row in today[to_show(odds, per_day, explore, rng, triage.worth_showing(odds))]:
            shown[row] = True
            if budget is not None and len(rows) >= budget:
                continue
            verdict = judge(int(row))
            if verdict is not None:
                rows.append(int(row))
                said.append(verdict)
    return Shown(shown, log_odds, learnt, len(rows), triage)


def _seen(stream: Stream, past: Float64, rows: Int64) -> Seen:
    return Seen(stream.x[rows], stream.evidence[rows], past[rows])


def simulated_auditor(
    labels: Labels, noise: float = 0.0, unsure: float = 0.0, seed: int = 0
) -> Judge:
    """Judges by the truth, but for some verdicts.

    Args:
        labels: 1 where a window is truly risky [n].
        noise: share of verdicts that are wrong.
        unsure: share of windows on which none is given.
        seed: which these are.
    """
    rng = np.random.default_rng(seed)
    wrong, silent = rng.random(len(labels)) < noise, rng.random(len(labels)) < unsure

    def judge(row: int) -> int | None:
        return None if silent[row] else int(labels[row]) ^ int(wrong[row])

    return judge
