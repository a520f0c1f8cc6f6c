"""What a run of the scoring job did, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Summary:
    """What a run did with one model; read = new + duplicates + late + rejected.

    Args:
        model_version: the first 16 signs of the bundle's seal.
        role: champion or challenger.
        events_read: rows of the source that the run looked at.
        events_new: that were scored.
        events_duplicate: that were scored before; most of them are the overlap, read once more.
        events_late: that came after their window was closed, set apart.
        events_rejected: that are no events, set apart.
        unknown_actions: new or late events whose action training has not seen.
        quarantined: late and rejected ones that the quarantine did not have yet.
        windows_closed: that got their score.
        windows_open: that may still grow, scored where that was asked for.
        alerts: among the closed ones.
        first_event: time of the first new event.
        last_event: of the last, in this run or before.
        batches: that were written.
        dry_run: nothing was written.
        seconds: that it took.
        events_per_second: new events in them.
    """

    model_version: str
    role: str
    events_read: int = 0
    events_new: int = 0
    events_duplicate: int = 0
    events_late: int = 0
    events_rejected: int = 0
    unknown_actions: int = 0
    quarantined: int = 0
    windows_closed: int = 0
    windows_open: int = 0
    alerts: int = 0
    first_event: datetime | None = None
    last_event: datetime | None = None
    batches: int = 0
    dry_run: bool = False
    seconds: float = 0.0
    events_per_second: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        found = asdict(self)
        for name in ("first_event", "last_event"):
            found[name] = None if found[name] is None else found[name].isoformat()
        return found

    def line(self) -> str:
        """For people."""
        until = f"{self.last_event:%Y-%m-%d %H:%M:%S} UTC" if self.last_event else "nothing"
        dry = " (dry run: nothing written)" if self.dry_run else ""
        return (
            f"{self.role} {self.model_version}: {self.events_new:,} new events, "
            f"{self.events_duplicate:,} duplicates, {self.events_late:,} late, "
            f"{self.events_rejected:,} rejected; {self.windows_closed:,} windows scored, "
            f"{self.alerts:,} alerts; up to {until}{dry}"
        )
