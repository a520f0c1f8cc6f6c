"""What stands around an alert, and how it is drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from worlds import GROUPS, START, alert_of, check_around, embedded, events

from riskml.core.alert import Alert
from riskml.core.errors import ConfigError, DataError
from riskml.core.schema import EVENT_SCHEMA
from riskml.graph.drawing import GROUP, PEER, PEERS, THINGS, draw
from riskml.graph.neighbourhood import Neighbourhood, Oddness, neighbourhood
from riskml.graph.page import page, save_page
from riskml.graph.picture import save_picture
from riskml.graph.store import GraphStore, open_graph

LOG = events()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    with open_graph(str(embedded(tmp_path_factory.mktemp("graph") / "g", LOG))) as opened:
        yield opened


@pytest.fixture(scope="module")
def found(store: GraphStore) -> Neighbourhood:
    return neighbourhood(store, alert_of(LOG, "eng2", (10, 25)))


@pytest.mark.parametrize("user", ["fin0", "eng5", "gue0"])
@pytest.mark.parametrize("days", [(0, 3), (12, 19), (0, 40), (38, 40)])
def test_every_number_is_that_of_the_log(
    store: GraphStore, user: str, days: tuple[int, int]
) -> None:
    around = check_around(store, LOG, alert_of(LOG, user, days))
    (role,) = around.groups
    assert len(around.peers) == GROUPS[role] - 1 and user not in around.peers


def story(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """Events of (user, role, resource, hour)."""
    made = [
        {"event_id": str(n), "user_id": user, "timestamp": START + timedelta(hours=hour),
         "action": "read", "resource": resource, "source": None, "success": True, "role": role}
        for n, (user, role, resource, hour) in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(made, schema={**EVENT_SCHEMA, "role": pl.String()})


def test_the_oddest_comes_first_and_says_why(tmp_path: Path) -> None:
    log = story(
        ("ann", "sales", "own", 0), ("ann", "sales", "own", 50), ("bob", "sales", "team", 1),
        ("ann", "sales", "team", 50), ("cid", "legal", "theirs", 2), ("ann", "sales", "theirs", 51),
        ("ann", "sales", "fresh", 52), ("bob", "sales", "fresh", 52 + 24),
    )  # fmt: skip
    with open_graph(str(embedded(tmp_path / "g", log))) as opened:
        hours = [START + timedelta(hours=hour) for hour in (50, 52)]
        around = neighbourhood(opened, Alert("ann/2", "ann", hours[0], hours[1], 80.0))
    told = [(t.name, t.oddness, t.sentence(len(around.peers))) for t in around.things]
    assert told == [
        ("fresh", Oddness.NEW_TO_ALL, "new: nobody had used it before"),
        ("theirs", Oddness.NEW_TO_PEERS,
         "new to the user, and the only peer never uses it; 1 other (legal) does"),
        ("team", Oddness.NEW_TO_USER, "new to the user; 1 of 1 peers uses it"),
        ("own", Oddness.USUAL, "used once before, since 2024-01-01"),
    ]  # fmt: skip


def test_without_groups_others_are_counted(tmp_path: Path) -> None:
    log = story(("ann", "x", "a", 5), ("bob", "x", "a", 1), ("bob", "x", "b", 9))
    with open_graph(str(embedded(tmp_path / "g", log, peers=None))) as opened:
        at = START + timedelta(hours=5)
        around = neighbourhood(opened, Alert("ann/1", "ann", at, at, 80.0))
        (thing,) = around.things
        assert thing.sentence(0) == "new to the user; 1 other uses it"
        assert thing.groupless == 1 and draw(around).boxes[-1].title == "others"
        early = START + timedelta(hours=4)
        with pytest.raises(DataError, match="has no access of user ann in the alert's window"):
            neighbourhood(opened, Alert("ann/0", "ann", early, early, 80.0))
        with pytest.raises(DataError, match="does not know user kim"):
            neighbourhood(opened, Alert("kim/0", "kim", at, at, 80.0))


def test_plain_values_are_json(found: Neighbourhood) -> None:
    told = json.loads(json.dumps(found.plain()))
    assert told["alert"]["user_id"] == "eng2"
    assert [each["name"] for each in told["things"]] == [thing.name for thing in found.things]
    assert all(each["why"] for each in told["things"])


def test_drawing_has_the_oddest_and_says_what_is_missing(found: Neighbourhood) -> None:
    drawing = draw(found)
    columns = [[box for box in drawing.boxes if box.column == c] for c in range(3)]
    assert len(columns[0]) == 1 and len(columns[1]) == min(len(found.things), THINGS)
    assert sum(box.id.startswith(PEER) for box in columns[2]) <= PEERS
    assert len(found.things) > THINGS
    assert f"{len(found.things) - THINGS} more thing" in drawing.left_out
    ids = {box.id for box in drawing.boxes}
    assert len(ids) == len(drawing.boxes)
    assert all(line.start in ids and line.end in ids for line in drawing.lines)
    # each line right of the middle is a use that the neighbourhood tells of
    shown = [
        t for t in found.things if t.name in {b.title.removeprefix("from ") for b in columns[1]}
    ]
    uses = {peer.user_id for thing in shown for peer in thing.peers}
    groups = {name for thing in shown for name, _ in thing.groups}
    for box in columns[2]:
        kind, name = (PEER, uses) if box.id.startswith(PEER) else (GROUP, groups)
        assert box.id == f"{kind} {box.title}" and box.title in name


def test_a_picture_holds_every_name_that_is_drawn(found: Neighbourhood, tmp_path: Path) -> None:
    save_picture(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        save_picture(found, tmp_path / "a.svg")
    drawn = " ".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    for box in draw(found).boxes:
        assert box.title in drawn
    assert "why <b>not</b> $x$" in drawn
    with pytest.raises(ConfigError, match=r"must end with \.png or \.svg"):
        save_picture(found, tmp_path / "a.pdf")


def test_a_page_needs_nothing_else_and_names_run_nothing(
    found: Neighbourhood, tmp_path: Path
) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    things = (replace(found.things[0], name=evil), *found.things[1:])
    path = tmp_path / "deep" / "why.html"
    save_page(replace(found, things=things), path)
    text = path.read_text(encoding="utf-8")
    assert text == page(replace(found, things=things))
    assert text.count("</script>") == 2 and "<img" not in text
    assert not re.search(r"(?:src|href)\s*=|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text
                         .replace("&lt;img src=x onerror", ""))  # fmt: skip
    (data,) = re.findall(r'<script type="application/json" id="data">(.+?)</script>', text)
    boxes = json.loads(data)["boxes"]
    assert any(box["title"].startswith("</script><script>") for box in boxes)
    for thing in found.things[1:]:
        assert thing.sentence(len(found.peers)).replace("'", "&#x27;") in text
