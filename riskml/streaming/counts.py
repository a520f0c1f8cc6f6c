"""What a stream has counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Counts:
    """What became of the messages, and what was told of windows.

    messages = events + repeated + late + ahead + poison.

    Args:
        messages: that were read.
        events: that were scored.
        unknown: of these, whose action training has not seen.
        repeated: left out: an open window of the user has an event of that id.
        late: set apart: their window was closed before.
        ahead: set apart: they lie in the future.
        poison: set apart: no events.
        told: rows, of open windows and of closed ones.
        closed: windows that got their last score.
        corrections: rows that change what was told of a window because an event was out of order.
        early: alerts that were raised while the window could still grow.
        alerts: of closed windows.
        withdrawn: early ones that the whole window did not bear out.
    """

    messages: int = 0
    events: int = 0
    repeated: int = 0
    late: int = 0
    ahead: int = 0
    poison: int = 0
    told: int = 0
    closed: int = 0
    corrections: int = 0
    early: int = 0
    alerts: int = 0
    withdrawn: int = 0
    unknown: int = 0

    def plus(self, **counts: int) -> Counts:
        """With more of some."""
        before = asdict(self)
        return replace(self, **{name: before[name] + n for name, n in counts.items()})

    def __add__(self, other: Counts) -> Counts:
        return self.plus(**asdict(other))

    def __sub__(self, other: Counts) -> Counts:
        return self.plus(**{name: -n for name, n in asdict(other).items()})

    def line(self) -> str:
        """For people."""
        return (
            f"{self.events:,} events, {self.repeated:,} repeated; set apart: {self.late:,} late, "
            f"{self.ahead:,} in the future, {self.poison:,} no events; "
            f"{self.closed:,} windows closed, {self.alerts:,} alerts "
            f"({self.early:,} early, {self.withdrawn:,} withdrawn)"
        )
