"""The risk of a user over time beside that of the peers, as a picture made of plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from riskml.core.schema import time_span

BEFORE, AFTER, LEAST = timedelta(days=30), timedelta(days=7), timedelta(days=7)
"""What is shown around the end of an alert, and how much at least."""

MARGIN = timedelta(hours=18)

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 220, 14, 26, 34, 10
LOW, HIGH = 0.1, 0.9
"""Between these quantiles of the peers' riskiest windows of a day lies the band."""


@dataclass(frozen=True)
class Dot:
    """A window of the user.

    Args:
        x, y: where.
        text: that tells of it.
        is_alert: whether it belongs to the alert.
    """

    x: float
    y: float
    text: str
    is_alert: bool


@dataclass(frozen=True)
class Timeline:
    """Ready to be drawn, in pixels from the upper left.

    Args:
        width: of the picture.
        band: corners of the peers' band; empty without peers.
        middle: corners of the line of the peers' median.
        line: corners of the line of the user's riskiest window of each day.
        dots: the user's windows.
        days: x and text of marks below.
        risks: y and text of marks on the left.
        told: the picture in words.
    """

    width: int
    band: str
    middle: str
    line: str
    dots: list[Dot]
    days: list[tuple[float, str]]
    risks: list[tuple[float, str]]
    told: str

    height = HEIGHT
    left, right, bottom = LEFT, RIGHT, HEIGHT - BOTTOM


def _day_and_month(day: datetime) -> str:
    return f"{day:%d %b}"


def timeline(
    risks: pl.DataFrame,
    user_id: str,
    alert: Collection[datetime],
    width: int,
    span: tuple[datetime, datetime] | None = None,
    say_day: Callable[[datetime], str] = _day_and_month,
) -> Timeline | None:
    """The picture.

    Args:
        risks: user_id, window_end and risk of the user and the peers.
        user_id: whose windows are the dots.
        alert: ends of the windows of the alert.
        width: of the picture, in pixels.
        span: beginning and end of the picture; None: as the windows have it.
        say_day: what stands below a day.

    Returns:
        None where the user has no window in it.
    """
    mine = risks.filter(pl.col("user_id") == user_id).sort("window_end")
    if mine.is_empty():
        return None
    if span is None:
        first, last = time_span(risks["window_end"], risks["window_end"])
        span = min(first - MARGIN, last + MARGIN - LEAST), last + MARGIN
    scale = _Scale(*span, width)
    by_day = (
        risks.filter(pl.col("user_id") != user_id)
        .group_by("user_id", pl.col("window_end").dt.truncate("1d").alias("day"))
        .agg(pl.col("risk").max())
        .group_by("day")
        .agg(
            low=pl.col("risk").quantile(LOW),
            middle=pl.col("risk").median(),
            high=pl.col("risk").quantile(HIGH),
        )
        .sort("day")
    )

    noon = timedelta(hours=12)
    days = [(row["day"] + noon, row) for row in by_day.iter_rows(named=True)]
    rising = [(day, row["high"]) for day, row in days]
    falling = [(day, row["low"]) for day, row in reversed(days)]
    highest = mine.group_by(pl.col("window_end").dt.truncate("1d").alias("day")).agg(
        pl.col("window_end", "risk").sort_by("risk").last()
    )
    dots = [
        Dot(scale.x(end), scale.y(risk), f"{end:%d %b %H:%M}: risk {risk:.0f}", end in alert)
        for end, risk in mine.select("window_end", "risk").iter_rows()
    ]
    line = highest.sort("day").select("window_end", "risk").rows()
    return Timeline(
        width,
        scale.corners([*rising, *falling]) if len(days) > 1 else "",
        scale.corners([(day, row["middle"]) for day, row in days]) if len(days) > 1 else "",
        scale.corners(line),
        sorted(dots, key=lambda dot: dot.is_alert),
        _marks(scale, say_day),
        [(scale.y(risk), f"{risk:.0f}") for risk in (0, 25, 50, 75, 100)],
        _told(mine, by_day),
    )


@dataclass(frozen=True)
class _Scale:
    """From times and risks to pixels.

    Args:
        start, until: of the picture.
        width: of it.
    """

    start: datetime
    until: datetime
    width: int

    def x(self, at: datetime) -> float:
        share = min(1.0, max(0.0, (at - self.start) / (self.until - self.start)))
        return round(LEFT + share * (self.width - LEFT - RIGHT), 1)

    def y(self, risk: float) -> float:
        return round(TOP + (1 - risk / 100) * (HEIGHT - TOP - BOTTOM), 1)

    def corners(self, points: list[tuple[datetime, float]]) -> str:
        return " ".join(f"{self.x(at)},{self.y(risk)}" for at, risk in points)


def _marks(scale: _Scale, say_day: Callable[[datetime], str]) -> list[tuple[float, str]]:
    """About a mark every 110 pixels, at midnight."""
    first = scale.start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = (scale.until - first).days
    step = max(1, round(days * 110 / scale.width))
    marks = [first + timedelta(days=n) for n in range(0, days + 1, step)]
    return [(x, say_day(day)) for day in marks if (x := scale.x(day)) < scale.width - 2 * RIGHT]


def _told(mine: pl.DataFrame, by_day: pl.DataFrame) -> str:
    end, risk = mine.sort("risk").select("window_end", "risk").rows()[-1]
    told = f"Highest risk {risk:.0f} on {end:%d %b}, in {len(mine)} windows"
    if by_day.is_empty():
        return f"{told}; no peers to compare with."
    middle = by_day.select(pl.col("middle").median()).item()
    return f"{told}; the peers' riskiest windows of a day have a median of {middle:.0f}."
