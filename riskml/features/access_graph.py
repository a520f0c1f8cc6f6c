"""A graph of users and resources: its communities, and how near each user is to each resource."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.features.profile import USER
from riskml.features.rows import Array

_DAMPING = 0.85
STRANGER = -1
"""The community of who or what is not in the graph."""

_NUMBERS_AT_ONCE = 20_000_000
_STATE = {
    "users": np.uint64,
    "user_community": np.int32,
    "resources": np.uint64,
    "resource_community": np.int32,
    "degree": np.float32,
    "edge_user": np.int32,
    "edge_resource": np.int32,
    "edge_share": np.float32,
    "rank_user": np.int32,
    "rank_resource": np.int32,
    "rank": np.float32,
    "common": np.float32,
    "likeness": np.float32,
}
_LATER = ("common", "likeness")
"""Arrays that graphs of before do not have."""


class AccessGraph:
    """Learnt once, then asked.

    Args:
        state: arrays by name. `users` and `resources` are rising hashes with a community each;
            `degree` is that of resources; an edge has its share of the user's weight. Of each
            user's nearest resources there are `rank` (personalised PageRank), and over their other
            users the mean number of `common` resources and mean Jaccard `likeness` to the user.
    """

    def __init__(self, state: dict[str, Array] | None = None) -> None:
        empty = {name: np.zeros(0, kind) for name, kind in _STATE.items()}
        state = empty if state is None else {name: state[name] for name in _STATE}
        self.state = state
        self._width = np.int64(max(len(state["resources"]), 1))
        self._keys, self._order = {}, {}
        for kind in ("edge", "rank"):
            keys = state[f"{kind}_user"] * self._width + state[f"{kind}_resource"]
            self._order[kind] = np.argsort(keys)
            self._keys[kind] = keys[self._order[kind]]
        self.n_users, self.n_resources = len(state["users"]), len(state["resources"])
        self.user_degree = np.bincount(state["edge_user"], minlength=self.n_users)

    @classmethod
    def restored(cls, arrays: dict[str, Array]) -> AccessGraph:
        """From kept arrays; in those of before no user has work in common with others."""
        later = {name: np.zeros_like(arrays["rank"]) for name in _LATER if name not in arrays}
        return cls({**arrays, **later})

    @classmethod
    def of(cls, edges: pl.DataFrame, iterations: int, kept: int, seed: int) -> AccessGraph:
        """Learn.

        Args:
            edges: `user`, `resource` and the number of their `events`, in order of the first two.
            iterations: steps of the PageRank.
            kept: the nearest resources of a user that are remembered.
            seed: of the communities.
        """
        users, resources = edges[USER].unique().sort(), edges["resource"].unique().sort()
        u = np.searchsorted(users.to_numpy(), edges[USER].to_numpy())
        r = np.searchsorted(resources.to_numpy(), edges["resource"].to_numpy())
        # the hundredth visit says less than the first
        weight = np.log1p(edges["events"].to_numpy())
        n = len(users)
        community = _communities(u, r + n, weight, n + len(resources), seed)
        of_user = np.bincount(u, weight, n)
        return cls(
            {
                "users": users.to_numpy(),
                "user_community": community[:n],
                "resources": resources.to_numpy(),
                "resource_community": community[n:],
                "degree": np.bincount(r, minlength=len(resources)).astype(np.float32),
                "edge_user": u.astype(np.int32),
                "edge_resource": r.astype(np.int32),
                "edge_share": (weight / of_user[u]).astype(np.float32),
                **_nearest(u, r, weight, (n, len(resources)), iterations, kept),
            }
        )

    def community_of(self, what: str, place: Array) -> Array:
        """Of users or resources at places, `STRANGER` where −1.

        Args:
            what: `user` or `resource`.
            place: int64 [n].
        """
        communities = self.state[f"{what}_community"]
        if not len(communities):
            return np.full(len(place), STRANGER)
        found: Array = np.where(place >= 0, communities[place], STRANGER)
        return found

    def has(self, user: Array, resource: Array) -> Array:
        """Whether pairs of places are edges, bool [n]."""
        return self.share(user, resource, 0.0) > 0

    def share(self, user: Array, resource: Array, least: float) -> Array:
        """Of pairs of places, of the user's own work; `least` where there is no edge."""
        return self._look_up("edge", "edge_share", user, resource, least)

    def near(self, what: str, user: Array, resource: Array, least: float = 0.0) -> Array:
        """`rank`, `common` or `likeness` of pairs of places; `least` where it is not remembered."""
        return self._look_up("rank", what, user, resource, least)

    def _look_up(self, kind: str, value: str, user: Array, resource: Array, least: float) -> Array:
        keys, values = self._keys[kind], self.state[value]
        if not len(keys):
            return np.full(len(user), least)
        wanted = user * self._width + resource
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = (keys[at] == wanted) & (user >= 0) & (resource >= 0)
        return np.where(known, np.maximum(values[self._order[kind][at]], least), least)


