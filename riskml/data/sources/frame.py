"""Logs that are in memory already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from riskml.core.errors import DataError
from riskml.data.event_mapping import LogTable
from riskml.data.frames import NAME, as_frame, is_frame
from riskml.data.sources.base import MappedSource, no_rejected, origin


@dataclass(frozen=True)
class FrameSource(MappedSource):
    """A Polars or a pandas frame, a row an event.

    Args:
        frame: the log; the index of a pandas frame is left out.
        columns: event column -> column of the log, see `EventMapping` for all rules.
        time_zone: IANA name for timestamps without a zone.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.
        timestamp_format: strftime format of timestamps that are text, None to recognise it.
    """

    frame: Any
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2
    timestamp_format: str | None = None

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows of the frame.

        Raises:
            DataError: it is none.
        """
        if not is_frame(self.frame):
            raise DataError(
                f"a log is a path, or a Polars or pandas frame, not {type(self.frame).__name__}"
            )
        frame = as_frame(self.frame)
        for first in range(0, max(len(frame), 1), rows):
            part = frame[first : first + rows]
            # rows are counted from 1, as in files
            yield LogTable(
                NAME, part, origin(NAME, range(first + 1, first + len(part) + 1)), no_rejected()
            )
