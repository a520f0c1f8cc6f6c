"""Frames of any size → batches whose borders depend on the events alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl


def in_batches(parts: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """At most about `rows` events each, sorted by time and id; those of one moment stay together.

    So a run that was cut off and goes on after its last whole batch makes the same batches as one
    that was not, and the same scores to the last bit.

    Args:
        parts: events in order of time from part to part.
        rows: of a batch; more only where more are of one moment.
    """
    waiting: list[pl.DataFrame] = []
    count = 0
    for part in parts:
        if part.is_empty():
            continue
        waiting.append(part)
        count += len(part)
        while count > rows:
            whole = _whole(waiting)
            # of the last moment of a part more may come
            cut = _cut(whole["timestamp"], rows)
            if cut is None:
                waiting = [whole]
                break
            yield whole[:cut]
            waiting, count = [whole[cut:]], count - cut
    if count:
        yield _whole(waiting)


def _cut(times: pl.Series, rows: int) -> int | None:
    """Where the moment of the first event that is too many begins, or ends where it fills all."""
    begins = int(times.search_sorted(times[rows], "left"))
    if begins:
        return begins
    ends = int(times.search_sorted(times[rows], "right"))
    return ends if ends < len(times) else None


def _whole(parts: list[pl.DataFrame]) -> pl.DataFrame:
    whole = parts[0] if len(parts) == 1 else pl.concat(parts, how="vertical_relaxed")
    return whole.sort("timestamp", "event_id")
