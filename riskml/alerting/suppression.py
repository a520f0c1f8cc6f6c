"""Which raised windows people are told of: what is new or graver, no repeats, and not too much."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState, FromFile, Severity, SeverityLevels
from riskml.core.errors import require

FIRST, RISEN, REPEAT, REMINDER, JUDGED = "first", "risen", "repeat", "reminder", "judged"
ACCEPTED, CAP_USER, CAP_PEER = "accepted", "cap_user", "cap_peer"

EVERYTHING = ("*",)


class Notice(StrEnum):
    """How people are told."""

    TRIGGER = "trigger"
    DIGEST = "digest"


@dataclass(frozen=True)
class Pattern(FromFile):
    """Windows that something is said of; `*` and `?` stand for any signs.

    Args:
        users: whose they are.
        peers: the peer groups of their users; a user without one is in none.
        signatures: what they are about.
    """

    users: tuple[str, ...] = EVERYTHING
    peers: tuple[str, ...] = EVERYTHING
    signatures: tuple[str, ...] = EVERYTHING

    def matches(self, sighting: Sighting) -> bool:
        """Whether it is said of a window."""
        values = (sighting.user_id, sighting.peer or "", sighting.signature)
        patterns = (self.users, self.peers, self.signatures)
        return all(
            any(fnmatchcase(value, pattern) for pattern in some)
            for value, some in zip(values, patterns, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Watch(Pattern):
    """Windows whose severity is raised or lowered.

    Args:
        steps: how far, from -3 to 3.
        why: for people.

    Raises:
        ConfigError: no such number of steps.
    """

    steps: int
    why: str

    def __post_init__(self) -> None:
        require("watch.steps", self.steps, -3 <= self.steps <= 3, "must lie between -3 and 3")


@dataclass(frozen=True, kw_only=True)
class Acceptance(Pattern):
    """Windows that the owner answers for, until a day.

    Args:
        until: windows that end later are told again.
        owner: who answers for them.
        why: for people.

    Raises:
        ConfigError: nobody answers for them, or the end has no time zone.
    """

    until: datetime
    owner: str
    why: str

    def __post_init__(self) -> None:
        require("accepted.owner", self.owner, self.owner.strip() != "", "must name somebody")
        zoned = self.until.tzinfo is not None
        require("accepted.until", self.until, zoned, "needs a time zone, such as Z")


@dataclass(frozen=True)
class Caps(FromFile):
    """Of how many windows people are told in 24 hours; critical ones and rises break through.

    Args:
        user: on one user; None: any number.
        peer: on the users of one peer group; None: any number.

    Raises:
        ConfigError: a number below 1.
    """

    user: int | None = None
    peer: int | None = None

    def __post_init__(self) -> None:
        for name in ("user", "peer"):
            value = getattr(self, name)
            require(f"caps.{name}", value, value is None or value >= 1, "must be at least 1")


@dataclass(frozen=True)
class Told:
    """How many windows people were told of in the 24 hours before a window's end.

    Args:
        user: on its user.
        peer: on users of its peer group.
    """

    user: int = 0
    peer: int = 0


@dataclass(frozen=True)
class Known:
    """The last alert on the same user that says the same.

    Args:
        alert_id: its name.
        state: where it stands.
        severity: the highest so far.
        risk: the highest so far.
        last_seen: end of its last window.
        told: whether people were told of it.
        told_at: when they were told last, where it is known.
    """

    alert_id: str
    state: AlertState
    severity: Severity
    risk: float
    last_seen: datetime
    told: bool = True
    told_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """What a raised window means.

    Args:
        rule: that decided, see docs/alerts.md.
        severity: of the window.
        notice: how people are told; None: they are not.
        alert_id: of the alert that it belongs to; None: it begins one.
        state: that the alert has from now on; None: the one that it had.
        why: what the rule says; may be empty.
    """

    rule: str
    severity: Severity
    notice: Notice | None
    alert_id: str | None = None
    state: AlertState | None = None
    why: str = ""


@dataclass(frozen=True)
class Suppression(FromFile):
    """Decides about one raised window after the other.

    Args:
        severity: risk → severity.
        quiet: a window begins an alert of its own when the last that said the same, on the same
            user, ended so long before it.
        hysteresis: by how much a risk must lie above the highest so far to count as graver.
        remind: people are told again of an open alert that goes on when they were told last so
            long ago; None: they are not.
        digest: people are told of this severity and below in digests only; None: of none.
        caps: on how much people are told.
        watch: whose severity is another; of several that match the first counts.
        accepted: what people are not told of.

    Raises:
        ConfigError: a length of time or a risk is negative.
    """

    severity: SeverityLevels = field(default_factory=SeverityLevels)
    quiet: timedelta = timedelta(days=1)
    hysteresis: float = 2.0
    remind: timedelta | None = timedelta(days=1)
    digest: Severity | None = None
    caps: Caps = field(default_factory=Caps)
    watch: tuple[Watch, ...] = ()
    accepted: tuple[Acceptance, ...] = ()

    def __post_init__(self) -> None:
        require("quiet", self.quiet, self.quiet >= timedelta(0), "must not be negative")
        if self.remind is not None:
            require("remind", self.remind, self.remind > timedelta(0), "must be above 0")
        require("hysteresis", self.hysteresis, self.hysteresis >= 0, "must not be negative")

    def decide(
        self,
        sighting: Sighting,
        known: Known | None = None,
        told: Told | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """What a window means.

        Args:
            sighting: the window.
            known: the last alert of the same user and signature; None: there is none.
            told: of how much people were told lately.
            at: now; None: when the window ended.
        """
        severity = self._severity_of(sighting)
        if known is not None and not self._goes_on(sighting, known):
            known = None
        alert_id = None if known is None else known.alert_id
        for each in self.accepted:
            if each.matches(sighting) and sighting.window_end <= each.until:
                why = f"{each.owner}: {each.why}"
                state = AlertState.ACCEPTED_RISK
                return Decision(ACCEPTED, severity, None, alert_id, state, why)
        rule = FIRST
        if known is not None and known.told:
            graver = severity.rank > known.severity.rank
            if graver and sighting.risk >= known.risk + self.hysteresis:
                rule = RISEN
            elif self._is_due(known, at or sighting.window_end):
                rule = REMINDER
            else:
                rule = JUDGED if known.state.is_ended else REPEAT
                return Decision(rule, severity, None, alert_id)
        capped = self._cap(told or Told())
        if capped is not None and rule != RISEN and severity != Severity.CRITICAL:
            return Decision(capped, severity, None, alert_id, AlertState.OPEN)
        quietly = self.digest is not None and severity.rank <= self.digest.rank
        notice = Notice.DIGEST if quietly else Notice.TRIGGER
        return Decision(rule, severity, notice, alert_id, AlertState.OPEN)

    def _severity_of(self, sighting: Sighting) -> Severity:
        found = self.severity.of(sighting.risk)
        steps = next((each.steps for each in self.watch if each.matches(sighting)), 0)
        ranks = list(Severity)
        return ranks[min(max(found.rank + steps, 0), len(ranks) - 1)]

    def _goes_on(self, sighting: Sighting, known: Known) -> bool:
        """Whether the window belongs to the alert; what was put right and is back does not."""
        near = sighting.window_start - known.last_seen <= self.quiet
        return near and known.state != AlertState.RESOLVED

    def _is_due(self, known: Known, at: datetime) -> bool:
        """Whether people are told again of an alert that nobody has taken up."""
        if self.remind is None or known.told_at is None or known.state != AlertState.OPEN:
            return False
        return at - known.told_at >= self.remind

    def _cap(self, told: Told) -> str | None:
        if self.caps.user is not None and told.user >= self.caps.user:
            return CAP_USER
        if self.caps.peer is not None and told.peer >= self.caps.peer:
            return CAP_PEER
        return None
