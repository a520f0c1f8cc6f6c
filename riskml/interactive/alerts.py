"""Alerts with their reasons and the events behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import Any, overload

import polars as pl

from riskml.core.cards import card, table
from riskml.core.errors import DataError
from riskml.core.types import Explanations, Reason
from riskml.evaluation.explained import events_behind
from riskml.features.windows import WINDOW_ID
from riskml.interactive.windows import LogWindows

SHOWN_ALERTS, SHOWN_EVENTS = 10, 20
EVENT = ("timestamp", "action", "resource", "source", "success")
IN_TRUTH = {1: "risky", 0: "normal"}


@dataclass(frozen=True, repr=False)
class Alert:
    """One alert.

    Args:
        row: of `Alerts.frame`.
        reasons: largest share of the score first.
        events: behind it, in order of time.
    """

    row: dict[str, Any]
    reasons: tuple[Reason, ...]
    events: pl.DataFrame

    @property
    def user_id(self) -> str:
        """Whose window it is."""
        return str(self.row["user_id"])

    @property
    def risk(self) -> float:
        """0 to 100."""
        return float(self.row["risk"])

    def __repr__(self) -> str:
        return f"Alert({self._title()})"

    def __str__(self) -> str:
        lines = [self._title(), *(f"  - {reason.text}" for reason in self.reasons)]
        return "\n".join(lines)

    def _title(self) -> str:
        return f"{self.user_id}, {when(self.row)}: risk {self.risk:.1f}"

    def _repr_html_(self) -> str:
        facts = {
            "window": f"{self.row['start']:%Y-%m-%d %H:%M} to {self.row['end']:%Y-%m-%d %H:%M} UTC",
            "events": f"{self.row['n_events']:,}",
            "peers": self.row["peer"],
            "p-value": f"{self.row['p_value']:.2g}",
        }
        if "label" in self.row:
            facts["in truth"] = IN_TRUTH[self.row["label"]]
        whole = sum(reason.share for reason in self.reasons) or 1.0
        reasons = [(f"{max(r.share, 0) / whole:.0%}", r.text) for r in self.reasons]
        events = self.events.select(name for name in EVENT if name in self.events.columns)
        more = len(events) - SHOWN_EVENTS
        seen = f"events{f' (the first {SHOWN_EVENTS} of {len(events):,})' if more > 0 else ''}:"
        return card(
            self._title(),
            facts,
            table(("of these", "reason"), reasons),
            table(events.columns, events.head(SHOWN_EVENTS).rows(), seen),
        )


@dataclass(frozen=True, repr=False)
class Alerts:
    """The alerts of a detector, riskiest first.

    Args:
        frame: one row each: window_id, user_id, start, end, n_events, score, p_value, risk,
            `reasons` as sentences, and `label` where the truth is known.
        explanations: reasons of each.
        windows: that they are of.
    """

    frame: pl.DataFrame
    explanations: Explanations
    windows: LogWindows

    def __len__(self) -> int:
        return len(self.frame)

    @overload
    def __getitem__(self, i: int) -> Alert: ...

    @overload
    def __getitem__(self, i: slice) -> Alerts: ...

    def __getitem__(self, i: int | slice) -> Alert | Alerts:
        if isinstance(i, slice):
            _ = range(len(self))[i]  # Polars would take the names of columns as well
            return Alerts(self.frame[i], self.explanations[i], self.windows)
        return self.explain(i)

    def __iter__(self) -> Iterator[Alert]:
        return map(self.explain, range(len(self)))

    def explain(self, i: int) -> Alert:
        """Why alert `i` was raised: reasons, and the events behind it.

        Args:
            i: its place, 0 is the riskiest; -1 the last.

        Raises:
            IndexError: there is no such alert.
            TypeError: `i` is no place.
        """
        try:
            i = index(i)
        except TypeError:
            raise TypeError(
                f"no alert {i!r}: give its place, 0 is the riskiest, or ask `of_user`"
            ) from None
        if not -len(self) <= i < len(self):
            raise IndexError(f"no alert {i}: there are {len(self)}, the first is 0")
        row = self.frame.row(i, named=True)
        one = self.frame[i : i + 1] if i >= 0 else self.frame[len(self) + i : len(self) + i + 1]
        log = self.windows.log.dataset
        events = events_behind(one, log, self.windows.extractor).drop(WINDOW_ID)
        return Alert(row, tuple(self.explanations[i]), events)

    def of_user(self, user_id: str) -> Alerts:
        """Those of one user.

        Raises:
            DataError: the user has none.
        """
        rows = [i for i, user in enumerate(self.frame["user_id"]) if user == user_id]
        if not rows:
            raise DataError(f"there is no alert of user '{user_id}'")
        return Alerts(self.frame[rows], [self.explanations[i] for i in rows], self.windows)

    def __repr__(self) -> str:
        if not len(self):
            return "Alerts(none)"
        return f"Alerts({len(self):,}; riskiest: {self.explain(0)._title()})"

    def _repr_html_(self) -> str:
        known = "label" in self.frame.columns
        columns = ("", "risk", "user", "when (UTC)", "events", "first reason")
        rows = []
        for i, row in enumerate(self.frame.head(SHOWN_ALERTS).iter_rows(named=True)):
            cells = [i, f"{row['risk']:.1f}", row["user_id"], when(row), row["n_events"]]
            cells.append((row["reasons"] or [""])[0])
            rows.append([*cells, IN_TRUTH[row["label"]]] if known else cells)
        more = f", the riskiest {SHOWN_ALERTS}" if len(self) > SHOWN_ALERTS else ""
        shown = table((*columns, "in truth") if known else columns, rows)
        return card(f"{len(self):,} alerts{more}", {}, shown)


def when(row: dict[str, Any]) -> str:
    """Day, and hours where the window is shorter."""
    start, end = row["start"], row["end"]
    if start.date() == end.date():
        return f"{start:%a %d %b %Y, %H:%M}–{end:%H:%M}"
    return f"{start:%a %d %b %Y %H:%M} to {end:%a %d %b %H:%M}"