def _communities(u: Array, r: Array, weight: Array, n: int, seed: int) -> Array:
    """Community of each node, users first (Leiden, Traag et al. 2019)."""
    import random

    import igraph

    graph = igraph.Graph(n=n, edges=np.column_stack([u, r]).tolist())
    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311  no secret
    found = graph.community_leiden(
        objective_function="modularity", weights=weight.tolist(), n_iterations=3
    )
    igraph.set_random_number_generator(random)
    return np.array(found.membership, np.int32)


def _nearest(
    u: Array, r: Array, weight: Array, shape: tuple[int, int], iterations: int, kept: int
) -> dict[str, Array]:
    """Each user's nearest resources by personalised PageRank (Haveliwala 2002), and their users."""
    from scipy.sparse import csr_array, diags_array

    n_users, n_resources = shape
    edges = csr_array((weight, (u, r)), shape=shape)
    to_resource = diags_array(1 / edges.sum(axis=1)) @ edges
    to_user = diags_array(1 / edges.sum(axis=0)) @ edges.T
    kept = min(kept, n_resources)
    names = ("rank_user", "rank_resource", "rank", *_LATER)
    found: dict[str, list[Array]] = {name: [] for name in names}
    used = csr_array((np.ones(len(u)), (u, r)), shape=shape)
    rows = max(1, _NUMBERS_AT_ONCE // max(n_users + n_resources, 1))
    for at in range(0, n_users, rows):
        chosen = np.arange(at, min(at + rows, n_users))
        start = csr_array(
            (np.ones(len(chosen)), (np.arange(len(chosen)), chosen)),
            shape=(len(chosen), n_users),
        ).toarray()
        at_user, at_resource = start, np.zeros((len(chosen), n_resources))
        for _ in range(iterations):
            at_resource = _DAMPING * (at_user @ to_resource)
            at_user = (1 - _DAMPING) * start + _DAMPING * (at_resource @ to_user)
        best = np.argpartition(-at_resource, kept - 1, axis=1)[:, :kept]
        found["rank_user"].append(np.repeat(chosen, kept).astype(np.int32))
        found["rank_resource"].append(best.ravel().astype(np.int32))
        for name, values in zip(names[2:], (at_resource, *_alike(used, chosen)), strict=True):
            of_best = np.take_along_axis(values, best, axis=1)
            found[name].append(of_best.ravel().astype(np.float32))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _alike(used: Any, chosen: Array) -> tuple[Array, Array]:
    """How much users share with the other users of each resource, that resource itself apart.

    Args:
        used: sparse [users, resources], 1 where there is an edge.
        chosen: places of some users.

    Returns:
        Means over the others of the number of resources in common, and of Jaccard's index of all
        their resources; both [chosen, resources].
    """
    own = used[chosen].toarray()
    common = (used[chosen] @ used.T).toarray()
    degree = used.sum(axis=1)
    likeness = common / (degree[chosen][:, None] + degree - common)
    for each in (common, likeness):
        each[np.arange(len(chosen)), chosen] = 0
    others = used.sum(axis=0) - own
    divisor = np.maximum(others, 1)
    return (common @ used - own * others) / divisor, likeness @ used / divisor
