"""A small organisation whose answers can be counted, and the graph that is made of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.alert import Alert
from riskml.core.schema import EVENT_SCHEMA
from riskml.graph.embedded import EmbeddedGraph
from riskml.graph.loading import load_graph
from riskml.graph.neighbourhood import Neighbourhood, neighbourhood
from riskml.graph.store import GraphStore

START = datetime(2024, 1, 1, tzinfo=UTC)
GROUPS = {"finance": 6, "engineers": 9, "guests": 1}


def events(n: int = 900, seed: int = 7, hours: int = 24 * 40) -> pl.DataFrame:
    """Events with a column `role`; a tenth have no resource, a tenth no source."""
    draw = random.Random(seed)
    users = [(f"{role[:3]}{i}", role) for role, size in GROUPS.items() for i in range(size)]
    rows = []
    for number in range(n):
        user, role = draw.choice(users)
        own = draw.random() < 0.8
        resource = f"{role if own else draw.choice(list(GROUPS))}/{int(draw.expovariate(0.1))}"
        rows.append(
            {
                "event_id": f"e{number}",
                "user_id": user,
                "timestamp": START + timedelta(minutes=draw.randrange(hours * 60)),
                "action": draw.choice(["read", "write", "delete"]),
                "resource": None if draw.random() < 0.1 else resource,
                "source": None if draw.random() < 0.1 else f"10.0.0.{draw.randrange(12)}",
                "success": draw.choice([True, True, True, False, None]),
                "role": role,
            }
        )
    schema = {**EVENT_SCHEMA, "role": pl.String()}
    return pl.DataFrame(rows, schema=schema).sort("timestamp", "event_id")


def embedded(path: Path, log: pl.DataFrame, peers: str | None = "role") -> Path:
    """The graph of a log, in a file."""
    with EmbeddedGraph(path, writes=True) as store:
        store.prepare()
        load_graph(store, [log], peers)
    return path


CONTENT = {
    "accesses": "MATCH (a:Access) RETURN a.event_id, a.at, a.action, a.success",
    "users": "MATCH (u:User) RETURN u.user_id",
    "groups": "MATCH (g:PeerGroup) RETURN g.name",
    "resources": "MATCH (r:Resource) RETURN r.name",
    "sources": "MATCH (s:Source) RETURN s.name",
    "did": "MATCH (u:User)-[:DID]->(a:Access) RETURN u.user_id, a.event_id",
    "touched": "MATCH (a:Access)-[:TOUCHED]->(r:Resource) RETURN a.event_id, r.name",
    "came": "MATCH (a:Access)-[:CAME_FROM]->(s:Source) RETURN a.event_id, s.name",
    "uses": "MATCH (u:User)-[:USES]->(r:Resource) RETURN u.user_id, r.name",
    "members": "MATCH (u:User)-[:MEMBER_OF]->(g:PeerGroup) RETURN u.user_id, g.name",
}
"""Queries that tell all that is in a graph."""


def content(store: GraphStore) -> dict[str, list[tuple[object, ...]]]:
    """All nodes and relations, sorted; those that are there twice stand twice."""
    return {
        name: sorted(map(tuple, store.ask(query).rows), key=repr) for name, query in CONTENT.items()
    }


def expected(log: pl.DataFrame) -> dict[str, list[tuple[object, ...]]]:
    """The same, by plain polars."""
    of = {
        "accesses": ["event_id", "timestamp", "action", "success"],
        "users": ["user_id"],
        "groups": ["role"],
        "resources": ["resource"],
        "sources": ["source"],
        "did": ["user_id", "event_id"],
        "touched": ["event_id", "resource"],
        "came": ["event_id", "source"],
        "uses": ["user_id", "resource"],
        "members": ["user_id", "role"],
    }
    found = {}
    for name, columns in of.items():
        rows = log.select(columns)
        if name != "accesses":
            rows = rows.drop_nulls()
        found[name] = sorted(rows.unique().rows(), key=repr)
    return found


def values_for(log: pl.DataFrame, parameters: Iterable[str]) -> dict[str, Any]:
    """Values of the ten questions' parameters."""
    of_finance = log.filter(pl.col("resource").str.starts_with("finance"))
    popular = of_finance.group_by("resource").len().sort("len", "resource")
    every = {
        "user": "fin1",
        "resource": popular["resource"][-1],
        "since": START + timedelta(days=30),
        "most": 7,
        "least": 2,
    }
    return {name: every[name] for name in parameters}


