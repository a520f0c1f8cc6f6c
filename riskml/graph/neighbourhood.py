"""What stands around an alert in the graph: what was touched, who else touches it, since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import polars as pl

from riskml.core.alert import Alert
from riskml.core.errors import DataError
from riskml.core.redaction import shown
from riskml.graph.model import CAME_FROM, TOUCHED, Relation
from riskml.graph.store import GraphStore


class Oddness(StrEnum):
    """How odd it is that the user touched a thing, the oddest first."""

    NEW_TO_ALL = "new_to_all"
    NEW_TO_PEERS = "new_to_peers"
    NEW_TO_USER = "new_to_user"
    USUAL = "usual"


@dataclass(frozen=True)
class Peer:
    """A user of the same peer group who uses a thing, too.

    Args:
        user_id: the peer.
        first: when the peer first touched it.
        accesses: of the peer, up to the end of the window.
    """

    user_id: str
    first: datetime
    accesses: int


@dataclass(frozen=True)
class Thing:
    """A resource that the user touched in the window, or a source that the user came from.

    Args:
        kind: `resource` or `source`.
        name: of it.
        accesses: of the user, in the window.
        actions: that the user took, in order of their names.
        failed: accesses of the window that failed.
        before: accesses of the user before the window.
        first_by_user: ever.
        first_by_peers: of the user's peer groups without the user; None: by none.
        first_by_anyone: the user included.
        peers: who touched it up to the window's end, the earliest first.
        others: how many touched it up to then who are neither the user nor a peer.
        groups: peer groups of these others, with how many of them, most first.
        groupless: how many of the others are in none.
        oddness: what follows from that.
    """

    kind: str
    name: str
    accesses: int
    actions: tuple[str, ...]
    failed: int
    before: int
    first_by_user: datetime
    first_by_peers: datetime | None
    first_by_anyone: datetime
    peers: tuple[Peer, ...]
    others: int
    groups: tuple[tuple[str, int], ...]
    groupless: int
    oddness: Oddness

    def sentence(self, peers: int) -> str:
        """What is odd about it, in words.

        Args:
            peers: how many the user has.
        """
        elsewhere = f"{self.others} other{'' if self.others == 1 else 's'}" if self.others else ""
        if elsewhere and self.groups:
            elsewhere += f" ({', '.join(name for name, _ in self.groups[:2])})"
        if self.oddness is Oddness.USUAL:
            times = "once" if self.before == 1 else f"{self.before:,} times"
            return f"used {times} before, since {self.first_by_user:%Y-%m-%d}"
        if self.oddness is Oddness.NEW_TO_ALL:
            return "new: nobody had used it before"
        if self.oddness is Oddness.NEW_TO_PEERS:
            nobody = f"none of {peers:,} peers" if peers > 1 else "the only peer never"
            return f"new to the user, and {nobody} uses it" + (
                f"; {elsewhere} do{'es' if self.others == 1 else ''}" if elsewhere else ""
            )
        if not peers:
            return f"new to the user; {elsewhere} use{'s' if self.others == 1 else ''} it"
        n = len(self.peers)
        return f"new to the user; {n:,} of {peers:,} peers use{'s' if n == 1 else ''} it"


@dataclass(frozen=True)
class Neighbourhood:
    """An alert and what is around it.

    Args:
        alert: it.
        groups: peer groups of the user.
        peers: everybody else in them, in order of their names.
        things: resources, then sources, each the oddest first.
    """

    alert: Alert
    groups: tuple[str, ...]
    peers: tuple[str, ...]
    things: tuple[Thing, ...]

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        found: dict[str, Any] = _plain(asdict(self))
        for row, thing in zip(found["things"], self.things, strict=True):
            row["why"] = thing.sentence(len(self.peers))
        return found


_IN_WINDOW = """\
MATCH (u:User {{user_id: $user}})-[:DID]->(a:Access)-[:{relation}]->(t:{label})
WHERE a.at >= $since AND a.at <= $until
RETURN t.name AS name, a.action AS action, a.success AS success, count(a) AS accesses"""

_USERS_OF = """\
MATCH (t:{label})<-[:{relation}]-(a:Access)<-[:DID]-(u:User)
WHERE t.name IN $names AND a.at <= $until
RETURN t.name AS name, u.user_id AS user, min(a.at) AS first, count(a) AS accesses"""

_GROUPS = """\
MATCH (u:User {user_id: $user})-[:MEMBER_OF]->(g:PeerGroup)
RETURN g.name AS name ORDER BY name"""

_PEERS = """\
MATCH (u:User {user_id: $user})-[:MEMBER_OF]->(g:PeerGroup)<-[:MEMBER_OF]-(p:User)
WHERE p.user_id <> $user
RETURN DISTINCT p.user_id AS user ORDER BY user"""

_MEMBERS = """\
MATCH (g:PeerGroup)<-[:MEMBER_OF]-(u:User) WHERE u.user_id IN $users
RETURN g.name AS name, u.user_id AS user"""


def neighbourhood(store: GraphStore, alert: Alert) -> Neighbourhood:
    """Look around an alert; what came after its window does not count.

    Raises:
        DataError: the graph has no such user, or no access of the user in the window.
    """
    user = {"user": alert.user_id}
    groups = [row[0] for row in store.ask(_GROUPS, user).rows]
    peers = [row[0] for row in store.ask(_PEERS, user).rows]
    things = [
        thing
        for kind, relation in (("resource", TOUCHED), ("source", CAME_FROM))
        for thing in _things(store, alert, kind, relation, peers)
    ]
    if not things:
        known = store.ask("MATCH (u:User {user_id: $user}) RETURN u.user_id", user).rows
        what = "has no access of" if known else "does not know"
        raise DataError(
            f"the graph {what} user {shown(alert.user_id)} in the alert's window, {alert.start} "
            f"to {alert.end}: load the log that was scored (riskml graph load)"
        )
    return Neighbourhood(alert, tuple(groups), tuple(peers), tuple(things))


def _things(
    store: GraphStore, alert: Alert, kind: str, relation: Relation, peers: list[str]
) -> list[Thing]:
    words = {"relation": relation.name, "label": relation.end.label}
    span = {"since": alert.start, "until": alert.end}
    touched = store.ask(_IN_WINDOW.format(**words), {"user": alert.user_id, **span}).dicts()
    if not touched:
        return []
    names = sorted({row["name"] for row in touched})
    uses = store.ask(_USERS_OF.format(**words), {"names": names, "until": alert.end}).frame()
    members = _members(store, uses, {alert.user_id, *peers})
    by_name = {str(key[0]): part for key, part in uses.group_by("name")}
    found = []
    for name in names:
        mine = [row for row in touched if row["name"] == name]
        found.append(_thing(kind, name, alert, mine, by_name[name], peers, members))
    order = list(Oddness)
    return sorted(found, key=lambda t: (order.index(t.oddness), len(t.peers), t.others, t.name))


def _members(store: GraphStore, uses: pl.DataFrame, inside: Iterable[str]) -> pl.DataFrame:
    """Groups of users who are neither the user nor peers: columns `name`, `user`."""
    outside = uses.filter(~pl.col("user").is_in(list(inside)))["user"].unique().to_list()
    rows = store.ask(_MEMBERS, {"users": outside}).rows if outside else []
    return pl.DataFrame(rows, schema={"name": pl.String, "user": pl.String}, orient="row")


def _thing(
    kind: str,
    name: str,
    alert: Alert,
    touched: list[dict[str, Any]],
    uses: pl.DataFrame,
    peers: list[str],
    members: pl.DataFrame,
) -> Thing:
    accesses = sum(row["accesses"] for row in touched)
    own = uses.row(by_predicate=pl.col("user") == alert.user_id, named=True)
    of_peers = uses.filter(pl.col("user").is_in(peers)).sort("first", "user")
    others = uses.filter(~pl.col("user").is_in([alert.user_id, *peers]))
    inside = members.filter(pl.col("user").is_in(others["user"].to_list()))
    groups = inside.group_by("name").len()
    ever = min(uses["first"])
    before = own["accesses"] - accesses
    if before:
        oddness = Oddness.USUAL
    elif ever == own["first"]:
        oddness = Oddness.NEW_TO_ALL
    else:
        alone = of_peers.is_empty() and bool(peers)
        oddness = Oddness.NEW_TO_PEERS if alone else Oddness.NEW_TO_USER
    return Thing(
        kind=kind,
        name=name,
        accesses=accesses,
        actions=tuple(sorted({row["action"] for row in touched})),
        failed=sum(row["accesses"] for row in touched if row["success"] is False),
        before=before,
        first_by_user=own["first"],
        first_by_peers=None if of_peers.is_empty() else of_peers["first"][0],
        first_by_anyone=ever,
        peers=tuple(
            Peer(row["user"], row["first"], row["accesses"])
            for row in of_peers.iter_rows(named=True)
        ),
        others=len(others),
        groups=tuple(groups.sort("len", "name", descending=[True, False]).iter_rows()),
        groupless=len(others) - inside["user"].n_unique(),
        oddness=oddness,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
