"""A neighbourhood as a picture: PNG or SVG."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from riskml.core.errors import ConfigError
from riskml.core.letters import lettered
from riskml.core.redaction import printable, shortened
from riskml.graph.drawing import COLOURS, WORDS, Box, Drawing, draw
from riskml.graph.neighbourhood import Neighbourhood

SUFFIXES = (".png", ".svg")
WIDTH, ROW, EDGE = 15.0, 0.86, 1.1
"""Inches: of the picture, of a row, above and below the rows."""

_LEFT = (0.2, 4.7, 11.9)
_WIDTHS = (2.7, 5.2, 2.9)
_HEIGHT, _LINE = 0.68, 0.2
_REASON = 150


def save_picture(found: Neighbourhood, path: Path) -> None:
    """Draw a neighbourhood.

    Raises:
        ConfigError: the name ends with neither .png nor .svg.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--picture {path}: its name must end with .png or .svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    lettered(picture(found)).savefig(path, dpi=130)


def picture(found: Neighbourhood) -> Figure:
    """The figure: the user, what was touched in the alert's window, who else touches it."""
    drawing, alert = draw(found), found.alert
    rows = max(sum(box.column == column for box in drawing.boxes) for column in (1, 2))
    reasons = [_safe(_short(reason)) for reason in alert.reasons[:3]]
    head = EDGE + 0.22 * len(reasons)
    height = rows * ROW + head + EDGE
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    title = (
        f"{alert.user_id}, {alert.start:%Y-%m-%d %H:%M} to {alert.end:%Y-%m-%d %H:%M} UTC: "
        f"risk {alert.risk:.0f} of 100"
    )
    axes.text(0.2, 0.35, _safe(title), fontsize=15, weight="bold", va="center")
    for number, reason in enumerate(reasons):
        axes.text(0.2, 0.68 + 0.22 * number, reason, fontsize=9.5, color="#4a5159", va="center")
    titles = ("the user", "touched in the window, the oddest above", "who else touches it")
    for left, words in zip(_LEFT, titles, strict=True):
        axes.text(left, head - 0.12, words, fontsize=9.5, color="#4a5159", style="italic")
    middles = {box.id: (box, head + box.place * rows * ROW) for box in drawing.boxes}
    _lines(axes, drawing, middles)
    for box, y in middles.values():
        _box(axes, box, y)
    keys = [Line2D([], [], color=COLOURS[each], linewidth=4, label=WORDS[each]) for each in WORDS]
    axes.legend(
        handles=keys, loc="lower left", ncols=4, frameon=False, fontsize=9.5,
        bbox_to_anchor=(0.005, 0.25 / height), borderaxespad=0,
    )  # fmt: skip
    if drawing.left_out:
        axes.text(0.2, height - 0.15, drawing.left_out, fontsize=9, color="#4a5159")
    return figure


def _lines(axes: Axes, drawing: Drawing, middles: dict[str, tuple[Box, float]]) -> None:
    most = max(line.accesses for line in drawing.lines)
    for line in drawing.lines:
        (start, y), (end, to) = middles[line.start], middles[line.end]
        x, until = _LEFT[start.column] + _WIDTHS[start.column], _LEFT[end.column]
        half = (x + until) / 2
        curve = Curve([(x, y), (half, y), (half, to), (until, to)], [1, 4, 4, 4])
        width = 1 + 2.5 * (line.accesses / most) ** 0.5
        axes.add_patch(
            PathPatch(curve, fill=False, edgecolor=line.colour, linewidth=width, alpha=0.6)
        )


def _box(axes: Axes, box: Box, y: float) -> None:
    left, width = _LEFT[box.column], _WIDTHS[box.column]
    axes.add_patch(
        FancyBboxPatch(
            (left, y - _HEIGHT / 2),
            width,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="white",
            edgecolor=box.colour,
            linewidth=1.8,
        )
    )
    lines = [(box.title, 10.0, "bold"), *((words, 8.5, "normal") for words in box.lines)]
    for number, (text, size, weight) in enumerate(lines):
        shown = shortened(text, int(width * 138 / size))
        down = (number - (len(lines) - 1) / 2) * _LINE
        place = (left + 0.1, y + down)
        axes.text(*place, _safe(shown), fontsize=size, weight=weight, va="center")


def _short(reason: str) -> str:
    return textwrap.shorten(reason, _REASON, placeholder=" …")


def _safe(text: str) -> str:
    """Text as it is: a dollar would begin a formula."""
    return printable(text).replace("$", r"\$")