def answers(log: pl.DataFrame, values: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Answers of the ten questions by plain polars; those that lack a value are left out."""
    at, user = pl.col("timestamp"), values.get("user")
    since, most = values.get("since"), values.get("most")
    touched = log.drop_nulls("resource").rename({"user_id": "user"})
    firsts = touched.group_by("user", "resource").agg(
        first=at.min(), accesses=pl.len().cast(pl.Int64)
    )
    uses = touched.select("user", "resource").unique()
    role = log.select(user="user_id", role="role").unique()
    found: dict[str, pl.DataFrame] = {}
    if resource := values.get("resource"):
        found["users-of"] = (
            touched.filter(pl.col("resource") == resource)
            .group_by("user")
            .agg(accesses=pl.len().cast(pl.Int64), first=at.min(), last=at.max())
            .sort("accesses", "user", descending=[True, False])
        )
    if user is not None:
        mine = uses.filter(pl.col("user") == user)["resource"]
        own_role = role.filter(pl.col("user") == user)["role"].item()
        peers = role.filter((pl.col("role") == own_role) & (pl.col("user") != user))["user"]
        theirs = uses.filter(pl.col("user").is_in(peers.implode()))["resource"]
        alone = sorted(set(mine) - set(theirs))
        found["not-of-peers"] = pl.DataFrame({"resource": alone}, schema={"resource": pl.String})
    if user is not None and since is not None:
        found["new-resources"] = (
            firsts.filter((pl.col("user") == user) & (pl.col("first") >= since))
            .select("resource", "first", "accesses")
            .sort("first", "resource")
        )
    if user is not None and resource:
        found["peers-who-use"] = (
            firsts.filter((pl.col("resource") == resource) & pl.col("user").is_in(peers.implode()))
            .select(peer="user", first="first", accesses="accesses")
            .sort("first", "peer")
        )
        reach = uses.filter(pl.col("resource") == resource)["user"]
        found["ways-to"] = (
            uses.filter(
                pl.col("user").is_in(reach.implode())
                & (pl.col("user") != user)
                & pl.col("resource").is_in(mine.implode())
                & (pl.col("resource") != resource)
            )
            .group_by(other="user")
            .agg(shared=pl.len().cast(pl.Int64))
            .sort("shared", "other", descending=[True, False])
        )
    if most is not None:
        counted = uses.group_by("resource").agg(pl.len().alias("users"), pl.col("user").min())
        one = counted.filter(pl.col("users") == 1).select("resource", "user").sort("resource")
        found["used-by-one"] = one.head(most)
    if since is not None:
        came = log.drop_nulls("source").rename({"user_id": "user"})
        ever = came.group_by("source").agg(ever=at.min())
        found["new-sources"] = (
            came.group_by("user", "source")
            .agg(first=at.min())
            .filter(pl.col("first") >= since)
            .join(ever, on="source")
            .select("user", "source", "first", new_to_all=pl.col("ever") == pl.col("first"))
            .sort("first", "user", "source")
        )
        if (least := values.get("least")) is not None:
            found["shared-sources"] = (
                came.filter(at >= since)
                .group_by("source")
                .agg(
                    users=pl.col("user").n_unique().cast(pl.Int64), accesses=pl.len().cast(pl.Int64)
                )
                .filter(pl.col("users") >= least)
                .sort("users", "accesses", "source", descending=[True, True, False])
            )
    if since is not None and most is not None:
        found["failures"] = (
            log.filter((at >= since) & (pl.col("success") == False))  # noqa: E712
            .group_by(user="user_id")
            .agg(
                failures=pl.len().cast(pl.Int64),
                resources=pl.col("resource").drop_nulls().n_unique().cast(pl.Int64),
            )
            .sort("failures", "user", descending=[True, False])
            .head(most)
        )
        found["widened-reach"] = (
            firsts.filter(pl.col("first") >= since)
            .group_by("user")
            .agg(resources=pl.len().cast(pl.Int64))
            .sort("resources", "user", descending=[True, False])
            .head(most)
        )
    return found


def alert_of(log: pl.DataFrame, user: str, days: tuple[int, int]) -> Alert:
    """An alert over some days of a user, as a window has it: from first to last event."""
    start, end = (START + timedelta(days=day) for day in days)
    when = log.filter(pl.col("user_id") == user, pl.col("timestamp").is_between(start, end))
    times = when["timestamp"].to_list()
    return Alert(f"{user}/x", user, times[0], times[-1], 91.0, ("why <b>not</b> $x$",))


def around(log: pl.DataFrame, alert: Alert, column: str) -> dict[str, dict[str, Any]]:
    """What a neighbourhood says of each thing, by loops over rows."""
    rows = [row for row in log.to_dicts() if row["timestamp"] <= alert.end and row[column]]
    roles = dict(log.select("user_id", "role").iter_rows())
    own = roles[alert.user_id]
    found = {}
    mine = [r for r in rows if r["user_id"] == alert.user_id and r["timestamp"] >= alert.start]
    for name in {row[column] for row in mine}:
        uses = [row for row in rows if row[column] == name]
        by_user = [row for row in uses if row["user_id"] == alert.user_id]
        inside = [row for row in mine if row[column] == name]
        of_peers = [r for r in uses if roles[r["user_id"]] == own and r not in by_user]
        others = {row["user_id"] for row in uses if roles[row["user_id"]] != own}
        groups = Counter(roles[user] for user in others)
        found[name] = {
            "accesses": len(inside),
            "actions": tuple(sorted({row["action"] for row in inside})),
            "failed": sum(row["success"] is False for row in inside),
            "before": len(by_user) - len(inside),
            "first_by_user": min(row["timestamp"] for row in by_user),
            "first_by_peers": min((row["timestamp"] for row in of_peers), default=None),
            "first_by_anyone": min(row["timestamp"] for row in uses),
            "peers": {
                user: (min(r["timestamp"] for r in part), len(part))
                for user in {row["user_id"] for row in of_peers}
                for part in [[row for row in of_peers if row["user_id"] == user]]
            },
            "others": len(others),
            "groupless": 0,
            "groups": tuple(sorted(groups.items(), key=lambda item: (-item[1], item[0]))),
        }
    return found


def check_around(store: GraphStore, log: pl.DataFrame, alert: Alert) -> Neighbourhood:
    """A neighbourhood that says of each thing what loops over the log's rows say."""
    found = neighbourhood(store, alert)
    for kind in ("resource", "source"):
        things = {thing.name: thing for thing in found.things if thing.kind == kind}
        wanted = around(log, alert, kind)
        assert things.keys() == wanted.keys()
        for name, thing in things.items():
            told = {key: getattr(thing, key) for key in wanted[name]}
            told["peers"] = {p.user_id: (p.first, p.accesses) for p in thing.peers}
            assert told == wanted[name], name
    return found
