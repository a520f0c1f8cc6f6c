"""Clocks that leap, run backwards, or are off: seen in the order in which rows arrive."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

LEAP_ROWS, OFFSET_ROWS = 11, 101
"""Rows around each whose median time says what the time was; odd, so that it is one of them."""

MIN_SOURCE_ROWS = 20
"""A source needs so many rows before its clock is judged."""


def in_order_of_arrival(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by file and row; a file that runs mostly backwards is newest first, and is turned.

    Args:
        rows: columns position, file, row and timestamp, and more.
    """
    rows = rows.sort("file", "row", maintain_order=True)
    step = pl.col("timestamp").diff().over("file").dt.total_microseconds()
    turned = (step.sign().sum().over("file") < 0).fill_null(False)
    return (
        rows.with_columns(turn=turned)
        .with_columns(place=pl.when("turn").then(-pl.col("row")).otherwise("row"))
        .sort("file", "place", maintain_order=True)
        .drop("turn", "place")
    )


def leaps(arrived: pl.DataFrame, limit: timedelta) -> pl.Series:
    """Positions of rows whose time is far ahead of the rows before and after them.

    A file is judged only where every large step back is the end of such a leap. So a log that is
    sorted by user, or holds late rows, is left alone: there a distant time says nothing.

    Args:
        arrived: position, file and timestamp, in the order of arrival.
        limit: how far ahead is too far.
    """
    steps = _around(arrived, LEAP_ROWS, min_samples=LEAP_ROWS // 2).with_columns(
        leap=(pl.col("ahead") > _us(limit)) & (pl.col("spread") <= _us(limit)),
        back=pl.col("time").diff().over("file") < -_us(limit),
    )
    unexplained = pl.col("back") & ~pl.col("leap").shift(1).over("file").fill_null(False)
    return steps.filter(pl.col("leap") & ~unexplained.fill_null(False).any().over("file"))[
        "position"
    ]


def backward_steps(arrived: pl.DataFrame, tolerance: timedelta) -> pl.Series:
    """Positions of rows that are earlier than the same user's row before them in the file."""
    step = pl.col("timestamp").diff().over("file", "user_id")
    return arrived.filter(step < -tolerance)["position"]


def wrong_clocks(arrived: pl.DataFrame, limit: timedelta) -> pl.DataFrame:
    """Sources whose rows are, in the median, off the rows around them by more than the limit.

    Rows that lie in the order of their times show nothing: whoever sorted them took the wrong
    times for right.

    Returns:
        source, minutes (ahead; below 0 behind), rows and an example's position; the most first.
    """
    if "source" not in arrived.columns:
        return pl.DataFrame(schema={"source": pl.String, "minutes": pl.Float64})
    near = _around(arrived, OFFSET_ROWS).filter(pl.col("spread") <= _us(limit))
    return (
        near.drop_nulls("source")
        .group_by("source")
        .agg(
            minutes=pl.col("ahead").median() / 60e6,
            rows=pl.len(),
            position=pl.col("position").first(),
        )
        .filter(pl.col("rows") >= MIN_SOURCE_ROWS, pl.col("minutes").abs() > _us(limit) / 60e6)
        .sort(pl.col("minutes").abs(), pl.col("source"), descending=[True, False])
    )


def _around(arrived: pl.DataFrame, rows: int, min_samples: int | None = None) -> pl.DataFrame:
    """`time`, and how far it is `ahead` of the rows around, whose middle half spans `spread`."""
    time = pl.col("time")
    quarters = [
        time.rolling_quantile(
            share, interpolation="nearest", window_size=rows, min_samples=min_samples, center=True
        ).over("file")
        for share in (0.25, 0.5, 0.75)
    ]
    return (
        arrived.with_columns(time=pl.col("timestamp").dt.epoch("us"))
        .with_columns(low=quarters[0], middle=quarters[1], high=quarters[2])
        .with_columns(ahead=time - pl.col("middle"), spread=pl.col("high") - pl.col("low"))
    )


def _us(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
