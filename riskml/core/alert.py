"""An alert as people look into it, whatever raised it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Alert:
    """A window that was raised.

    Args:
        window_id: its name.
        user_id: whose it is.
        start: its first event, UTC.
        end: its last event, UTC.
        risk: 0 to 100.
        reasons: in words, the weightiest first; may be none.
    """

    window_id: str
    user_id: str
    start: datetime
    end: datetime
    risk: float
    reasons: tuple[str, ...] = ()
