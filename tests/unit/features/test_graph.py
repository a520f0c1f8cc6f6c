"""The graph of users and resources, against one that is drawn by hand and against igraph."""

from __future__ import annotations

import math
from datetime import timedelta

import igraph
import numpy as np
import polars as pl
import pytest
from event_tables import ZERO, column, extractor, table, worldly_log

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.graph import GraphFeatures
from riskml.features.hashing import hashed
from riskml.features.windows import BlockWindows, UserDayWindows

TWO_TEAMS = {
    **{user: ["wiki", "code", "tests", "build"] for user in ("ann", "bob", "cem")},
    **{user: ["wiki", "books", "taxes", "pay"] for user in ("dee", "eve", "fay")},
}


def log(work: dict[str, list[str]], days: int = 0) -> pl.DataFrame:
    """An event for each resource of each user."""
    pairs = [(user, resource) for user, names in work.items() for resource in names]
    times = [ZERO + timedelta(days=days, minutes=i) for i in range(len(pairs))]
    users, resources = zip(*pairs, strict=True)
    return table(users, times, resource=resources)


def fitted(events: pl.DataFrame, **settings: float) -> FeatureExtractor:
    families = {"graph": GraphFeatures(**{"share": 1.0, **settings})}  # type: ignore[arg-type]
    return extractor(BlockWindows(1), families=families).fit(events)


def one(made: FeatureExtractor, user: str, *resources: str | None) -> dict[str, float]:
    """Features of one window."""
    made.window = BlockWindows(len(resources))
    windows = made.windows(
        table([user] * len(resources), [ZERO] * len(resources), resource=resources)
    )
    assert len(windows) == 1
    return dict(zip(windows.spec.names, windows.x[0].tolist(), strict=True))


def test_against_the_graph_by_hand() -> None:
    made = fitted(log(TWO_TEAMS))
    home, away, both = one(made, "ann", "code"), one(made, "ann", "pay"), one(made, "ann", "wiki")
    # three of six users share it; nobody's share of a user's four equal edges is other than ¼
    assert home["resource_rarity"] == pytest.approx(math.log10(7 / 4))
    assert both["resource_rarity"] == pytest.approx(math.log10(7 / 7))
    assert home["edge_rarity"] == pytest.approx(-math.log10(0.25))
    assert away["edge_rarity"] == pytest.approx(4)
    assert home["foreign_resources"] == 0
    assert away["foreign_resources"] == 1
    assert home["resource_distance"] < away["resource_distance"]
    # different resources count once, missing ones not at all
    some = one(made, "ann", "code", "code", None, "pay", "taxes")
    assert some["foreign_resources"] == 2
    mean = (home["edge_rarity"] + 4 + 4) / 3
    assert some["edge_rarity"] == pytest.approx(mean)


def test_who_and_what_is_not_known() -> None:
    made = fitted(log(TWO_TEAMS))
    for user, resource in (("zoe", "code"), ("ann", "moon"), ("zoe", "moon"), ("ann", None)):
        found = one(made, user, resource)
        assert all(math.isfinite(value) for value in found.values())
        assert found["foreign_resources"] == (user == "ann" and resource == "moon")
    assert one(made, "ann", "moon")["resource_rarity"] == pytest.approx(math.log10(7))
    assert set(one(made, "ann", None).values()) == {0.0}
    nothing = fitted(table(["ann"] * 3, [ZERO] * 3))
    assert all(math.isfinite(value) for value in one(nothing, "ann", "code").values())
    single = fitted(table(["ann"], [ZERO], resource=["f"]))
    assert all(math.isfinite(value) for value in one(single, "ann", "f").values())


@pytest.mark.parametrize("seed", range(3))
def test_personalised_pagerank_against_igraph(seed: int) -> None:
    events = worldly_log(seed).filter(pl.col("resource").is_not_null())
    edges = events.group_by("user_id", "resource").len("events").sort("user_id", "resource")
    names = [*edges["user_id"].unique().sort(), *edges["resource"].unique().sort()]
    place = {name: i for i, name in enumerate(names)}
    graph = igraph.Graph(
        n=len(names),
        edges=[(place[user], place[resource]) for user, resource, _ in edges.rows()],
    )
    weights = np.log1p(edges["events"].to_numpy()).tolist()
    exact, usual = fitted(events, iterations=200), fitted(events)
    for user in ("user0", "user7"):
        rank = np.array(graph.personalized_pagerank(reset_vertices=[place[user]], weights=weights))
        resources = [name for name in names if name.startswith("file")]
        expected = {name: rank[place[name]] for name in resources}
        found, few = ranks(exact, user, resources), ranks(usual, user, resources)
        for name in resources:
            # float32, and igraph's own accuracy
            assert found[name] == pytest.approx(expected[name], rel=1e-3)
        assert sorted(resources, key=lambda name: -found[name])[0] == max(
            resources, key=lambda name: expected[name]
        )
        order = np.argsort(np.argsort([[e[n] for n in resources] for e in (expected, few)]))
        assert np.corrcoef(order)[0, 1] > 0.99


def ranks(made: FeatureExtractor, user: str, resources: list[str]) -> dict[str, float]:
    family = made.families[0]
    assert isinstance(family, GraphFeatures)
    names = pl.DataFrame({"name": [user, *resources]}).select(hashed("name")).to_series().to_numpy()
    u = np.flatnonzero(family.state["users"] == names[0])
    r = np.searchsorted(family.state["resources"], names[1:])
    return dict(zip(resources, family._rank(np.repeat(u, len(r)), r).tolist(), strict=True))


def test_the_same_graph_every_time_and_only_of_its_share_of_the_train_period() -> None:
    events = worldly_log(4)
    first, again = (fitted(events, share=0.5).families[0].arrays() for _ in range(2))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    # what comes after half of the period leaves the graph as it is
    span = events["timestamp"]
    half = span.min() + (span.max() - span.min()) / 2  # type: ignore[operator]
    poisoned = events.with_columns(
        resource=pl.when(pl.col("timestamp") > half).then(pl.lit("poison")).otherwise("resource")
    )
    other = fitted(poisoned, share=0.5).families[0].arrays()
    assert all(first[name].tobytes() == other[name].tobytes() for name in first)
    everything = fitted(events, share=1.0).families[0].arrays()
    assert len(everything["edge_user"]) > len(first["edge_user"])


def test_only_the_nearest_are_kept() -> None:
    made = fitted(worldly_log(4), kept=5)
    state = made.families[0].arrays()
    assert np.bincount(state["rank_user"]).tolist() == [5] * 12
    windows: Windows = made.windows(worldly_log(5))
    assert max(column(windows, "resource_distance")) == pytest.approx(6)


def test_impossible_settings() -> None:
    for setting in ({"share": 0.0}, {"iterations": 0}, {"kept": 0}):
        with pytest.raises(ConfigError, match=f"features.families.graph.{next(iter(setting))}"):
            GraphFeatures(**setting)  # type: ignore[arg-type]


def test_strangers_in_a_whole_log() -> None:
    made = extractor(UserDayWindows(), families={"graph": GraphFeatures()}).fit(worldly_log(1))
    strangers = worldly_log(2).with_columns(
        user_id="new-" + pl.col("user_id"), resource="new-" + pl.col("resource")
    )
    assert np.isfinite(made.windows(strangers).x).all()
