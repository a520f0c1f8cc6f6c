"""From verdicts to an order of alerts: the detector's, until there is enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from riskml.core.errors import require
from riskml.core.types import FloatArray
from riskml.triage.classifier import FOREST, NO_TREES, TriageClassifier, check_kind

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int8]
Strings = npt.NDArray[np.str_]

COLUMNS = ("constant", "evidence", "confirmed before", "false alarms before", "trees")
"""What the chance is made of."""

BEFORE = np.array([-5.5, 1.8, 1.0, -0.5, 0.0])
"""Coefficients before any verdict, in log-odds. The slope of the evidence is that of a bet against
p-values with κ = 0.2 (see `PersistenceDetector`): (1 − κ) ln 10."""

FIRMNESS = np.array([0.05, 0.3, 1.0, 1.0, 3.0])
"""How hard it is to move each of them, as 1 / variance; set on worlds that no table shows."""


@dataclass(frozen=True)
class TriageSettings:
    """How verdicts count.

    Args:
        kind: of the trees, `forest` or `xgboost`; `none`: the evidence and the user's earlier
            verdicts alone.
        fewest: true incidents, and false alarms, from which on verdicts count at all.
        half_life: days after which a verdict on the same user counts half.
        wrong: share of verdicts that are taken to be wrong, so that none of them decides much.
        least_chance: what has a smaller chance of being confirmed is not shown; 0 shows whatever
            the budget has room for.
        trees: see `TriageClassifier`.
        background: windows that nobody judged which the trees see, at most.
        explore: share of what auditors are shown that is drawn from below the top, at first.
        explore_until: verdicts after which that share has fallen to half.
        seed: of trees and draws.

    Raises:
        ConfigError: a setting is impossible.
    """

    kind: str = FOREST
    fewest: int = 5
    half_life: float = 7.0
    wrong: float = 0.08
    least_chance: float = 0.1
    trees: int = 60
    background: int = 300
    explore: float = 0.1
    explore_until: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_kind(self.kind)
        require("triage.fewest", self.fewest, self.fewest >= 2, "must be at least 2")
        require("triage.half_life", self.half_life, self.half_life > 0, "must be above 0")
        require("triage.wrong", self.wrong, 0 < self.wrong < 0.5, "must lie above 0, below 0.5")
        chance = self.least_chance
        require("triage.least_chance", chance, 0 <= chance < 1, "must lie in [0, 1)")
        require("triage.background", self.background, self.background >= 1, "must be at least 1")
        require("triage.explore", self.explore, 0 <= self.explore < 1, "must lie in [0, 1)")
        until = self.explore_until
        require("triage.explore_until", until, until > 0, "must be above 0")

    def exploring(self, verdicts: int) -> float:
        """Share that is drawn from below the top after so many verdicts.

        >>> TriageSettings(explore=0.1, explore_until=30).exploring(30)
        0.05
        """
        return self.explore * self.explore_until / (self.explore_until + verdicts)


@dataclass(frozen=True)
class Seen:
    """Windows as the triage sees them.

    Args:
        x: float32 [n, columns], see `triage_matrix`.
        evidence: of the detector, −log10 of the p-value [n].
        remembered: float64 [n, 2], see `memory.remembered`.
    """

    x: FloatArray
    evidence: Float64
    remembered: Float64

    def __len__(self) -> int:
        return len(self.evidence)

    def take(self, rows: Int64 | npt.NDArray[np.bool_]) -> Seen:
        """Some of the windows, by a mask or indices."""
        return Seen(self.x[rows], self.evidence[rows], self.remembered[rows])


@dataclass(frozen=True)
class Examples:
    """Windows whose verdict is known, and some of which nobody said anything.

    Args:
        seen: the judged windows [n], as they were known when they were ranked.
        confirmed: int8 [n], 1 where an auditor found a true incident, 0 where a false alarm.
        users: whose windows they are [n].
        background: float32 [m, columns], windows that nobody has judged.
    """

    seen: Seen
    confirmed: Labels
    users: Strings
    background: FloatArray

    def fewest(self) -> int:
        """Verdicts of the rarer kind."""
        positives = int(self.confirmed.sum())
        return min(positives, len(self.confirmed) - positives)


class Triage:
    """The chance that an auditor would confirm a window, by what auditors said of others.

    A logistic regression (penalised as by a Gaussian prior) on the detector's evidence, on the
    verdicts that the same user had on days before, and on the opinion of trees. Before any verdict
    its order is the detector's; each verdict moves it, the more the more there are. Opinions on
    judged windows are those of trees that saw none of their user, and judged windows weigh as they
    come, so the chance is calibrated for windows like those that auditors are shown.

    Attributes:
        learnt: whether verdicts count.
        reason: why they do not, for people; else empty.
        coefficients: by name, in log-odds.
    """

    def __init__(self, settings: TriageSettings) -> None:
        self.settings = settings
        self.learnt, self.reason = False, "no verdicts yet"
        self._trees: TriageClassifier | None = None
        self._weights = _before_any()

    @property
    def coefficients(self) -> dict[str, float]:
        """What each column of the chance counts."""
        return dict(zip(COLUMNS, self._weights.tolist(), strict=True))

    def fit(self, examples: Examples) -> Self:
        """Learn from verdicts, or stay out of the way."""
        settings, confirmed = self.settings, examples.confirmed
        positives, judged = int(confirmed.sum()), len(confirmed)
        self.learnt, self._trees, self._weights = False, None, _before_any()
        kinds = [set(examples.users[confirmed == kind].tolist()) for kind in (0, 1)]
        if examples.fewest() < settings.fewest or min(map(len, kinds)) < 2:
            self.reason = (
                f"{positives} true incidents and {judged - positives} false alarms: "
                f"{settings.fewest} of each, of two users or more, are needed before verdicts count"
            )
            return self
        self.learnt, self.reason = True, ""
        opinion = np.zeros(judged)
        if settings.kind != NO_TREES:
            trees = self.classifier()
            trees.fit(examples.seen.x, confirmed, examples.users, self._some(examples.background))
            self._trees, opinion = trees, trees.held_out_
        columns = _columns(examples.seen, opinion)
        self._weights = _fitted(columns, confirmed.astype(np.float64), settings.wrong)
        return self

    def classifier(self) -> TriageClassifier:
        """Untrained, what gives an opinion on windows: trees."""
        return TriageClassifier(self.settings.kind, self.settings.trees, self.settings.seed)

    def log_odds(self, seen: Seen) -> Float64:
        """Of being confirmed, float64 [n]; the detector's order while too little is known."""
        if not self.learnt:
            odds: Float64 = BEFORE[0] + BEFORE[1] * seen.evidence
            return odds
        opinion = self._trees.opinion(seen.x) if self._trees else np.zeros(len(seen))
        odds = _columns(seen, opinion) @ self._weights
        return odds

    def chance(self, seen: Seen) -> Float64 | None:
        """That an auditor who is not wrong would confirm [n]; None: too little is known."""
        return _chance(self.log_odds(seen)) if self.learnt else None

    def worth_showing(self, log_odds: Float64) -> npt.NDArray[np.bool_]:
        """Which windows have the least chance that is asked for; all while too little is known."""
        least = self.settings.least_chance
        if not self.learnt or not least:
            return np.ones(len(log_odds), np.bool_)
        worth: npt.NDArray[np.bool_] = log_odds >= np.log(least / (1 - least))
        return worth

    def _some(self, background: FloatArray) -> FloatArray:
        rng = np.random.default_rng(self.settings.seed)
        return background[rng.permutation(len(background))[: self.settings.background]]


