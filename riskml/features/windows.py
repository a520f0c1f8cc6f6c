"""Which events are scored together: a session, a user's day, or a block."""

from __future__ import annotations

from typing import Any, Protocol

import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean
from riskml.features.local_time import LOCAL_TIME

WINDOW_ID = "window_id"


class Windowing(Protocol):
    """A rule that gives every event the id of its window."""

    kind: str

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `window_id`; events are in order of time and have `local_time`."""
        ...

    def settings(self) -> dict[str, Any]:
        """Constructor arguments, to be stored as JSON."""
        ...


class SessionWindows:
    """A user's events with no gap longer than `gap_minutes`, or as the log itself names them.

    Args:
        gap_minutes: a longer silence begins a new session.
        column: a column of the log that already names the session; then the gap is not used.

    Raises:
        ConfigError: the gap is not positive.
    """

    kind = "session"

    def __init__(self, gap_minutes: float = 30.0, column: str | None = None) -> None:
        if gap_minutes <= 0:
            raise ConfigError(f"features.window.gap_minutes={gap_minutes} must be positive")
        self.gap_minutes = gap_minutes
        self.column = column

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `window_id`: user and start of the session, or user and its name in the log."""
        if self.column is not None:
            if self.column not in events.columns:
                raise DataError(
                    f"the log has no session column '{self.column}' "
                    f"(features.window.column): {did_you_mean(self.column, events.columns)}"
                )
            name = pl.col(self.column).cast(pl.String).fill_null("none")
            return events.with_columns(_window_id(name.str.replace_all("/", "%2F", literal=True)))
        gap = pl.duration(microseconds=round(self.gap_minutes * 60e6))
        since_last = pl.col("timestamp").diff().over("user_id")
        begins = since_last.is_null() | (since_last > gap)
        start = pl.when(begins).then(pl.col("timestamp")).forward_fill().over("user_id")
        return (
            events.with_columns(start.alias("_start"))
            .with_columns(_window_id(pl.col("_start").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")))
            .drop("_start")
        )

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"gap_minutes": self.gap_minutes, "column": self.column}


class UserDayWindows:
    """All events of a user on one calendar day of the user's own clock."""

    kind = "user_day"

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `window_id`: user and local date."""
        return events.with_columns(_window_id(pl.col(LOCAL_TIME).dt.strftime("%Y-%m-%d")))

    def settings(self) -> dict[str, Any]:
        """Constructor arguments: none."""
        return {}


class BlockWindows:
    """Every `size` consecutive events of a user; the last block may be shorter.

    Raises:
        ConfigError: the size is under 1.
    """

    kind = "block"

    def __init__(self, size: int = 100) -> None:
        if size < 1:
            raise ConfigError(f"features.window.size={size} must be at least 1")
        self.size = size

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add `window_id`: user and number of the block, counted from 0."""
        block = pl.int_range(pl.len()).over("user_id") // self.size
        return events.with_columns(_window_id(pl.format("b{}", block.cast(pl.String).str.zfill(5))))

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"size": self.size}


WINDOWINGS: dict[str, type[SessionWindows] | type[UserDayWindows] | type[BlockWindows]] = {
    rule.kind: rule for rule in (SessionWindows, UserDayWindows, BlockWindows)
}


def _window_id(name: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.col("user_id"), name], separator="/").alias(WINDOW_ID)
