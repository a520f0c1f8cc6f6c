"""A neighbourhood as an HTML page that needs no other file, no server and no network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from riskml.core.redaction import printable
from riskml.graph.drawing import COLOURS, WORDS, draw
from riskml.graph.neighbourhood import Neighbourhood, Thing

HEADS = (
    "kind",
    "name",
    "why it is odd",
    "accesses",
    "failed",
    "actions",
    "before",
    "first by the user",
    "first by a peer",
    "first by anybody",
    "peers",
    "others",
)


def save_page(found: Neighbourhood, path: Path) -> None:
    """Write the page, UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found), encoding="utf-8")


def page(found: Neighbourhood) -> str:
    """The page: a picture that answers to pointer and keyboard, and all numbers as tables."""
    alert = found.alert
    drawing = asdict(draw(found))
    # "</script>" in a name must not end the script
    data = json.dumps(drawing, ensure_ascii=False).replace("<", "\\u003c")
    template = files("riskml.graph").joinpath("templates").joinpath("neighbourhood.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        user=_text(alert.user_id),
        window=_text(alert.window_id),
        start=_time(alert.start),
        end=_time(alert.end),
        risk=f"{alert.risk:.0f}",
        groups=_text(", ".join(found.groups) or "none known"),
        peers=f"{len(found.peers):,}",
        reasons="".join(f"<li>{_text(reason)}</li>" for reason in alert.reasons),
        legend="".join(
            f'<li><i style="background:{COLOURS[each]}"></i>{WORDS[each]}</li>' for each in WORDS
        ),
        heads="".join(f"<th>{head}</th>" for head in HEADS),
        rows="".join(_row(thing, len(found.peers)) for thing in found.things),
        uses="".join(_uses(thing) for thing in found.things),
        data=data,
    )


def _row(thing: Thing, peers: int) -> str:
    first = (thing.first_by_user, thing.first_by_peers, thing.first_by_anyone)
    cells = (
        thing.kind,
        thing.name,
        thing.sentence(peers),
        f"{thing.accesses:,}",
        f"{thing.failed:,}",
        ", ".join(thing.actions),
        f"{thing.before:,}",
        *("never" if time is None else _time(time) for time in first),
        f"{len(thing.peers):,}",
        _others(thing),
    )
    return f'<tr style="--mark:{COLOURS[thing.oddness]}">{_cells(cells)}</tr>'


def _uses(thing: Thing) -> str:
    return "".join(
        f"<tr>{_cells((thing.name, peer.user_id, _time(peer.first), f'{peer.accesses:,}'))}</tr>"
        for peer in thing.peers
    )


def _others(thing: Thing) -> str:
    groups = ", ".join(f"{name} {users:,}" for name, users in thing.groups)
    return f"{thing.others:,}" + (f" ({groups})" if groups else "")


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{_text(value)}</td>" for value in values)


def _text(value: str) -> str:
    return escape(printable(value))


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"
