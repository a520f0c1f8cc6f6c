"""Who works on what, as a graph of users and resources learnt from the train period.

The graph is built from the first part of the train period alone: what it says of the rest is
then as new to it as what comes later, so a detector learns from train windows what the features
are worth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import RARITY, Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents
from riskml.features.profile import USER, Profile
from riskml.features.rows import Array, find

_DAMPING = 0.85
_STRANGER = -1


class GraphFeatures(FeatureFamily):
    """Degree, rarity of the edge, community crossing, and personalised PageRank.

    Args:
        share: part of the train period, from its start, whose events make the graph.
        iterations: steps of the PageRank; each is one product with the sparse graph.
        kept: the resources nearest to a user whose rank is kept; others have the least of them.
        seed: of the communities (Leiden, Traag et al. 2019).
    """

    name = "graph"

    def __init__(
        self, share: float = 0.5, iterations: int = 12, kept: int = 500, seed: int = 0
    ) -> None:
        setting = "features.families.graph"
        require(f"{setting}.share", share, 0 < share <= 1, "must lie in (0, 1]")
        require(f"{setting}.iterations", iterations, iterations >= 1, "must be at least 1")
        require(f"{setting}.kept", kept, kept >= 1, "must be at least 1")
        self.share, self.iterations, self.kept, self.seed = share, iterations, kept, seed
        empty = np.zeros(0)
        self._learn(
            {
                "users": empty.astype(np.uint64),
                "user_community": empty.astype(np.int32),
                "resources": empty.astype(np.uint64),
                "resource_community": empty.astype(np.int32),
                "degree": empty.astype(np.float32),
                "edge_user": empty.astype(np.int32),
                "edge_resource": empty.astype(np.int32),
                "edge_share": empty.astype(np.float32),
                "rank_user": empty.astype(np.int32),
                "rank_resource": empty.astype(np.int32),
                "rank": empty.astype(np.float32),
            }
        )

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "share": self.share,
            "iterations": self.iterations,
            "kept": self.kept,
            "seed": self.seed,
        }

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Build the graph, its communities and ranks."""
        events = windows.events.filter(pl.col("resource").is_not_null())
        time = pl.col("timestamp").to_physical()
        first = events.select(time.min()).item()
        last = events.select(time.max()).item()
        if first is None:
            return
        edges = (
            events.filter(time <= first + self.share * (last - first))
            .group_by(USER, "resource")
            .len("events")
            .sort(USER, "resource")
        )
        users, resources = edges[USER].unique().sort(), edges["resource"].unique().sort()
        u = np.searchsorted(users.to_numpy(), edges[USER].to_numpy())
        r = np.searchsorted(resources.to_numpy(), edges["resource"].to_numpy())
        # the hundredth visit says less than the first
        weight = np.log1p(edges["events"].to_numpy())
        community = self._communities(u, r + len(users), weight, len(users) + len(resources))
        of_user = np.bincount(u, weight, len(users))
        ranks = self._ranks(u, r, weight, len(users), len(resources))
        self._learn(
            {
                "users": users.to_numpy(),
                "user_community": community[: len(users)],
                "resources": resources.to_numpy(),
                "resource_community": community[len(users) :],
                "degree": np.bincount(r, minlength=len(resources)).astype(np.float32),
                "edge_user": u.astype(np.int32),
                "edge_resource": r.astype(np.int32),
                "edge_share": (weight / of_user[u]).astype(np.float32),
                **ranks,
            }
        )

    def _communities(self, u: Array, r: Array, weight: Array, n: int) -> Array:
        """Community of each node, users first."""
        import random

        import igraph

        graph = igraph.Graph(n=n, edges=np.column_stack([u, r]).tolist())
        igraph.set_random_number_generator(random.Random(self.seed))
        found = graph.community_leiden(
            objective_function="modularity", weights=weight.tolist(), n_iterations=3
        )
        igraph.set_random_number_generator(random)
        return np.array(found.membership, np.int32)

    def _ranks(self, u: Array, r: Array, weight: Array, n_users: int, n_resources: int) -> Any:
        """The personalised PageRank of each user's nearest resources (Haveliwala 2002)."""
        from scipy.sparse import csr_array, diags_array

        edges = csr_array((weight, (u, r)), shape=(n_users, n_resources))
        to_resource = diags_array(1 / edges.sum(axis=1)) @ edges
        to_user = diags_array(1 / edges.sum(axis=0)) @ edges.T
        kept = min(self.kept, n_resources)
        found: dict[str, list[Array]] = {"rank_user": [], "rank_resource": [], "rank": []}
        rows = max(1, 20_000_000 // max(n_users + n_resources, 1))
        for at in range(0, n_users, rows):
            chosen = np.arange(at, min(at + rows, n_users))
            start = csr_array(
                (np.ones(len(chosen)), (np.arange(len(chosen)), chosen)),
                shape=(len(chosen), n_users),
            ).toarray()
            at_user, at_resource = start, np.zeros((len(chosen), n_resources))
            for _ in range(self.iterations):
                at_resource = _DAMPING * (at_user @ to_resource)
                at_user = (1 - _DAMPING) * start + _DAMPING * (at_resource @ to_user)
            best = np.argpartition(-at_resource, kept - 1, axis=1)[:, :kept]
            found["rank_user"].append(np.repeat(chosen, kept).astype(np.int32))
            found["rank_resource"].append(best.ravel().astype(np.int32))
            rank = np.take_along_axis(at_resource, best, axis=1)
            found["rank"].append(rank.ravel().astype(np.float32))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """Four columns."""
        continuous, count = FeatureKind.CONTINUOUS, FeatureKind.COUNT
        return [
            Feature(
                "resource_rarity",
                self.name,
                continuous,
                "mean rarity of the resources, by how many users share them",
                RARITY,
            ),
            Feature(
                "edge_rarity",
                self.name,
                continuous,
                "mean rarity of the resources in this user's own work",
                RARITY,
            ),
            Feature(
                "foreign_resources",
                self.name,
                count,
                "resources of another community than the user's",
            ),
            Feature(
                "resource_distance",
                self.name,
                continuous,
                "mean distance of the resources from the user's own work",
                RARITY,
            ),
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, 4]; means are over the different resources of a window."""
        event, value = windows.changes("resource")
        pairs = pl.DataFrame({"row": windows.row[event], "resource": value})
        pairs = pairs.unique(maintain_order=True)
        row = pairs["row"].to_numpy()
        user = find(self.state["users"], windows.keys[USER].to_numpy())[row]
        resource = find(self.state["resources"], pairs["resource"].to_numpy())
        x = np.zeros((len(windows), 4))
        n_users = max(len(self.state["users"]), 1)
        degree = np.where(resource >= 0, self.state["degree"][resource], 0) if n_users > 1 else 0
        n = np.maximum(np.bincount(row, minlength=len(windows)), 1)

        def mean(values: Array) -> Array:
            found: Array = np.bincount(row, values, minlength=len(windows)) / n
            return found

        x[:, 0] = mean(np.log10((n_users + 1) / (degree + 1.0)) * np.ones(len(row)))
        x[:, 1] = mean(-np.log10(self._edge(user, resource)))
        home = _at(self.state["user_community"], user)
        there = _at(self.state["resource_community"], resource)
        x[:, 2] = np.bincount(row, (home != there) & (home != _STRANGER), minlength=len(windows))
        x[:, 3] = mean(-np.log10(self._rank(user, resource)))
        return x.astype(np.float32), profile

    def _edge(self, user: Array, resource: Array) -> Array:
        return self._look_up("edge", "edge_share", user, resource, least=1e-4)

    def _rank(self, user: Array, resource: Array) -> Array:
        return self._look_up("rank", "rank", user, resource, least=1e-6)

    def _look_up(self, kind: str, value: str, user: Array, resource: Array, least: float) -> Array:
        """Values of (user, resource) pairs; unknown pairs have the least."""
        keys, values = self.pairs[kind], self.state[value]
        if not len(keys):
            return np.full(len(user), least)
        wanted = user * np.int64(max(len(self.state["resources"]), 1)) + resource
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = (keys[at] == wanted) & (user >= 0) & (resource >= 0)
        return np.where(known, np.maximum(values[self.order[kind][at]], least), least)

    def _learn(self, state: dict[str, Array]) -> None:
        self.state = state
        self.pairs, self.order = {}, {}
        for kind in ("edge", "rank"):
            pairs = state[f"{kind}_user"] * np.int64(max(len(state["resources"]), 1))
            pairs = pairs + state[f"{kind}_resource"]
            self.order[kind] = np.argsort(pairs)
            self.pairs[kind] = pairs[self.order[kind]]

    def arrays(self) -> dict[str, Array]:
        """Nodes, edges and ranks."""
        return self.state

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put them back."""
        self._learn({name: arrays[name] for name in self.state})


def _at(values: Array, place: Array) -> Array:
    if not len(values):
        return np.full(len(place), _STRANGER)
    found: Array = np.where(place >= 0, values[place], _STRANGER)
    return found
