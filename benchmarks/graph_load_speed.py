"""How fast a log becomes a graph: 1,000,000 accesses into an embedded one, and again; and others.

    python -m benchmarks.graph_load_speed
    RISKML_GRAPH_PASSWORD=... python -m benchmarks.graph_load_speed --store bolt://localhost:7687

The peer is what Ladybug's own documentation has for lists of rows: `UNWIND` and `MERGE`, each row
looked up and merged by itself, here in the same batches and transactions. It makes the same graph.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ladybug
import numpy as np
import polars as pl

from riskml.graph.embedded import EmbeddedGraph
from riskml.graph.loading import load_graph
from riskml.graph.model import MEMBER_OF, RELATIONS, accesses_of, members_of, pairs
from riskml.graph.store import GraphStore, open_graph

USERS, RESOURCES, SOURCES, GROUPS, DAYS = 5_000, 50_000, 2_000, 20, 120
PEER_ROWS = 5_000


def make_log(n: int, seed: int = 0) -> pl.DataFrame:
    """Events of users in groups; resources are as popular as Zipf's law has them."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, USERS, n)
    start = np.datetime64("2024-01-01", "us")
    times = start + np.sort(rng.integers(0, DAYS * 86_400_000_000, n)).astype("timedelta64[us]")
    return pl.DataFrame(
        {
            "event_id": [f"e{i:09d}" for i in range(n)],
            "user_id": [f"u{i}" for i in user],
            "timestamp": pl.Series(times).dt.replace_time_zone("UTC"),
            "action": rng.choice(["read", "write", "login", "delete"], n),
            "resource": [f"file/{i}" for i in np.minimum(rng.zipf(1.3, n), RESOURCES)],
            "source": [f"10.0.{i // 256}.{i % 256}" for i in rng.integers(0, SOURCES, n)],
            "success": rng.random(n) < 0.97,
            "role": [f"role {i % GROUPS}" for i in user],
        }
    )


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def load(store: GraphStore, log: pl.DataFrame, batch: int) -> float:
    return timed(lambda: load_graph(store, log.iter_slices(batch), "role"))


def merge_by_rows(path: Path, log: pl.DataFrame, batch: int) -> float:
    """The peer."""
    with EmbeddedGraph(path, writes=True) as store:
        store.prepare()
    with ladybug.Database(path) as database, ladybug.Connection(database) as connection:

        def send(query: str, rows: pl.DataFrame) -> None:
            connection.execute(f"UNWIND $rows AS row {query}", {"rows": rows.to_dicts()})

        def work() -> None:
            for events in log.iter_slices(batch):
                rows, members = accesses_of(events), members_of(events, "role")
                connection.execute("BEGIN TRANSACTION")
                for label, column, key in (
                    ("User", "user_id", "user_id"),
                    ("Resource", "resource", "name"),
                    ("Source", "source", "name"),
                ):
                    send(f"MERGE (:{label} {{{key}: row.{column}}})", rows.select(column).unique())
                names = members.select("peer_group").unique()
                send("MERGE (:PeerGroup {name: row.peer_group})", names)
                send(
                    "MERGE (a:Access {event_id: row.event_id}) "
                    "SET a.at = row.at, a.action = row.action, a.success = row.success",
                    rows.select("event_id", "at", "action", "success"),
                )
                for relation in RELATIONS:
                    a, b = relation.start, relation.end
                    send(
                        f"MATCH (a:{a.label} {{{a.key}: row.start_key}}), "
                        f"(b:{b.label} {{{b.key}: row.end_key}}) MERGE (a)-[:{relation.name}]->(b)",
                        pairs(members if relation is MEMBER_OF else rows, relation),
                    )
                connection.execute("COMMIT")

        return timed(work)


def row(name: str, events: int, seconds: float) -> None:
    print(f"| {name} | {events:,} | {seconds:.1f} | {events / seconds:,.0f} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--batch", type=int, default=250_000)
    arguments.add_argument("--peer-events", type=int, default=20_000)
    arguments.add_argument("--store", help="a server instead of a file; it should be empty")
    arguments.add_argument("--user", default="neo4j")
    arguments.add_argument("--database")
    given = arguments.parse_args()
    print("| | accesses | seconds | accesses a second |\n|---|---:|---:|---:|")
    if given.store is not None:
        log = make_log(given.peer_events)
        about = {"user": given.user, "database": given.database}
        with open_graph(given.store, writes=True, **about) as store:
            store.prepare()
            row("over Bolt", len(log), load(store, log, 10_000))
            row("over Bolt, once more", len(log), load(store, log, 10_000))
        return
    with tempfile.TemporaryDirectory() as folder:
        log = make_log(given.events)
        with EmbeddedGraph(Path(folder) / "graph", writes=True) as store:
            store.prepare()
            row("embedded, into an empty graph", len(log), load(store, log, given.batch))
            row("embedded, once more", len(log), load(store, log, given.batch))
        size = (Path(folder) / "graph").stat().st_size / 2**20
        some = log[: given.peer_events]
        for name, one in (("ours", True), ("UNWIND and MERGE", False)):
            path = Path(folder) / name
            if one:
                with EmbeddedGraph(path, writes=True) as store:
                    store.prepare()
                    seconds = load(store, some, PEER_ROWS)
            else:
                seconds = merge_by_rows(path, some, PEER_ROWS)
            row(f"embedded, {name}, batches of {PEER_ROWS:,}", len(some), seconds)
    print(f"\nThe file of the first takes {size:,.0f} MiB.")


if __name__ == "__main__":
    main()
