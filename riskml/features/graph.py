"""Who works on what, as a graph of users and resources learnt from the train period.

The graph is built from the first part of the train period alone: what it says of the rest is
then as new to it as what comes later, so a detector learns from train windows what the features
are worth.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import polars as pl

from riskml.core.errors import did_you_mean, require
from riskml.core.types import LOG_RATIO, RARITY, SHARE, Feature, FeatureKind, FloatArray
from riskml.features.access_graph import STRANGER, AccessGraph
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents
from riskml.features.first_times import FIRST, FirstTimes, packed
from riskml.features.profile import USER, Profile
from riskml.features.rows import Array, begins, filled, find, micros

_CONTINUOUS, _COUNT = FeatureKind.CONTINUOUS, FeatureKind.COUNT
_MEANINGS = {
    "resource_rarity": (
        _CONTINUOUS,
        "mean rarity of the resources, by how many users share them",
        RARITY,
    ),
    "edge_rarity": (_CONTINUOUS, "mean rarity of the resources in this user's own work", RARITY),
    "foreign_resources": (_COUNT, "resources of another community than the user's", ""),
    "resource_distance": (
        _CONTINUOUS,
        "mean distance of the resources from the user's own work",
        RARITY,
    ),
    "degree_ratio": (
        _CONTINUOUS,
        "different resources against those of the user's own work",
        LOG_RATIO,
    ),
    "common_neighbours": (
        _CONTINUOUS,
        "mean logarithm of the work in common with the resources' other users",
        "",
    ),
    "jaccard_novelty": (
        _CONTINUOUS,
        "mean unlikeness of the user to those who use the resources that are not the user's",
        SHARE,
    ),
    "bridge_score": (
        _CONTINUOUS,
        "chance that two of the resources are of different communities",
        SHARE,
    ),
    "new_to_community": (_COUNT, "resources never met by the user's community before", ""),
}
_AT_FIRST = ("resource_rarity", "edge_rarity", "foreign_resources", "resource_distance")
"""The columns of extractors that were saved before there were others."""

_FIRST = "new_to_community"
_OF_COMMUNITIES = 255
"""The column of the first times' table, where those of `novelty` count from 0."""

_SLOTS = 2**20


class GraphFeatures(FeatureFamily):
    """Degrees, rare and new edges, common neighbours, communities, and personalised PageRank.

    Args:
        share: part of the train period, from its start, whose events make the graph.
        iterations: steps of the PageRank; each is one product with the sparse graph.
        kept: the resources nearest to a user whose rank is kept; others have the least of them.
        seed: of the communities (Leiden, Traag et al. 2019).
        columns: names of the features.

    Raises:
        ConfigError: a number is out of range, or there is no such column.
    """

    name = "graph"

    def __init__(
        self,
        share: float = 0.5,
        iterations: int = 12,
        kept: int = 500,
        seed: int = 0,
        columns: tuple[str, ...] | list[str] = tuple(_MEANINGS),
    ) -> None:
        setting = "features.families.graph"
        require(f"{setting}.share", share, 0 < share <= 1, "must lie in (0, 1]")
        require(f"{setting}.iterations", iterations, iterations >= 1, "must be at least 1")
        require(f"{setting}.kept", kept, kept >= 1, "must be at least 1")
        odd = [name for name in columns if name not in _MEANINGS]
        told = f"are not known: {did_you_mean(odd[0], _MEANINGS)}" if odd else ""
        require(f"{setting}.columns", odd, not odd, told)
        require(f"{setting}.columns", columns, len(columns) > 0, "must name a column")
        self.share, self.iterations, self.kept, self.seed = share, iterations, kept, seed
        self.columns = tuple(columns)
        self.graph = AccessGraph()

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "share": self.share,
            "iterations": self.iterations,
            "kept": self.kept,
            "seed": self.seed,
            "columns": list(self.columns),
        }

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """Made anew from what `settings` gave, now or before there was a choice of columns."""
        return cls(**{"columns": _AT_FIRST, **settings})

    @property
    def shares_first_times(self) -> bool:
        """Whether a window depends on when others first met a resource."""
        return _FIRST in self.columns

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
        self.graph = AccessGraph.of(edges, self.iterations, self.kept, self.seed)

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """The columns."""
        return [Feature(name, self.name, *_MEANINGS[name]) for name in self.columns]

    # ---- first times of communities

    def arrive(self, events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
        """Flag what nobody of the user's community has met before, and remember it."""
        if not self.shares_first_times or events.is_empty():
            return events, profile
        row, key, time = self._met(events)
        # a run of one resource is one meeting
        once = begins(key) | begins(events[USER].to_numpy()[row])
        known = FirstTimes.of(profile.tables.get(FIRST))
        after = known.merged(FirstTimes.least(key[once], time[once]))
        flagged = _flagged(events, row, after.at(key) >= time)
        return flagged, profile.with_table(FIRST, after.table()) if len(row) else profile

    def settle(self, events: pl.DataFrame, profile: Profile) -> pl.DataFrame:
        """Take back first times that somebody of the community had before, in another bucket."""
        table = profile.tables.get(FIRST)
        if not self.shares_first_times or table is None or events.is_empty():
            return events
        row, key, time = self._met(events)
        new = events[_FIRST].to_numpy()[row] > 0
        new[new] = FirstTimes.of(table).at(key[new]) >= time[new]
        return _flagged(events, row, new)

    def _met(self, events: pl.DataFrame) -> tuple[Array, Array, Array]:
        """Events of communities with resources: their rows, keys of both, and times."""
        hashes, there = filled(events["resource"])
        user = find(self.graph.state["users"], events[USER].to_numpy())
        community = self.graph.community_of("user", user)
        row = np.flatnonzero(there & (community != STRANGER))
        slot = hashes[row] & np.uint64(_SLOTS - 1)
        key = packed(community[row], np.full(len(row), _OF_COMMUNITIES), slot)
        return row, key, micros(events["timestamp"])[row]

    # ---- windows

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, columns]; means are over the different resources of a window."""
        event, value = windows.changes("resource")
        pairs = pl.DataFrame({"row": windows.row[event], "resource": value})
        pairs = pairs.unique(maintain_order=True)
        row = pairs["row"].to_numpy()
        user = find(self.graph.state["users"], windows.keys[USER].to_numpy())
        resource = find(self.graph.state["resources"], pairs["resource"].to_numpy())
        asked = _Asked(self.graph, len(windows), row, user, resource)
        made = []
        for name in self.columns:
            if name == _FIRST:
                flags = windows.column(_FIRST).view(bool)
                rows = np.flatnonzero(flags)
                met = pl.DataFrame(
                    {"row": windows.row[rows], "resource": windows.events["resource"].gather(rows)}
                ).unique()
                made.append(np.bincount(met["row"].to_numpy(), minlength=len(windows)))
            else:
                made.append(getattr(asked, name)())
        return np.column_stack(made).astype(np.float32), profile

    def arrays(self) -> dict[str, Array]:
        """Nodes, edges and ranks."""
        return self.graph.state

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put them back."""
        self.graph = AccessGraph.restored(arrays)


