"""The graph of users and resources, against one that is drawn by hand and against igraph."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import igraph
import numpy as np
import polars as pl
import pytest
from event_tables import ZERO, column, extractor, table, worldly_log
from safetensors.numpy import load_file, save_file

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.graph import GraphFeatures
from riskml.features.hashing import hashed
from riskml.features.profile import Profile
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


def fitted(events: pl.DataFrame, **settings: Any) -> FeatureExtractor:
    families = {"graph": GraphFeatures(**{"share": 1.0, **settings})}
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


def test_neighbours_against_loops() -> None:
    events = worldly_log(6).filter(pl.col("resource").is_not_null())
    made = fitted(events)
    work: dict[str, set[str]] = {}
    for user, resource in events.select("user_id", "resource").rows():
        work.setdefault(user, set()).add(resource)
    everything = sorted(set.union(*work.values()))
    for user in list(work)[:4]:
        for resource in everything:
            others = [v for v in work if v != user and resource in work[v]]
            common = [len((work[user] & work[v]) - {resource}) for v in others]
            alike = [len(work[user] & work[v]) / len(work[user] | work[v]) for v in others]
            found = one(made, user, resource)
            mean = sum(common) / max(len(others), 1)
            assert found["common_neighbours"] == pytest.approx(math.log1p(mean), abs=1e-6)
            unlike = 0 if resource in work[user] else 1 - sum(alike) / max(len(others), 1)
            assert found["jaccard_novelty"] == pytest.approx(unlike, abs=1e-6)
            assert found["degree_ratio"] == pytest.approx(math.log(2 / (1 + len(work[user]))))
    assert one(made, "user0", "moon")["jaccard_novelty"] == 1
    assert one(made, "zoe", everything[0])["jaccard_novelty"] == 1


def test_a_bridge_is_between_communities() -> None:
    made = fitted(log(TWO_TEAMS))
    assert one(made, "ann", "code", "tests")["bridge_score"] == 0
    assert one(made, "ann", "code", "pay")["bridge_score"] == pytest.approx(0.5)
    assert one(made, "ann", "code", "code", "pay", "moon")["bridge_score"] == pytest.approx(2 / 3)


def test_first_of_the_community() -> None:
    made = fitted(log(TWO_TEAMS))
    made.window = UserDayWindows()
    visits = [
        ("ann", 1, ["code", "new", "new", None]),
        ("bob", 2, ["new", "newer"]),
        ("dee", 2, ["new"]),
        ("zoe", 3, ["newest"]),
        ("ann", 4, ["newer", "newest"]),
    ]
    rows = [
        (u, ZERO + timedelta(days=d, minutes=i), r) for u, d, rs in visits for i, r in enumerate(rs)
    ]
    users, times, resources = zip(*rows, strict=True)
    windows = made.windows(table(users, times, resource=resources))
    # zoe is of no community, and what she did first is new to ann's
    assert column(windows, "new_to_community") == [2, 1, 1, 0, 1]


def test_users_side_by_side_are_told_of_each_others_first_times() -> None:
    made, events = fitted(worldly_log(4)), worldly_log(5).sort("timestamp")
    met, _ = made.meet(events, Profile())
    half = pl.col("user_id").is_in(["user0", "user2", "user5", "user7"])
    parts = [made.meet(events.filter(chosen), Profile()) for chosen in (half, ~half)]
    both = parts[0][1].merge(parts[1][1])
    settled = pl.concat([made.settle(part, both) for part, _ in parts])
    flags = settled.sort("user", maintain_order=True)["new_to_community"]
    assert flags.to_list() == met["new_to_community"].to_list()
    alone = pl.concat([part for part, _ in parts])["new_to_community"]
    assert alone.sum() > flags.sum() > 0


def test_columns_are_chosen_and_old_extractors_have_four(tmp_path: Path) -> None:
    few = fitted(worldly_log(4), columns=["bridge_score", "edge_rarity"])
    assert few.spec.names == ["bridge_score", "edge_rarity"]
    assert not few.shares_first_times
    made = fitted(worldly_log(4))
    assert made.shares_first_times
    made.save(tmp_path)
    path = tmp_path / "features.json"
    state = json.loads(path.read_text())
    del state["families"]["graph"]["columns"]
    path.write_text(json.dumps(state))
    arrays = load_file(tmp_path / "features.safetensors")
    late = ("graph.common", "graph.likeness")
    kept = {name: array for name, array in arrays.items() if name not in late}
    save_file(kept, tmp_path / "features.safetensors")
    old = FeatureExtractor.load(tmp_path)
    assert old.spec.names == made.spec.names[:4]
    events = worldly_log(5)
    np.testing.assert_array_equal(old.windows(events).x, made.windows(events).x[:, :4])


def test_who_and_what_is_not_known() -> None:
    made = fitted(log(TWO_TEAMS))
    for user, resource in (("zoe", "code"), ("ann", "moon"), ("zoe", "moon"), ("ann", None)):
        found = one(made, user, resource)
        assert all(math.isfinite(value) for value in found.values())
        assert found["foreign_resources"] == (user == "ann" and resource == "moon")
    assert one(made, "ann", "moon")["resource_rarity"] == pytest.approx(math.log10(7))
    without = one(made, "ann", None)
    # nothing is less than usual
    assert without.pop("degree_ratio") == pytest.approx(-math.log(5))
    assert set(without.values()) == {0.0}
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
    graph = family.graph
    u = np.flatnonzero(graph.state["users"] == names[0])
    r = np.searchsorted(graph.state["resources"], names[1:])
    found = graph.near("rank", np.repeat(u, len(r)), r, 1e-6)
    return dict(zip(resources, found.tolist(), strict=True))


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
    for setting in ({"share": 0.0}, {"iterations": 0}, {"kept": 0}, {"columns": []}):
        with pytest.raises(ConfigError, match=f"features.families.graph.{next(iter(setting))}"):
            GraphFeatures(**setting)  # type: ignore[arg-type]


def test_unknown_column() -> None:
    with pytest.raises(ConfigError, match=r"columns.*did you mean 'bridge_score'"):
        GraphFeatures(columns=["bridge_scores"])


def test_strangers_in_a_whole_log() -> None:
    made = extractor(UserDayWindows(), families={"graph": GraphFeatures()}).fit(worldly_log(1))
    strangers = worldly_log(2).with_columns(
        user_id="new-" + pl.col("user_id"), resource="new-" + pl.col("resource")
    )
    assert np.isfinite(made.windows(strangers).x).all()
