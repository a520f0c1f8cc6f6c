"""What a user does, against what everybody else does: a likelihood ratio of a window's actions.

The simple detector that is hard to beat on masquerades. The actions of a window follow a Dirichlet
compound multinomial (Madsen et al. 2005): who has done a thing does it again soon, so its tenth
repetition says less than its first. A user's habits are kept in several memories, long and short,
between which each window chooses; windows that score high do not teach them (Maxion & Townsend
2002 teach with all that pass a threshold).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import DataError, reading, require
from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.habits import Float64, Habits, Round, rounds
from riskml.models.turns import Int64, with_new_users

STATE = "habits.safetensors"

PRIORS = (10.0, 30.0, 100.0, 300.0)
PRECISIONS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""What `fit` tries; the likelihood of the train windows decides."""

EARLY = 10
"""Train windows of a user before which the habits are too young to be judged."""

FITTED_ON = 200
"""Users whose windows decide on the weights."""


@dataclass(frozen=True)
class Weights:
    """How much habits weigh.

    Args:
        prior: actions that everybody's mix weighs among the user's own.
        own, everybody: precision of a window's mix of actions about the user's, about everybody's;
            the lower, the more a window repeats itself.
    """

    prior: float
    own: float
    everybody: float


class SequenceDetector(Detector):
    """Scores a window by log p(actions | everybody else) − log p(actions | user), in nats.

    Everybody else is all other users of the train period. With a single user there is nobody else:
    then the score is the mean surprise of an action.

    Args:
        memories: what each memory of a user's habits keeps of the past with every further window.
        quarantine: share of normal windows, the highest, that do not teach the habits; with 1
            nothing is learnt after training.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: a memory or the share does not lie in (0, 1].
    """

    remembers = True
    alone: bool
    """Whether the train period knows one user only."""

    def __init__(
        self,
        memories: Sequence[float] = (1.0, 0.95, 0.8),
        quarantine: float = 0.05,
        contamination: float = 0.1,
    ) -> None:
        self.expect(contamination, None)
        fits = len(memories) > 0 and all(0 < memory <= 1 for memory in memories)
        require("memories", list(memories), fits, "must list shares above 0 and up to 1")
        require("quarantine", quarantine, 0 < quarantine <= 1, "must lie above 0 and up to 1")
        self.memories, self.quarantine = tuple(memories), quarantine

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "memories": list(self.memories),
            "quarantine": self.quarantine,
            "contamination": self.contamination,
        }

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Learn everybody's mix, each user's habits, and how much they weigh.

        Raises:
            DataError: the windows hold no actions, as those of a table.
        """
        if not windows.lengths.any():
            raise DataError("SequenceDetector judges actions, and these windows hold none")
        self.spec_ = windows.spec
        names = windows.keys["user_id"].unique().sort().to_list()
        self.users_ = {name: i for i, name in enumerate(names)}
        self.alone = len(names) == 1
        trained = np.zeros((len(names), len(windows.spec.actions)))
        for part in rounds(windows, self.users_):
            trained[part.user[part.at], part.action] += part.count
        none = np.zeros((len(self.memories), *trained.shape))
        self.habits_ = Habits(none, trained, trained.sum(0), self.memories)
        some = windows.keys["user_id"].is_in(names[:FITTED_ON]).to_numpy()
        self.weights_ = self._fit_weights(windows.take(some))
        self.limit_ = np.inf
        scores = self._walk(windows, self.habits_, self.users_)
        place = windows.keys.select(pl.col("end").rank("ordinal").over("user_id")).to_series()
        judged = scores[(place > EARLY).to_numpy()]
        quarantined = self.quarantine if len(judged) else 1.0
        self.limit_ = float(np.quantile(judged, 1 - quarantined)) if quarantined < 1 else -np.inf

    def _fit_weights(self, windows: Windows) -> Weights:
        """Those under which windows are likeliest, each given the ones before it."""
        habits = self.habits_.grown(len(self.users_))
        grid = list(product(PRIORS, PRECISIONS))
        own, everybody = np.zeros(len(grid)), np.zeros(len(PRECISIONS))
        for part in rounds(windows, self.users_):
            if part.number >= EARLY:
                own += [habits.own_log_likelihood(part, *pair).sum() for pair in grid]
            everybody += [habits.others_log_likelihood(part, p).sum() for p in PRECISIONS]
            habits.learn(part, np.ones(len(part.windows), bool))
        if not own.any():
            return Weights(30.0, 30.0, PRECISIONS[int(everybody.argmax())])
        return Weights(*grid[int(own.argmax())], PRECISIONS[int(everybody.argmax())])

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]; a window is judged by the train windows and its user's before it here."""
        self.check_spec(windows)
        return self._walk(windows, *self._known(windows)).astype(np.float32)

    def after(self, past: Windows) -> Self:
        """The same once the habits have learnt from later windows, which are judged too."""
        self.check_spec(past)
        later = copy(self)
        later.habits_, later.users_ = self._known(past)
        self._walk(past, later.habits_, later.users_)
        return later

    def contributions(self, windows: Windows) -> FloatArray:
        """How much likelier others are than the user to do each action next, float32 [n, L]."""
        return self.contributions_after(None, windows, np.arange(len(windows)))

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: Int64
    ) -> FloatArray:
        """The same of some windows once the habits have learnt from those before, [rows, L]."""
        self.check_spec(windows)
        habits, users = self._known(*([] if past is None else [past]), windows)
        if past is not None:
            self._walk(past, habits, users)
        return self._shares(windows, rows, habits, users)

    def topics(self) -> None:
        """The parts are the window's actions, in order."""

    def _known(self, *batches: Windows) -> tuple[Habits, dict[str, int]]:
        """A copy of the habits with room for users who are new, and the rows of all."""
        users = with_new_users(self.users_, *batches)
        return self.habits_.grown(len(users)), users

    def _walk(self, windows: Windows, habits: Habits, users: dict[str, int]) -> Float64:
        """Score each window, float64 [n], and teach it to the habits if it scored low."""
        scores = np.zeros(len(windows))
        for part, found in self._judged(windows, habits, users):
            scores[part.windows] = found
        return scores

    def _judged(
        self, windows: Windows, habits: Habits, users: dict[str, int]
    ) -> Iterator[tuple[Round, Float64]]:
        """The windows with their scores, round by round; what scored low is learnt afterwards."""
        weights = self.weights_
        for part in rounds(windows, users):
            own = habits.own_log_likelihood(part, weights.prior, weights.own)
            if self.alone:
                found = -own / np.maximum(part.length, 1)
            else:
                found = habits.others_log_likelihood(part, weights.everybody) - own
            yield part, found
            habits.learn(part, found <= self.limit_)

    def _shares(
        self, windows: Windows, rows: Int64, habits: Habits, users: dict[str, int]
    ) -> FloatArray:
        """Of each action in the score of the windows at `rows`, by the habits of its time."""
        place = np.full(len(windows), -1)
        place[rows] = np.arange(len(rows))
        shares = np.zeros((len(rows), windows.tokens.shape[1]), np.float32)
        weights = self.weights_
        for part, _ in self._judged(windows, habits, users):
            asked = place[part.windows] >= 0
            at, user, length = part.windows[asked], part.user[asked], part.length[asked, None]
            tokens = windows.tokens[at].astype(np.int64)
            valid = np.arange(tokens.shape[1]) < length
            found = habits.own_surprises(user, tokens, valid, weights.prior, weights.own)
            if self.alone:
                found /= np.maximum(length, 1)
            else:
                found -= habits.others_surprises(user, tokens, valid, weights.everybody)
            shares[place[at]] = found
        return shares

    def save(self, folder: Path) -> None:
        """Write `detector.json` and the habits as safetensors."""
        limit = self.limit_ if np.isfinite(self.limit_) else None
        write_state(
            folder,
            self,
            users=list(self.users_),
            alone=self.alone,
            weights=asdict(self.weights_),
            limit=limit,
        )
        habits = self.habits_
        arrays = {"counts": habits.counts, "trained": habits.trained}
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / STATE):
            detector.users_ = {name: i for i, name in enumerate(state["users"])}
            # written before users could be added after training: those are all
            detector.alone = bool(state.get("alone", len(detector.users_) == 1))
            detector.weights_ = Weights(**state["weights"])
            detector.limit_ = -np.inf if state["limit"] is None else float(state["limit"])
            arrays = load_file(folder / STATE)
            trained = arrays["trained"]
            detector.habits_ = Habits(arrays["counts"], trained, trained.sum(0), detector.memories)
        return detector