class _Asked:
    """The different resources of windows, asked of the graph; a method a column.

    Args:
        graph: that is asked.
        windows: how many there are.
        row: int64 [z], the window of each resource.
        user: int64 [windows], places of their users in the graph, −1 where not in it.
        resource: int64 [z], places of the resources.
    """

    def __init__(
        self, graph: AccessGraph, windows: int, row: Array, user: Array, resource: Array
    ) -> None:
        self.graph, self.row, self.resource = graph, row, resource
        self.of_window, self.user = user, user[row]
        self.n = np.bincount(row, minlength=windows)

    def _sum(self, values: Array) -> Array:
        return np.bincount(self.row, values, minlength=len(self.n))

    def _mean(self, values: Array) -> Array:
        found: Array = self._sum(values) / np.maximum(self.n, 1)
        return found

    def resource_rarity(self) -> Array:
        users, degrees = max(self.graph.n_users, 1), self.graph.state["degree"]
        degree = np.where(self.resource >= 0, degrees[self.resource], 0) if users > 1 else 0
        return self._mean(np.log10((users + 1) / (degree + 1.0)) * np.ones(len(self.row)))

    def edge_rarity(self) -> Array:
        return self._mean(-np.log10(self.graph.share(self.user, self.resource, 1e-4)))

    def foreign_resources(self) -> Array:
        home = self.graph.community_of("user", self.user)
        there = self.graph.community_of("resource", self.resource)
        return self._sum((home != there) & (home != STRANGER))

    def resource_distance(self) -> Array:
        return self._mean(-np.log10(self.graph.near("rank", self.user, self.resource, 1e-6)))

    def degree_ratio(self) -> Array:
        known = self.of_window >= 0
        usual = np.zeros(len(known))
        usual[known] = self.graph.user_degree[self.of_window[known]]
        return np.where(known, np.log((1 + self.n) / (1 + usual)), 0)

    def common_neighbours(self) -> Array:
        return self._mean(np.log1p(self.graph.near("common", self.user, self.resource)))

    def jaccard_novelty(self) -> Array:
        unlike = 1 - self.graph.near("likeness", self.user, self.resource)
        return self._mean(np.where(self.graph.has(self.user, self.resource), 0, unlike))

    def bridge_score(self) -> Array:
        there = self.graph.community_of("resource", self.resource) - STRANGER
        width = int(there.max(initial=0)) + 1
        cell, count = np.unique(self.row * width + there, return_counts=True)
        same = np.bincount(cell // width, count.astype(float) ** 2, minlength=len(self.n))
        return np.where(self.n > 0, 1 - same / np.maximum(self.n, 1) ** 2, 0)


def _flagged(events: pl.DataFrame, row: Array, flags: Array) -> pl.DataFrame:
    found = np.zeros(len(events), np.uint8)
    found[row] = flags
    return events.with_columns(pl.Series(_FIRST, found))
