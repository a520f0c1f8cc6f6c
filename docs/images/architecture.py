"""Draws architecture.svg beside this file: `python docs/images/architecture.py`.

A test holds the words in its boxes to the folders of riskml/.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 980, 500
ROOM, STORE = "#dbe7fb", "#fdf0d0"

ROOMS = {
    "data": (118, 90, ["data"]),
    "features": (294, 90, ["features"]),
    "detectors": (470, 90, ["models", "baselines", "wrappers"]),
    "scoring": (646, 90, ["scoring"]),
    "evaluation": (822, 90, ["evaluation"]),
    "export": (470, 212, ["export"]),
    "serving": (294, 334, ["serving", "streaming"]),
    "alerting": (558, 334, ["alerting"]),
    "reporting": (734, 334, ["reporting"]),
    "graph": (734, 412, ["graph"]),
    "monitoring": (294, 412, ["monitoring"]),
    "triage": (558, 412, ["triage"]),
}
"""Boxes of folders by name: the middle of the box, and what is in it."""

WORDS = {
    "log": (40, 80), "events": (206, 80), "windows": (382, 80), "score": (558, 80),
    "risk, alert": (734, 80), "report": (926, 80), "bundle": (330, 204),
    "events ": (170, 324), "alerts": (425, 324), "verdicts": (858, 448), "people": (912, 339),
}  # fmt: skip
"""What goes from room to room, by the middle of the word."""


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Words around a point."""
    return f'<text x="{x:g}" y="{y:g}" {more}>{escape(words)}</text>'


def box(x: float, y: float, lines: list[str], fill: str, width: float = 92) -> Iterator[str]:
    """A rounded box with lines of text."""
    height = 22 + 16 * len(lines)
    yield (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
        f'height="{height}" rx="8" fill="{fill}" stroke="#3b5b92"/>'
    )
    for i, line in enumerate(lines):
        yield text(x, y + 5 + 16 * (i - (len(lines) - 1) / 2), line)


def arrow(path: str, dashed: bool = False) -> str:
    """A line with a head at its end."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="#555" marker-end="url(#head)"{dash}/>'


def lane(y: float, height: float, title: str) -> Iterator[str]:
    """A band with its title."""
    yield (
        f'<rect x="8" y="{y:g}" width="{WIDTH - 16}" height="{height:g}" rx="12" '
        f'fill="#f3f5f9" stroke="#d5dae5"/>'
    )
    yield text(20, y + 20, title, 'class="lane"')


def drawing() -> Iterator[str]:
    """All elements, those at the back first."""
    yield from lane(14, 134, "in the laboratory: train.py and evaluate.py")
    yield from lane(262, 224, "at work: the commands of riskml")
    yield arrow("M16 90 H70")
    for x in (166, 342, 518, 694):  # from room to room
        yield arrow(f"M{x} 90 H{x + 80}")
    yield arrow("M870 90 H962")
    yield arrow("M470 126 V190")
    yield arrow("M646 112 V212 H520")
    yield arrow("M422 212 H294 V306")
    yield arrow("M118 334 H244")
    yield arrow("M342 334 H508")
    yield arrow("M606 334 H684")
    yield arrow("M782 334 H880")
    yield arrow("M582 312 C640 282 840 282 896 318")
    yield arrow("M900 348 C860 456 700 470 606 416", dashed=True)
    yield arrow("M558 393 V357", dashed=True)
    yield arrow("M294 393 V363", dashed=True)
    yield arrow("M606 346 C650 360 660 400 684 408")
    for x, y, names in ROOMS.values():
        yield from box(x, y, names, ROOM)
    for word, (x, y) in WORDS.items():
        yield text(x, y, word.strip(), 'class="thing"')


def svg() -> str:
    """The whole picture."""
    body = "\n".join(drawing())
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<title>How riskml is built: what goes from folder to folder, in the laboratory and at work</title>
<style>
text {{ font: 14px system-ui, sans-serif; text-anchor: middle; fill: #1d2433 }}
.thing {{ font-style: italic; fill: #444 }}
.lane {{ text-anchor: start; font-size: 12px; fill: #5a6375 }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="#fff"/>
{body}
</svg>
"""


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(svg(), encoding="utf-8")