def _before_any() -> Float64:
    return BEFORE * [1, 1, 0, 0, 0]


def _columns(seen: Seen, opinion: Float64) -> Float64:
    constant = np.ones(len(seen))
    return np.column_stack([constant, seen.evidence, seen.remembered, opinion])


def _fitted(columns: Float64, confirmed: Float64, wrong: float) -> Float64:
    """The coefficients of the highest posterior density, where some verdicts are wrong."""

    def loss(weights: Float64) -> tuple[float, Float64]:
        chance = _chance(columns @ weights)
        said = wrong + (1 - 2 * wrong) * chance
        moved = weights - BEFORE
        likelihood = np.sum(np.log(np.where(confirmed == 1, said, 1 - said)))
        # of the log-likelihood by the log-odds
        pull = (confirmed - said) / (said * (1 - said)) * (1 - 2 * wrong) * chance * (1 - chance)
        penalty = 0.5 * float(np.sum(FIRMNESS * moved**2))
        return penalty - float(likelihood), FIRMNESS * moved - columns.T @ pull

    found: Float64 = minimize(loss, BEFORE, jac=True, method="L-BFGS-B").x
    return found


def _chance(log_odds: Float64) -> Float64:
    chance: Float64 = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return chance


def to_show(
    evidence: Float64,
    count: int,
    explore: float,
    rng: np.random.Generator,
    worth: npt.NDArray[np.bool_] | None = None,
) -> Int64:
    """Rows that an auditor is shown: the highest, and some from below to learn from.

    Those from below are drawn among the next ten times as many, so that what the triage has
    learnt to rank low is still looked at now and then.

    Args:
        evidence: of the windows of one day [n].
        count: how many can be looked at.
        explore: share of `count` that is drawn; on average, where that is no whole number.
        rng: draws.
        worth: which of the highest may be shown [n]; all unless given.

    Returns:
        int64 [min(count, n)] or fewer, the highest first.
    """
    order = np.argsort(-evidence, kind="stable").astype(np.int64)
    drawn = int(np.floor(count * explore + rng.random()))
    top = max(0, count - drawn)
    below = order[top : top + 10 * count]
    extra = rng.permutation(below)[: min(drawn, len(below))]
    highest = order[:top] if worth is None else order[:top][worth[order[:top]]]
    return np.concatenate([highest, extra])[:count]
