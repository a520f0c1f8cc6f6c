"""Pictures of a report, as SVG made of plain numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from html import escape

import polars as pl

from riskml.alerting.page.timeline import Timeline, timeline
from riskml.reporting.words import Words

SEVERITY_COLOURS = {
    "low": "#c3ccd5",
    "medium": "#e3b23c",
    "high": "#d55e00",
    "critical": "#8c1d2f",
}
"""From pale to dark, so that they can be told apart in grey, too."""

SOFT, LINE, BAND, MIDDLE = "#4a5159", "#d5d9de", "#dfe7ef", "#8fa3b5"
USER, WINDOW, RAISED = "#6f9cc4", "#0b4f8a", "#9b1c31"
WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 720, 190, 30, 26, 34
TIMELINE = 360
DAY_WIDTH = 60
"""Room for the longest short day, such as 12월 31일."""


def bars(
    days: Sequence[date], counts: Mapping[str, Mapping[date, int]], words: Words, fonts: str
) -> str:
    """Bars by day, a colour each severity.

    Args:
        days: all of them, in order.
        counts: severity → day → how many.
        words: for the texts.
        fonts: names of fonts, as CSS has them.
    """
    most = max(sum(of.get(day, 0) for of in counts.values()) for day in days)
    top = max(_round_up(most), 1)
    room = HEIGHT - TOP - BOTTOM
    step = (WIDTH - LEFT) / len(days)
    parts = []
    for mark in (0, top / 2, top):
        if mark == int(mark):
            y = TOP + room * (1 - mark / top)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH}" stroke="{LINE}"/>')
            parts.append(_text(LEFT - 6, y + 4, words.number(mark), "end"))
    every = max(1, round(len(days) / 8))
    for n, day in enumerate(days):
        x, y = LEFT + n * step, float(TOP + room)
        for severity, colour in SEVERITY_COLOURS.items():
            height = room * counts.get(severity, {}).get(day, 0) / top
            y -= height
            if height:
                size = f'width="{step * 0.7:.1f}" height="{height:.1f}"'
                parts.append(
                    f'<rect x="{x + step * 0.15:.1f}" y="{y:.1f}" {size} fill="{colour}"/>'
                )
        if n % every == 0:
            middle = x + step / 2
            fits = middle + DAY_WIDTH / 2 <= WIDTH
            place, anchor = (middle, "middle") if fits else (WIDTH, "end")
            parts.append(_text(place, HEIGHT - 8, words.short_day(day), anchor))
    at = float(LEFT)
    for severity, colour in SEVERITY_COLOURS.items():
        name = words(f"severity_{severity}")
        parts.append(f'<rect x="{at:.0f}" y="6" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(at + 16, 16, name, "start"))
        at += 110
    return _svg(WIDTH, HEIGHT, parts, fonts)


def risk_timeline(
    risks: pl.DataFrame,
    user_id: str,
    raised: Collection[datetime],
    span: tuple[datetime, datetime],
    words: Words,
    fonts: str,
) -> str | None:
    """A user's risk beside that of the peers; None where the user has no window.

    Args:
        risks: user_id, window_end and risk of the user and the peers.
        user_id: whose picture it is.
        raised: ends of the user's raised windows.
        span: of the picture.
        words: for the texts.
        fonts: names of fonts, as CSS has them.
    """
    drawn = timeline(risks, user_id, raised, TIMELINE, span, words.short_day)
    return None if drawn is None else _drawn(drawn, fonts)


def _drawn(picture: Timeline, fonts: str) -> str:
    parts = []
    for y, text in picture.risks:
        parts.append(f'<path d="M{picture.left} {y}H{picture.width}" stroke="{LINE}"/>')
        parts.append(_text(picture.left - 6, y + 4, text, "end"))
    parts += [_text(x, picture.height - 8, text, "middle") for x, text in picture.days]
    if picture.band:
        parts.append(f'<polygon points="{picture.band}" fill="{BAND}"/>')
        parts.append(f'<polyline points="{picture.middle}" fill="none" stroke="{MIDDLE}"/>')
    parts.append(f'<polyline points="{picture.line}" fill="none" stroke="{USER}"/>')
    for dot in picture.dots:
        radius, colour = (5, RAISED) if dot.is_alert else (2.5, WINDOW)
        parts.append(f'<circle cx="{dot.x}" cy="{dot.y}" r="{radius}" fill="{colour}"/>')
    return _svg(picture.width, picture.height, parts, fonts)


def _svg(width: int, height: int, parts: Sequence[str], fonts: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = f'font-family="{escape(fonts)}" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{SOFT}">{escape(text)}</text>'


def _round_up(n: int) -> int:
    """To an even number with few digits."""
    step = 2 if n <= 10 else 10 if n <= 100 else 10 ** (len(str(n)) - 1)
    return -(-n // step) * step
