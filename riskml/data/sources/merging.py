"""Several logs as one, in the order of time, with a piece of each in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from riskml.data.event_mapping import LogTable
from riskml.data.sources.base import concat_tables, split_table


class _Head:
    """The piece of a log that comes next."""

    def __init__(self, log: Iterator[LogTable], time: pl.Expr) -> None:
        self._log, self._time = log, time
        self.table: LogTable | None = None
        self.latest = pl.Series(dtype=pl.Datetime("us"))
        self.pull()

    def pull(self) -> None:
        """The next piece that has rows; lines that could not be read go along with it."""
        unread: list[LogTable] = []
        self.table = None
        for table in self._log:
            unread.append(table)
            if len(table.rows):
                break
        if not unread:
            return
        self.table = concat_tables(unread)
        # The latest so far never falls, so a log that is not sorted still keeps its own order.
        self.latest = self.table.rows.select(
            self._time.dt.cast_time_unit("us").cum_max().fill_null(strategy="forward")
        ).to_series()

    def take(self, until: object) -> LogTable | None:
        """The rows up to a moment; all where no row of the piece has a time."""
        if self.table is None:
            return None
        later = self.latest > until if until is not None else pl.Series([], dtype=pl.Boolean)
        count = int(later.arg_max() or 0) if later.any() else len(self.latest)
        head, rest = split_table(self.table, count)
        if len(rest.rows):
            self.table, self.latest = rest, self.latest[count:]
        else:
            self.pull()
        return head


def merged_by_time(logs: Sequence[Iterator[LogTable]], time: pl.Expr) -> Iterator[LogTable]:
    """Merge logs, each of which is in the order of time.

    Args:
        logs: pieces of each. A log that is not sorted keeps its own order.
        time: of a row, a date-time.

    Yields:
        Rows up to a moment of all logs, then up to the next.
    """
    heads = [_Head(log, time) for log in logs]
    while heads := [head for head in heads if head.table is not None]:
        ends = [head.latest[-1] for head in heads if len(head.latest)]
        until = min((end for end in ends if end is not None), default=None)
        parts = [part for head in heads if (part := head.take(until)) is not None]
        whole = concat_tables(parts)
        times = whole.rows.select(time=time).with_row_index("position")
        order = times.sort("time", maintain_order=True)["position"]
        yield LogTable(whole.name, whole.rows[order], whole.origin[order], whole.rejected)
