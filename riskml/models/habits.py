"""Habits of users as counts of their actions, and how likely a window's actions are under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

from riskml.core.types import Windows
from riskml.models.turns import Int64, Turns

Float64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RARE = 0.01
"""Count that everybody is taken to have of every action."""


@dataclass(frozen=True)
class Round:
    """The next window of each of some users.

    Args:
        number: how many windows of these users came before, in the call.
        windows: int64 [k], their rows.
        user: int64 [k], rows of the habits.
        length: int64 [k], actions of each.
        at, action, count: int64 [z]: in which of the k, which action, how often.
    """

    number: int
    windows: Int64
    user: Int64
    length: Int64
    at: Int64
    action: Int64
    count: Int64


def rounds(windows: Windows, users: Mapping[str, int]) -> Iterator[Round]:
    """All windows, those of a user one after the other by their ends.

    Args:
        windows: in any order.
        users: row of each user's habits.
    """
    turns = Turns.of(windows, users)
    order, ends = turns.order, turns.ends
    tokens, lengths = windows.tokens[order], windows.lengths[order].astype(np.int64)
    actions = len(windows.spec.actions)
    valid = np.arange(tokens.shape[1]) < lengths[:, None]
    cell = np.repeat(np.arange(len(order)), lengths) * actions + tokens[valid]
    cells, counts = np.unique(cell, return_counts=True)
    cuts = np.searchsorted(cells, ends * actions)
    for i, (rows, user) in enumerate(turns):
        part = slice(cuts[i], cuts[i + 1])
        at, action = np.divmod(cells[part], actions)
        yield Round(
            i, rows, user, lengths[ends[i] : ends[i + 1]], at - ends[i], action, counts[part]
        )


class Habits:
    """What users do, in several memories.

    Args:
        counts: float64 [memories, users, actions], the faded counts.
        trained: float64 [users, actions], counts of the train period, of which a user's own are
            taken out of everybody's.
        everybody: float64 [actions], the sum over all users of the train period.
        memories: what a memory keeps of the past with each further window.
    """

    def __init__(
        self, counts: Float64, trained: Float64, everybody: Float64, memories: Sequence[float]
    ) -> None:
        self.counts, self.trained, self.everybody = counts, trained, everybody
        self._others_total = everybody.sum() + RARE * len(everybody) - trained.sum(1)
        self.memories = np.asarray(memories, np.float64)
        self.totals = counts.sum(2)

    def grown(self, users: int) -> Habits:
        """A copy with room for so many users; the new ones have no habits yet."""
        more = users - self.counts.shape[1]
        return Habits(
            np.pad(self.counts, ((0, 0), (0, more), (0, 0))),
            np.pad(self.trained, ((0, more), (0, 0))),
            self.everybody,
            self.memories.tolist(),
        )

    def others(self, user: Int64, action: Int64) -> Float64:
        """Share of each action among everybody else's, [z]."""
        counts = self.everybody[action] + RARE - self.trained[user, action]
        share: Float64 = counts / self._others_total[user]
        return share

    def own(self, user: Int64, action: Int64, prior: float) -> Float64:
        """Share of each action among the user's own, [memories, z]."""
        counts = self.counts[:, user, action]
        share: Float64 = counts + prior * self.others(user, action)
        share /= self.totals[:, user] + prior
        return share

    def others_log_likelihood(self, asked: Round, precision: float) -> Float64:
        """Of the windows under everybody else's mix, [k]."""
        share = self.others(asked.user[asked.at], asked.action)
        found: Float64 = _compound(asked, share[None], precision)[0]
        return found

    def own_log_likelihood(self, asked: Round, prior: float, precision: float) -> Float64:
        """Of the windows under their users' habits, the mean over memories, [k].

        So each window chooses the memory that fits it.
        """
        share = self.own(asked.user[asked.at], asked.action, prior)
        found: Float64 = logsumexp(_compound(asked, share, precision), axis=0)
        found -= np.log(len(self.memories))
        return found

    def own_surprises(
        self, user: Int64, tokens: Int64, valid: Flags, prior: float, precision: float
    ) -> Float64:
        """−log p of each action given those before it in its window, under the user's habits.

        By the chain rule, so those of a window sum to its `own_log_likelihood`, negative.

        Args:
            user: int64 [k], rows of the habits.
            tokens: int64 [k, L], the windows' actions in order.
            valid: bool [k, L], which of them are no padding.
            prior: actions that everybody's mix weighs among the user's own.
            precision: of a window's mix about the user's.

        Returns:
            [k, L], 0 on padding.
        """
        share = self.own(user[:, None], tokens, prior)
        steps = _predictive(share, tokens, precision) * valid
        whole = logsumexp(steps.cumsum(2), axis=0) - np.log(len(self.memories))
        found: Float64 = -np.diff(whole, axis=1, prepend=0.0)
        return found

    def others_surprises(
        self, user: Int64, tokens: Int64, valid: Flags, precision: float
    ) -> Float64:
        """The same under everybody else's mix, [k, L]."""
        share = self.others(user[:, None], tokens)
        found: Float64 = -_predictive(share, tokens, precision) * valid
        return found

    def learn(self, taught: Round, chosen: Flags) -> None:
        """Let the chosen windows fade the past and add their actions."""
        users = taught.user[chosen]
        self.counts[:, users] *= self.memories[:, None, None]
        self.totals[:, users] *= self.memories[:, None]
        self.totals[:, users] += taught.length[chosen]
        z = chosen[taught.at]
        self.counts[:, taught.user[taught.at[z]], taught.action[z]] += taught.count[z]


def _compound(asked: Round, share: Float64, precision: float) -> Float64:
    """Log-likelihood of a Dirichlet compound multinomial, without its count of orders.

    Args:
        asked: k windows with z different actions in all.
        share: [models, z] of each action in the mix.
        precision: of the mix.

    Returns:
        [models, k].
    """
    alpha = precision * share
    gain = gammaln(alpha + asked.count) - gammaln(alpha)
    sums = [np.bincount(asked.at, values, len(asked.windows)) for values in gain]
    found: Float64 = np.stack(sums).astype(np.float64)
    found += gammaln(precision) - gammaln(precision + asked.length)
    return found


def _predictive(share: Float64, tokens: Int64, precision: float) -> Float64:
    """Log-likelihood of each action given those before it in its window.

    Args:
        share: [..., k, L] of each action in the mix.
        tokens: int64 [k, L].
        precision: of the mix.

    Returns:
        [..., k, L].
    """
    before = np.arange(tokens.shape[1])
    found: Float64 = np.log(precision * share + _same_before(tokens)) - np.log(precision + before)
    return found


def _same_before(tokens: Int64) -> Int64:
    """How often each action stands before this place in its row, [k, L]."""
    order = np.argsort(tokens, axis=1, kind="stable")
    ordered = np.take_along_axis(tokens, order, 1)
    place = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    first = np.ones(tokens.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    runs = place - np.maximum.accumulate(np.where(first, place, 0), axis=1)
    found = np.empty_like(runs)
    np.put_along_axis(found, order, runs, 1)
    return found
