"""What stands in the graph: labels, their keys, relations, and accesses as rows of a table.

    (User)-[:MEMBER_OF]->(PeerGroup)
    (User)-[:DID]->(Access)-[:TOUCHED]->(Resource)
                   (Access)-[:CAME_FROM]->(Source)
    (User)-[:USES]->(Resource)            one for each pair that has an access

Every node has a key, every relation stands between two nodes once. All that is derived from the
accesses is a set of them: the same events again, in any order, make the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from riskml.core.errors import DataError, did_you_mean
from riskml.core.schema import TIMESTAMP

FORMAT = 1
MARK = "RiskmlGraph"
"""Label of the one node that says that the graph is set up, with its `format`."""


@dataclass(frozen=True)
class Named:
    """A kind of node that is nothing but its name.

    Args:
        label: of the nodes.
        key: the property that names one.
        column: of the accesses that holds the names.
    """

    label: str
    key: str
    column: str


@dataclass(frozen=True)
class Relation:
    """A kind of relation.

    Args:
        name: its type.
        start: where it begins.
        end: where it leads.
        once: many accesses make it, so that it may be there already.
    """

    name: str
    start: Named
    end: Named
    once: bool = False


USER = Named("User", "user_id", "user_id")
PEERS = Named("PeerGroup", "name", "peer_group")
RESOURCE = Named("Resource", "name", "resource")
SOURCE = Named("Source", "name", "source")
ACCESS = Named("Access", "event_id", "event_id")

NAMED = (USER, PEERS, RESOURCE, SOURCE)
MEMBER_OF = Relation("MEMBER_OF", USER, PEERS, once=True)
USES = Relation("USES", USER, RESOURCE, once=True)
DID = Relation("DID", USER, ACCESS)
TOUCHED = Relation("TOUCHED", ACCESS, RESOURCE)
CAME_FROM = Relation("CAME_FROM", ACCESS, SOURCE)
RELATIONS = (MEMBER_OF, USES, DID, TOUCHED, CAME_FROM)

ACCESS_COLUMNS = ("event_id", "at", "action", "success")
"""Properties of an access, the key first; `at` in UTC."""

SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "at": TIMESTAMP,
    "action": pl.String(),
    "success": pl.Boolean(),
    "user_id": pl.String(),
    "resource": pl.String(),
    "source": pl.String(),
}
"""Of accesses, as a store takes them; names that are missing are null."""

MEMBER_SCHEMA: dict[str, pl.DataType] = {"user_id": pl.String(), "peer_group": pl.String()}
"""Of who belongs where, a row for each user and group."""


def accesses_of(events: pl.DataFrame) -> pl.DataFrame:
    """Events as accesses: columns of `SCHEMA`, each id once.

    Args:
        events: columns of `core.schema.EVENT_SCHEMA`.
    """
    named = events.with_columns(at=pl.col("timestamp"))
    known = [pl.col(name).cast(kind) for name, kind in SCHEMA.items()]
    blank = [pl.col(kind.column).replace("", None) for kind in (RESOURCE, SOURCE)]
    rows = named.select(known).with_columns(blank)
    return rows.unique("event_id", keep="first", maintain_order=True)


def members_of(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Who belongs where, by a column of a table of users or events: columns of `MEMBER_SCHEMA`.

    Raises:
        DataError: the table has no such column, or no `user_id`.
    """
    for name in ("user_id", column):
        if name not in rows.columns:
            near = did_you_mean(name, rows.columns)
            raise DataError(f"peer groups: there is no column '{name}' (--peers): {near}")
    found = rows.select(
        user_id=pl.col("user_id").cast(pl.String),
        peer_group=pl.col(column).cast(pl.String).replace("", None),
    )
    return found.drop_nulls().unique(maintain_order=True)


def pairs(rows: pl.DataFrame, relation: Relation) -> pl.DataFrame:
    """Ends of a relation in these accesses, `start_key` and `end_key`; each pair once."""
    columns = {"start_key": relation.start.column, "end_key": relation.end.column}
    found = rows.select(**{name: pl.col(column) for name, column in columns.items()}).drop_nulls()
    return found.unique(maintain_order=True) if relation.once else found


def names(rows: pl.DataFrame, kind: Named) -> pl.DataFrame:
    """Names of a kind in these accesses, `name`; each once."""
    return rows.select(name=pl.col(kind.column)).drop_nulls().unique(maintain_order=True)
