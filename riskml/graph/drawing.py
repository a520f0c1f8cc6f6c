"""A neighbourhood as boxes in three columns and lines between them; what pictures and pages show.

The user stands left, what was touched in the middle, the oddest above, and who else touches it
right: peers by name, other users by their groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from riskml.graph.neighbourhood import Neighbourhood, Oddness, Thing

Row = TypeVar("Row")

THINGS, PEERS, GROUPS = 12, 8, 5
"""At most so many boxes of a kind; more is unreadable."""

USER, PEER, GROUP, NO_GROUP = "user", "peer", "another group", "no group"

LONGEST = 44
"""Characters of a name; the middle of longer ones is left out."""

COLOURS = {
    Oddness.NEW_TO_ALL: "#9b1c31",
    Oddness.NEW_TO_PEERS: "#c1440e",
    Oddness.NEW_TO_USER: "#a87900",
    Oddness.USUAL: "#6b7682",
}
WORDS = {
    Oddness.NEW_TO_ALL: "new to everybody",
    Oddness.NEW_TO_PEERS: "new to the user and used by no peer",
    Oddness.NEW_TO_USER: "new to the user, used by others",
    Oddness.USUAL: "used before",
}
USER_COLOUR, PEER_COLOUR, OTHER_COLOUR = "#1a1d21", "#0b4f8a", "#4a5159"


@dataclass(frozen=True)
class Box:
    """Something in the picture.

    Args:
        id: of the box; unique.
        column: 0 left, 1 middle, 2 right.
        place: from the top of its column, 0 to 1.
        title: its name.
        lines: further words below.
        colour: of its border.
    """

    id: str
    column: int
    place: float
    title: str
    lines: tuple[str, ...]
    colour: str


@dataclass(frozen=True)
class Line:
    """From a box to one right of it.

    Args:
        start: id of the left box.
        end: id of the right one.
        accesses: that it stands for.
        colour: of it.
        words: what it says.
    """

    start: str
    end: str
    accesses: int
    colour: str
    words: str


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Args:
        boxes: all of them.
        lines: between them.
        left_out: what there was no room for, in words; empty: nothing.
    """

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    left_out: str


def draw(found: Neighbourhood) -> Drawing:
    """Put a neighbourhood in its places."""
    things = _chosen(found.things)
    people = _people(things)
    shown = sorted(people, key=_weight)
    names = [each for each in shown if each.kind == PEER][:PEERS]
    groups = [each for each in shown if each.kind != PEER][:GROUPS]
    # beside what they touch, so that few lines cross
    right = sorted([*names, *groups], key=lambda each: (each.place, each.kind, each.name))
    about = (*found.groups, f"{len(found.peers):,} peer{'' if len(found.peers) == 1 else 's'}")
    boxes = [Box(USER, 0, 0.5, cut(found.alert.user_id), (", ".join(about),), USER_COLOUR)]
    for place, (number, thing) in _spread(list(enumerate(things))):
        title = thing.name if thing.kind == "resource" else f"from {thing.name}"
        told = (thing.sentence(len(found.peers)), _since(thing))
        colour = COLOURS[thing.oddness]
        boxes.append(Box(f"thing {number}", 1, place, cut(title), told, colour))
    for place, each in _spread(right):
        boxes.append(Box(each.id, 2, place, cut(each.name), (each.words,), each.colour))
    lines = []
    for number, thing in enumerate(things):
        words = f"{', '.join(thing.actions)}: {thing.accesses:,} in the window"
        colour = COLOURS[thing.oddness]
        lines.append(Line(USER, f"thing {number}", thing.accesses, colour, words))
    for each in right:
        for number, (accesses, words) in each.uses.items():
            lines.append(Line(f"thing {number}", each.id, accesses, each.colour, words))
    peers = sum(each.kind == PEER for each in people) - len(names)
    groups_left = len(people) - len(right) - peers
    rest = (("thing", len(found.things) - len(things)), ("peer", peers), ("group", groups_left))
    missing = [f"{n:,} more {what}{'' if n == 1 else 's'}" for what, n in rest if n]
    return Drawing(tuple(boxes), tuple(lines), f"Not drawn: {', '.join(missing)}." * bool(missing))


@dataclass(frozen=True)
class _Other:
    """A peer or another group, with the things that it touches by their number."""

    kind: str
    name: str
    uses: dict[int, tuple[int, str]]

    @property
    def id(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def place(self) -> float:
        return sum(self.uses) / len(self.uses)

    @property
    def colour(self) -> str:
        return PEER_COLOUR if self.kind == PEER else OTHER_COLOUR

    @property
    def words(self) -> str:
        n = len(self.uses)
        return f"{self.kind}, touches {n:,} of these"


def _weight(other: _Other) -> tuple[int, int, str]:
    """Who touches the oddest comes first, then who touches most."""
    return (min(other.uses), -len(other.uses), other.name)


def _people(things: Sequence[Thing]) -> list[_Other]:
    found: dict[tuple[str, str], dict[int, tuple[int, str]]] = {}
    for number, thing in enumerate(things):
        for peer in thing.peers:
            words = f"{peer.accesses:,} since {peer.first:%Y-%m-%d}"
            found.setdefault((PEER, peer.user_id), {})[number] = (peer.accesses, words)
        for name, users in thing.groups:
            words = f"{users:,} user{'' if users == 1 else 's'}"
            found.setdefault((GROUP, name), {})[number] = (users, words)
        if n := thing.groupless:
            words = f"{n:,} user{'' if n == 1 else 's'}"
            found.setdefault((NO_GROUP, "others"), {})[number] = (n, words)
    return [_Other(kind, name, uses) for (kind, name), uses in found.items()]


def _since(thing: Thing) -> str:
    peers = "never" if thing.first_by_peers is None else f"{thing.first_by_peers:%Y-%m-%d}"
    return (
        f"first: user {thing.first_by_user:%Y-%m-%d}, a peer {peers}, "
        f"anybody {thing.first_by_anyone:%Y-%m-%d}"
    )


def cut(name: str) -> str:
    """A name without its middle where it is too long.

    >>> cut("x" * 50 + "/report.xlsx")
    'xxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxx/report.xlsx'
    """
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-(LONGEST - 1 - half) :]}"


def _chosen(things: tuple[Thing, ...]) -> list[Thing]:
    """The oddest of both kinds, resources first, at least three of the sources."""
    resources = [thing for thing in things if thing.kind == "resource"]
    sources = [thing for thing in things if thing.kind == "source"]
    room = min(len(sources), max(3, THINGS - len(resources)))
    return [*resources[: THINGS - room], *sources[:room]]


def _spread(rows: Sequence[Row]) -> list[tuple[float, Row]]:
    return [((place + 0.5) / len(rows), row) for place, row in enumerate(rows)]
