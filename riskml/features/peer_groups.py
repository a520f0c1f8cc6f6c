"""Who is compared with whom: the role in the log, or groups learnt from what people do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.types import EVERYONE, PEER
from riskml.features.actions import TOKEN
from riskml.features.first_times import MOST_GROUPS
from riskml.features.profile import USER
from riskml.features.rows import Array, begins, find, index

NO_GROUP = 0
"""The group of users who belong to none."""

_USERS_A_GROUP = 5


class PeerGroups:
    """Groups of users, learnt from the train period and frozen.

    Args:
        column: a column of the log that names the group, such as the role; None learns groups
            from the mix of actions (k-means on the square roots of their shares).
        groups: at most so many are learnt; at least five users a group.
        seed: of the k-means.
    """

    def __init__(self, column: str | None = None, groups: int = 8, seed: int = 0) -> None:
        require("features.peers.groups", groups, groups >= 1, "must be at least 1")
        self.column, self.groups, self.seed = column, groups, seed
        self.names: tuple[str, ...] = ()
        self.users: Array = np.zeros(0, np.uint64)
        self.group_of: Array = np.zeros(0, np.int32)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"column": self.column, "groups": self.groups, "seed": self.seed}

    def reads(self) -> tuple[str, ...]:
        """The column of the log."""
        return () if self.column is None else (self.column,)

    def check(self, events: pl.DataFrame) -> None:
        """See that the log has the column.

        Raises:
            DataError: it has not.
        """
        if self.column is not None and self.column not in events.columns:
            raise DataError(
                f"the log has no column '{self.column}' (features.peers.column): "
                f"{did_you_mean(self.column, events.columns)}"
            )

    def __len__(self) -> int:
        """Number of groups, everyone included."""
        return 1 + (len(self.names) if self.column else int(self.group_of.max(initial=0)))

    def fit(self, events: pl.DataFrame, n_actions: int) -> PeerGroups:
        """Learn the groups.

        Args:
            events: with `user`, `token` and the column, if one is named.
            n_actions: size of the vocabulary.
        """
        if self.column is not None:
            names = events.select(self._name(events).drop_nulls().unique().sort()).to_series()
            self.names = tuple(names.to_list())
            if len(self) > MOST_GROUPS:
                raise DataError(
                    f"the log's column '{self.column}' (features.peers.column) has {len(names):,} "
                    f"values, more than the {MOST_GROUPS:,} groups that can be told apart"
                )
            return self
        counts = events.group_by(USER, TOKEN).len().sort(USER, TOKEN)
        users = counts[USER].unique(maintain_order=True)
        groups = min(self.groups, len(users) // _USERS_A_GROUP)
        if groups < 2:
            return self
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        shares = np.zeros((len(users), n_actions))
        place = counts[USER].rle_id().to_numpy()
        shares[place, counts[TOKEN].to_numpy()] = counts["len"].to_numpy()
        shares /= shares.sum(axis=1, keepdims=True)
        with warnings.catch_warnings():
            # users who do the same are one group, however many there may be: no fault
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = KMeans(groups, n_init=4, random_state=self.seed).fit_predict(np.sqrt(shares))
        self.users = users.to_numpy()
        self.group_of = (found + 1).astype(np.int32)
        return self

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `peer`, the group's number; unknown users and roles get `NO_GROUP`."""
        if self.column is not None:
            group = self._name(events).replace_strict(
                list(self.names),
                list(range(1, len(self.names) + 1)),
                default=NO_GROUP,
                return_dtype=pl.Int32,
            )
            return events.with_columns(group.alias(PEER))
        if not len(self.users):
            return events.with_columns(pl.lit(NO_GROUP, pl.Int32).alias(PEER))
        user = events[USER].to_numpy()
        first = np.flatnonzero(begins(user))
        known = find(self.users, user[first])
        mine = np.where(known >= 0, self.group_of[known], np.int32(NO_GROUP))
        of_event = np.repeat(mine, np.diff(np.append(first, len(user))))
        return events.hstack([pl.Series(PEER, of_event)])

    def named(self, group: pl.Series) -> pl.Series:
        """Names of groups by their numbers: the role, or "group 3", or "everyone"; `peer`."""
        names = self.names or [f"group {number}" for number in range(1, len(self))]
        return pl.Series(PEER, [EVERYONE, *names])[index(group.to_numpy())]

    def _name(self, events: pl.DataFrame) -> pl.Expr:
        assert self.column is not None
        self.check(events)
        return pl.col(self.column).cast(pl.String)

    def state(self) -> dict[str, Any]:
        """Names of the groups, for JSON."""
        return {"settings": self.settings(), "names": list(self.names)}

    def arrays(self) -> dict[str, Array]:
        """Users' hashes and their groups."""
        return {"users": self.users, "group_of": self.group_of}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Array]) -> PeerGroups:
        """Read what `state` and `arrays` gave.

        Raises:
            ConfigError: they do not belong together.
        """
        groups = cls(**state["settings"])
        groups.names = tuple(state["names"])
        groups.users, groups.group_of = arrays["users"], arrays["group_of"]
        if len(groups.users) != len(groups.group_of):
            raise ConfigError("peer groups: users and groups differ in number")
        return groups
