"""Events into the graph, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import polars as pl

from riskml.graph.model import MEMBER_SCHEMA, accesses_of, members_of
from riskml.graph.store import GraphStore


@dataclass(frozen=True)
class Loaded:
    """What a load has done.

    Args:
        events: read.
        new: accesses that were not in the graph before.
        seconds: it took.
    """

    events: int = 0
    new: int = 0
    seconds: float = 0.0


Progress = Callable[[Loaded], None]
"""Told after each batch what is done so far."""


def load_graph(
    store: GraphStore,
    batches: Iterable[pl.DataFrame],
    peers: str | pl.DataFrame | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Keep events as accesses; a batch is in the graph as a whole or not at all.

    Events that are there already change nothing, so a load that was cut off is done again.

    Args:
        store: that `prepare` has set up.
        batches: events, columns of `core.schema.EVENT_SCHEMA`, in any order.
        peers: the column of the events that names the user's peer group, or a table of groups,
            columns of `model.MEMBER_SCHEMA`; None: there are no groups.
        progress: is told after each batch.

    Raises:
        DataError: the events lack the column, or the store refuses; batches before are kept.
    """
    began, done = time.perf_counter(), Loaded()
    for events in batches:
        new = store.add(accesses_of(events), _members(events, peers))
        seconds = time.perf_counter() - began
        done = replace(done, events=done.events + len(events), new=done.new + new, seconds=seconds)
        if progress is not None:
            progress(done)
    return done


def _members(events: pl.DataFrame, peers: str | pl.DataFrame | None) -> pl.DataFrame:
    if peers is None:
        return pl.DataFrame(schema=MEMBER_SCHEMA)
    if isinstance(peers, str):
        return members_of(events, peers)
    return peers.join(events.select("user_id"), on="user_id", how="semi")
