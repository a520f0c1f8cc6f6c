"""Baselines that count actions: first times, rare actions, one action or two against the user's."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.baselines.token_counts import Counts, Events, Float64, Int64
from riskml.core.errors import DataError, reading, require
from riskml.core.types import UNKNOWN_ACTION, FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state

COUNTS_FILE = "counts.safetensors"
RARE = 0.01
"""Count that everybody is taken to have of every action (Maxion & Townsend 2002)."""


class TokenDetector(Detector):
    """Counts actions and users of the train windows; its parts are a window's actions in order.

    Args:
        contamination: share of odd rows that is expected; sets `threshold_`.
    """

    def __init__(self, contamination: float = 0.1) -> None:
        self.expect(contamination, None)

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Count; validation is not used.

        Raises:
            DataError: the windows hold no actions.
        """
        if not windows.lengths.any() or len(windows.spec.actions) <= UNKNOWN_ACTION + 1:
            raise DataError(f"{type(self).__name__} counts actions, and these windows hold none")
        self.spec_ = windows.spec
        names = windows.keys["user_id"].unique().sort().to_list()
        self.users_ = {name: i for i, name in enumerate(names)}
        keys = self.keys(Events.of(windows, self.users_))
        self.counts_ = {name: Counts.count(key) for name, key in keys.items()}

    def keys(self, events: Events) -> dict[str, Int64]:
        """What is counted, a key an event."""
        return {"action": events.action, "own": self._own(events), "user": events.user}

    def _own(self, events: Events) -> Int64:
        """One key for user and action; below 0 for who is not known."""
        key: Int64 = events.user * len(self.spec_.actions) + events.action
        return key

    @abstractmethod
    def parts(self, events: Events, lengths: Int64) -> Float64:
        """Share of each event in its window's score, [z].

        Args:
            events: of some windows.
            lengths: int64 [n] events of each window.
        """

    def everybody(self, events: Events) -> Float64:
        """Share of each event's action among all of the train period."""
        count = self.counts_["action"]
        share: Float64 = count[events.action] + RARE
        share /= count.total + RARE * len(self.spec_.actions)
        return share

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores; 0 for a window without events."""
        self.check_spec(windows)
        events = Events.of(windows, self.users_)
        parts = self.parts(events, windows.lengths.astype(np.int64))
        return np.bincount(events.row, parts, len(windows)).astype(np.float32)

    def contributions(self, windows: Windows) -> FloatArray:
        """Shares of a window's actions in order, float32 [n, L]."""
        self.check_spec(windows)
        events = Events.of(windows, self.users_)
        shares = np.zeros(windows.tokens.shape, np.float32)
        shares[events.row, events.place] = self.parts(events, windows.lengths.astype(np.int64))
        return shares

    def topics(self) -> list[str] | None:
        """The window's actions."""
        return None

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"contamination": self.contamination}

    def save(self, folder: Path) -> None:
        """Write `detector.json` and the counts as safetensors."""
        write_state(folder, self, users=list(self.users_))
        arrays = {f"{name}.keys": count.keys for name, count in self.counts_.items()}
        arrays |= {f"{name}.counts": count.counts for name, count in self.counts_.items()}
        save_file(arrays, folder / COUNTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / COUNTS_FILE):
            detector.users_ = {name: i for i, name in enumerate(state["users"])}
            arrays = load_file(folder / COUNTS_FILE)
            names = {name.rpartition(".")[0] for name in arrays}
            detector.counts_ = {
                name: Counts(arrays[f"{name}.keys"], arrays[f"{name}.counts"]) for name in names
            }
        return detector


