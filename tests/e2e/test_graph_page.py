"""The page around an alert in a real browser: it asks for nothing, and shows paths.

Skipped where there is no Chromium: `apt-get install chromium`, or name one in RISKML_CHROMIUM.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from riskml.graph.drawing import draw
from riskml.graph.neighbourhood import neighbourhood
from riskml.graph.page import save_page
from riskml.graph.store import open_graph
from tests.unit.graph.worlds import alert_of, embedded, events

pytestmark = pytest.mark.slow


def test_page_shows_paths_and_asks_for_nothing(browser: Any, tmp_path: Path) -> None:
    log = events()
    with open_graph(str(embedded(tmp_path / "g", log))) as store:
        found = neighbourhood(store, alert_of(log, "eng2", (10, 25)))
    save_page(found, tmp_path / "why.html")
    drawing = draw(found)
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto((tmp_path / "why.html").as_uri())
    assert said == [(tmp_path / "why.html").as_uri()]
    boxes, told = page.locator("g.box"), page.locator("#told")
    assert boxes.count() == len(drawing.boxes)
    assert page.locator("path").count() == len(drawing.lines)

    last = drawing.boxes[-1]  # a peer or a group, right
    near = {line.start for line in drawing.lines if line.end == last.id} | {last.id, "user"}
    boxes.nth(len(drawing.boxes) - 1).hover()
    bright = page.locator("g.box:not(.dim)")
    assert bright.count() == len(near) < len(drawing.boxes)
    assert last.title in told.inner_text()
    page.mouse.move(1, 1)
    assert page.locator(".dim").count() == 0

    boxes.nth(1).focus()
    page.keyboard.press("Enter")
    page.mouse.move(1, 1)
    page.locator("#things td").first.click()
    assert drawing.boxes[1].title in told.inner_text(), "what was chosen stays"
    # no box hides another, and no words leave theirs
    for column in range(3):
        mine = [n for n, box in enumerate(drawing.boxes) if box.column == column]
        areas = [boxes.nth(n).locator("rect").bounding_box() for n in mine]
        assert all(a["y"] + a["height"] <= b["y"] for a, b in pairwise(areas))
        for n, area in zip(mine, areas, strict=True):
            for text in boxes.nth(n).locator("text").all():
                words = text.bounding_box()
                assert words["x"] + words["width"] <= area["x"] + area["width"] + 1
    page.close()
