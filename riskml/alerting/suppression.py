"""Which raised windows people are told of: the first, those that are graver, and no repeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState, Severity, SeverityLevels
from riskml.core.errors import require

FIRST, RISEN, REPEAT, JUDGED = "first", "risen", "repeat", "judged"


@dataclass(frozen=True)
class Known:
    """The last alert on the same user that says the same.

    Args:
        alert_id: its name.
        state: where it stands.
        severity: the highest so far.
        last_seen: end of its last window.
    """

    alert_id: str
    state: AlertState
    severity: Severity
    last_seen: datetime


@dataclass(frozen=True)
class Decision:
    """What a raised window means.

    Args:
        rule: that decided: `first`; `risen`, a higher severity than so far; `repeat` of an alert
            that people know; `judged`, of one that they called a false alarm or accepted.
        severity: of the window.
        told: whether people are told.
        alert_id: of the alert that it belongs to; None: it begins one.
    """

    rule: str
    severity: Severity
    told: bool
    alert_id: str | None = None


@dataclass(frozen=True)
class Suppression:
    """Decides about one raised window after the other.

    Args:
        levels: risk → severity.
        quiet: a window begins an alert of its own when the last that said the same, on the same
            user, ended so long before it.

    Raises:
        ConfigError: `quiet` is negative.
    """

    levels: SeverityLevels = field(default_factory=SeverityLevels)
    quiet: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        require("quiet", self.quiet, self.quiet >= timedelta(0), "must not be negative")

    def decide(self, sighting: Sighting, known: Known | None) -> Decision:
        """What a window means.

        Args:
            sighting: the window.
            known: the last alert of the same user and signature; None: there is none.
        """
        severity = self.levels.of(sighting.risk)
        if known is None or sighting.window_start - known.last_seen > self.quiet:
            return Decision(FIRST, severity, True)
        if known.state == AlertState.RESOLVED:
            return Decision(FIRST, severity, True)  # what was put right is back
        if severity.rank > known.severity.rank:
            return Decision(RISEN, severity, True, known.alert_id)
        rule = JUDGED if known.state.is_ended else REPEAT
        return Decision(rule, severity, False, known.alert_id)
