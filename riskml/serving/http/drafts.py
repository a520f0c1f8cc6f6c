"""Posted rows → the `Windows` and events that a bundle scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

import numpy as np
import polars as pl

from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE
from riskml.core.types import (
    PEER,
    FeatureSpec,
    FloatArray,
    Int64Array,
)
from riskml.serving.http.bodies import (
    EVENTS,
    FIRST,
    TABLE,
    WINDOWS,
    Event,
    Moment,
    Window,
    WindowTable,
    parsed,
)
from riskml.serving.http.problems import Problem, wrong_field

_MICROSECOND = timedelta(microseconds=1)
T = TypeVar("T")
Times = Sequence[Sequence[Moment] | None]


@dataclass(frozen=True)
class Draft:
    """The windows of one request in plain columns, to be put together with those of others.

    Args:
        x: float32 [n, d].
        users, ids: of each window.
        peers: None where it was not given.
        starts, ends: int64 [n], microseconds of Unix time.
        actions, times: of its events, None where they were not given.
    """

    x: FloatArray
    users: list[str]
    ids: list[str]
    peers: list[str | None]
    starts: Int64Array
    ends: Int64Array
    actions: Sequence[Sequence[str] | None]
    times: Times

    def __len__(self) -> int:
        return len(self.users)


def draft_of(body: bytes, spec: FeatureSpec, most: int) -> Draft:
    """Read a body of windows in either form.

    Args:
        body: JSON.
        spec: of the model that will score them.
        most: windows that a request may have.

    Raises:
        Problem: it is no such body, or there are too many.
    """
    if body.lstrip()[:1] == b"{":
        table = parsed(body, TABLE)
        _check_number(len(table.rows), most, "windows")
        return _of_table(table, spec)
    windows = parsed(body, WINDOWS)
    _check_number(len(windows), most, "windows")
    return _of_rows(windows, spec)


def events_of(body: bytes, reads: Sequence[str], most: int) -> tuple[pl.DataFrame, int]:
    """Read a body of events.

    Args:
        body: JSON.
        reads: columns that the model reads; others are left out.
        most: events that a request may have.

    Returns:
        The events, each id once, and how many came again.

    Raises:
        Problem: it is no such body, there are too many, or a column holds text and numbers.
    """
    events = parsed(body, EVENTS)
    _check_number(len(events), most, "events")
    columns = [_column(events, name) for name in dict.fromkeys((*EVENT_SCHEMA, *reads, TIME_ZONE))]
    frame = pl.DataFrame([column for column in columns if column is not None])
    once = frame.unique("event_id", keep="first", maintain_order=True)
    return once, len(frame) - len(once)


def _of_rows(windows: list[Window], spec: FeatureSpec) -> Draft:
    names = spec.names
    values = []
    for row, window in enumerate(windows):
        features = window.features
        try:
            values.append([features[name] for name in names])
        except KeyError as missing:
            raise wrong_field(row, f"features.{missing.args[0]}", "is missing") from None
        if len(features) > len(names):
            (odd, *_) = sorted(set(features) - set(names))
            raise wrong_field(row, f"features.{odd[:100]}", "is no feature of this model")
    ends = _ends([window.end for window in windows])
    draft = Draft(
        _matrix(values, names),
        [window.user_id for window in windows],
        [window.window_id or str(row) for row, window in enumerate(windows)],
        [window.peer for window in windows],
        _starts([window.start for window in windows], ends),
        ends,
        [window.actions for window in windows],
        [window.event_times for window in windows],
    )
    return _checked(draft)


def _of_table(table: WindowTable, spec: FeatureSpec) -> Draft:
    n, names = len(table.rows), spec.names
    for column, found in table:
        if column not in ("names", "rows") and found is not None and len(found) != n:
            message = f"has {len(found)} entries, there are {n} rows"
            raise wrong_field(None, column, message)
    if sorted(table.names) != sorted(names):
        odd = sorted(set(table.names) ^ set(names)) or ["a name stands there twice"]
        raise wrong_field(None, "names", f"are not the model's features: {odd[0][:100]}")
    for row, values in enumerate(table.rows):
        if len(values) != len(names):
            message = f"has {len(values)} values, there are {len(names)} names"
            raise wrong_field(row, "rows", message)
    x = _matrix(table.rows, table.names)
    if table.names != names:
        place = {name: i for i, name in enumerate(table.names)}
        x = np.ascontiguousarray(x[:, [place[name] for name in names]])
    ends = _ends(_or_none(table.ends, n))
    draft = Draft(
        x,
        table.user_ids,
        table.window_ids or [str(row) for row in range(n)],
        _or_none(table.peers, n),
        _starts(_or_none(table.starts, n), ends),
        ends,
        _or_none(table.actions, n),
        _or_none(table.event_times, n),
    )
    return _checked(draft)


def _or_none(found: Sequence[T] | None, n: int) -> list[T | None]:
    return [None] * n if found is None else list(found)


def _checked(draft: Draft) -> Draft:
    for row in np.flatnonzero(draft.starts > draft.ends)[:1]:
        raise wrong_field(int(row), "start", "is after end")
    if not any(draft.times):
        return draft
    for row, (actions, times) in enumerate(zip(draft.actions, draft.times, strict=True)):
        if times is not None and len(times) != len(actions or ()):
            raise wrong_field(row, "event_times", "must have one entry an action")
        if any(seconds < 0 or not 0 <= hour <= 24 for seconds, hour in times or ()):
            message = "seconds must be 0 or more, hours 0 to 24"
            raise wrong_field(row, "event_times", message)
    return draft


def _matrix(values: Sequence[Sequence[float]], names: Sequence[str]) -> FloatArray:
    with np.errstate(over="ignore"):
        x = np.array(values, np.float64).reshape(len(values), len(names)).astype(np.float32)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise wrong_field(int(row), f"features.{names[column]}", "is too large for float32")
    return x


def _ends(ends: Sequence[datetime | None]) -> Int64Array:
    now = datetime.now(UTC)
    if not any(ends):
        return np.repeat(_microseconds([now]), len(ends))
    return _microseconds([end or now for end in ends])


def _starts(starts: Sequence[datetime | None], ends: Int64Array) -> Int64Array:
    if not any(starts):
        return ends
    given = _microseconds([start or FIRST for start in starts])
    missing = np.array([start is None for start in starts], np.bool_)
    return np.where(missing, ends, given)


def _microseconds(moments: Sequence[datetime]) -> Int64Array:
    return np.array([(moment - FIRST) // _MICROSECOND for moment in moments], np.int64)


def _column(events: list[Event], name: str) -> pl.Series | None:
    """One column; None for one that no event has, which the model may be able to do without."""
    if name in Event.model_fields:
        kind = EVENT_SCHEMA.get(name, pl.String())
        return pl.Series(name, [getattr(event, name) for event in events], kind)
    values = [(event.model_extra or {}).get(name) for event in events]
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return None if events else pl.Series(name, values, pl.String())
    if len(kinds - {int, float}) > 1 or (len(kinds) > 1 and not kinds <= {int, float}):
        row = next(i for i, value in enumerate(values) if isinstance(value, str | bool))
        raise wrong_field(row, name, "holds values of several kinds in this request")
    return pl.Series(name, [float(v) if v is not None and float in kinds else v for v in values])


def _check_number(found: int, most: int, what: str) -> None:
    if found > most:
        detail = f"{found:,} {what} in one request, at most {most:,} are taken: send several"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def plain(keys: pl.DataFrame, values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Rows for orjson, which knows NumPy's times."""
    columns: dict[str, list[Any]] = {
        "window_id": keys["window_id"].to_list(),
        "user_id": keys["user_id"].to_list(),
        "start": list(keys["start"].cast(pl.Int64).to_numpy().view("datetime64[us]")),
        "end": list(keys["end"].cast(pl.Int64).to_numpy().view("datetime64[us]")),
        "n_events": keys["n_events"].to_list(),
        PEER: keys[PEER].to_list(),
    } | values
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