class FirstTimesDetector(TokenDetector):
    """The number of first times in a window: the sum of the novelty features `new_…`.

    Windows without these features are scored by the number of different actions that their user
    had not done in the train period.
    """

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Find the features, or count actions where there are none."""
        self.spec_, self.users_, self.counts_ = windows.spec, {}, {}
        if not len(self._columns()):
            super().learn(windows)

    def _columns(self) -> Int64:
        features = enumerate(self.spec_.features)
        names = [i for i, f in features if f.family == "novelty" and f.name.startswith("new_")]
        return np.array(names, np.int64)

    def parts(self, events: Events, lengths: Int64) -> Float64:
        """1 where a user does for the first time what was not done in training, else 0."""
        new = self.counts_["own"][self._own(events)] == 0
        place = events.row * len(self.spec_.actions) + events.action
        found: Float64 = (new & pl.Series(place).is_first_distinct().to_numpy()).astype(np.float64)
        return found

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] counts."""
        self.check_spec(windows)
        if not len(self._columns()):
            return super().score(windows)
        found: FloatArray = windows.x[:, self._columns()].sum(1)
        return found

    def contributions(self, windows: Windows) -> FloatArray:
        """The features, float32 [n, features], or what each action adds."""
        self.check_spec(windows)
        columns = self._columns()
        return windows.x[:, columns] if len(columns) else super().contributions(windows)

    def topics(self) -> list[str] | None:
        """Feature topics, or the window's actions."""
        return [self.spec_.features[i].topic for i in self._columns()] or None


class RareTokensDetector(TokenDetector):
    """The sum of −log of each action's share in the train period, in nats."""

    def parts(self, events: Events, lengths: Int64) -> Float64:
        """Surprise of each event."""
        surprise: Float64 = -np.log(self.everybody(events))
        return surprise


class UnigramRatioDetector(TokenDetector):
    """Mean over actions of log p(action | everybody else) − log p(action | user), in nats.

    As in the naive Bayes of Maxion & Townsend (2002), without its updating. A user who is not
    known has everybody's habits, so scores 0.

    Args:
        prior: actions that everybody else's mix weighs among the user's own.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: the prior is not above 0.
    """

    def __init__(self, prior: float = 1.0, contamination: float = 0.1) -> None:
        super().__init__(contamination)
        require("prior", prior, prior > 0, "must be above 0")
        self.prior = prior

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"prior": self.prior, "contamination": self.contamination}

    def parts(self, events: Events, lengths: Int64) -> Float64:
        """Log ratio of each event, divided by the window's events."""
        count = self.counts_
        own, total = count["own"][self._own(events)], count["user"][events.user]
        others = count["action"][events.action] - own + RARE
        others /= count["action"].total - total + RARE * len(self.spec_.actions)
        ratio = np.log(others) - np.log((own + self.prior * others) / (total + self.prior))
        found: Float64 = ratio / lengths[events.row]
        return found


class BigramDetector(TokenDetector):
    """Mean of −log p(action | the action before it, user), in nats.

    The user's pairs are mixed with the user's actions, and these with everybody's (hierarchical
    Dirichlet smoothing, MacKay & Peto 1995).

    Args:
        top_k: only the mean of so many largest of a window; null is the mean of all.
        prior: pairs that single actions weigh, and actions that everybody's weigh.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: `top_k` is below 1, or the prior not above 0.
    """

    def __init__(
        self, top_k: int | None = None, prior: float = 10.0, contamination: float = 0.1
    ) -> None:
        super().__init__(contamination)
        require("top_k", top_k, top_k is None or top_k >= 1, "must be at least 1, or null")
        require("prior", prior, prior > 0, "must be above 0")
        self.top_k, self.prior = top_k, prior

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"top_k": self.top_k, "prior": self.prior, "contamination": self.contamination}

    def keys(self, events: Events) -> dict[str, Int64]:
        """Beside actions: pairs of a user, and their first halves."""
        actions = len(self.spec_.actions)
        before = events.user * actions + events.before
        return super().keys(events) | {"before": before, "pair": before * actions + events.action}

    def parts(self, events: Events, lengths: Int64) -> Float64:
        """Surprise of each event, divided by the events that the mean is of; 0 for others."""
        count = {name: self.counts_[name][key] for name, key in self.keys(events).items()}
        share = self.everybody(events)
        for whole, some in (("user", "own"), ("before", "pair")):
            share = (count[some] + self.prior * share) / (count[whole] + self.prior)
        surprise: Float64 = -np.log(share)
        if self.top_k is not None:
            order = np.lexsort((-surprise, events.row))
            # lexsort keeps rows together, so places within them are the ranks
            surprise[order[events.place >= self.top_k]] = 0
            lengths = np.minimum(lengths, self.top_k)
        return surprise / lengths[events.row]
