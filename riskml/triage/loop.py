"""The loop of days: show, judge, learn, rank anew; with a simulated auditor for studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from riskml.core.types import FloatArray
from riskml.triage.blending import Triage, TriageSettings, to_show
from riskml.triage.classifier import Examples

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
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
        blended: evidence by which each window was ranked on its day, float64 [n].
        verdicts: how many were given in all.
        weight: of the triage on the last day.
    """

    shown: Mask
    blended: Float64
    verdicts: int
    weight: float


def run_loop(
    stream: Stream,
    judge: Judge,
    settings: TriageSettings,
    per_day: int = 5,
    retrain_days: int = 1,
    budget: int | None = None,
) -> Shown:
    """Go through the days: nothing of a day is known before it was shown.

    Args:
        stream: the windows.
        judge: gives the verdicts.
        settings: of the triage.
        per_day: windows an auditor looks at a day.
        retrain_days: learn anew every so many days.
        budget: stop asking after so many verdicts; the ranking goes on.
    """
    rng = np.random.default_rng(settings.seed)
    triage = Triage(settings)
    shown = np.zeros(len(stream.evidence), np.bool_)
    blended = stream.evidence.astype(np.float64).copy()
    rows: list[int] = []
    verdicts: list[int] = []
    days = np.unique(stream.day)
    for number, day in enumerate(days):
        if number % retrain_days == 0 and rows:
            triage.fit(_examples(stream, rows, verdicts))
        today = np.flatnonzero(stream.day == day)
        blended[today] = triage.blend(stream.evidence[today], stream.x[today])
        asking = budget is None or len(rows) < budget
        explore = settings.explore if asking else 0.0
        for row in today[to_show(blended[today], per_day, explore, rng)]:
            shown[row] = True
            if budget is not None and len(rows) >= budget:
                continue
            verdict = judge(int(row))
            if verdict is not None:
                rows.append(int(row))
                verdicts.append(verdict)
    return Shown(shown, blended, len(rows), triage.weight)


def _examples(stream: Stream, rows: list[int], verdicts: list[int]) -> Examples:
    return Examples(
        stream.x[rows], np.array(verdicts, np.int8), stream.users[rows], stream.background
    )


def simulated_auditor(
    labels: npt.NDArray[np.int8], noise: float = 0.0, unsure: float = 0.0, seed: int = 0
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
