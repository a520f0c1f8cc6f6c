"""Who is told of which alert: the first route that matches decides, by who, what, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from riskml.alerting.calendars import Times
from riskml.alerting.messages import AlertMessage
from riskml.alerting.states import FromFile, Severity
from riskml.alerting.suppression import EVERYTHING
from riskml.core.errors import ConfigError, did_you_mean

NO_ROUTE = "no route matches: all channels"


@dataclass(frozen=True, kw_only=True)
class Escalation(FromFile):
    """Further people, when nobody has acknowledged an alert.

    Args:
        after: the alert was told.
        to: channels.

    Raises:
        ConfigError: no time at all, or nobody.
    """

    after: timedelta
    to: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.after <= timedelta(0) or not self.to:
            raise ConfigError("escalate needs a length of time above 0, and channels: to")


@dataclass(frozen=True, kw_only=True)
class Group(FromFile):
    """Users of one kind of account, or of one team.

    Args:
        users: patterns with `*` and `?`.
        peers: likewise, of peer groups; a user belongs here by either.

    Raises:
        ConfigError: nobody belongs here.
    """

    users: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.users or self.peers):
            raise ConfigError("name patterns of users, or of peers")

    def has(self, message: AlertMessage) -> bool:
        """Whether the user of an alert belongs here."""
        named = ((message.user_id, self.users), (message.peer or "", self.peers))
        return any(fnmatchcase(value, each) for value, patterns in named for each in patterns)


@dataclass(frozen=True, kw_only=True)
class Route(Times):
    """Alerts, and the channels that tell of them.

    Hours, days, months and dates are those when the notice was written.

    Args:
        to: names of channels; none: nobody is told, and the alert is in the log.
        name: for people.
        severities: of the alert; none: any.
        accounts: kinds of accounts; none: any.
        teams: of the users; none: any.
        users: patterns with `*` and `?`.
        peers: likewise, of peer groups.
        signatures: likewise, of what the alert is about.
        mute: names of times in which its channels are left alone; what came then is told at their
            end.
        proceed: look for further routes, whose channels are told, too.
        escalate: what happens when nobody acknowledges it.

    Raises:
        ConfigError: no such day, month, date, zone or hours.
    """

    to: tuple[str, ...]
    name: str = ""
    severities: tuple[Severity, ...] = ()
    accounts: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    users: tuple[str, ...] = EVERYTHING
    peers: tuple[str, ...] = EVERYTHING
    signatures: tuple[str, ...] = EVERYTHING
    mute: tuple[str, ...] = ()
    proceed: bool = False
    escalate: Escalation | None = None

    def keeps_out(self, message: AlertMessage, at: datetime) -> str | None:
        """What keeps the route from an alert; None: it matches.

        Args:
            message: of the alert, with account and team.
            at: when the notice was written.
        """
        for name, value, wanted in (
            ("severity", message.severity, self.severities),
            ("account", message.account, self.accounts),
            ("team", message.team, self.teams),
        ):
            if wanted and value not in wanted:
                return f"{name} {value or 'none'}"
        for name, value, patterns in (
            ("user", message.user_id, self.users),
            ("peer", message.peer or "", self.peers),
            ("signature", message.signature, self.signatures),
        ):
            if not any(fnmatchcase(value, pattern) for pattern in patterns):
                return f"{name} {value or 'none'}"
        return self.why_not(at)


@dataclass(frozen=True)
class Way:
    """Where an alert goes.

    Args:
        channels: names of those that tell of it at once, each once.
        told: of each route that was looked at, what it said, for people.
        routes: those that matched.
        muted: names of channels that tell of it later.
    """

    channels: tuple[str, ...]
    told: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    muted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Routing:
    """Routes in their order.

    Args:
        channels: names of all.
        routes: none: every alert goes to all channels.
        accounts: kinds of accounts by name; a user is of the first that has it.
        teams: likewise.
        times: spans in which routes may be mute, by name; any of a name's counts.

    Raises:
        ConfigError: a route names a channel, an account, a team or times that there are not.
    """

    channels: tuple[str, ...]
    routes: Sequence[Route] = field(default_factory=tuple)
    accounts: Mapping[str, Group] = field(default_factory=dict)
    teams: Mapping[str, Group] = field(default_factory=dict)
    times: Mapping[str, Sequence[Times]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, route in enumerate(self.routes):
            further = () if route.escalate is None else route.escalate.to
            for setting, names, known in (
                ("to", (*route.to, *further), self.channels),
                ("accounts", route.accounts, self.accounts),
                ("teams", route.teams, self.teams),
                ("mute", route.mute, self.times),
            ):
                for name in names:
                    if name not in known:
                        hint = did_you_mean(name, known) if known else f"{name}: there are none"
                        raise ConfigError(f"routes.{number}.{setting}: {hint}")

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Channels that no route leads to: they tell only of what no route matches."""
        if not self.routes:
            return ()
        ways = [(*each.to, *(each.escalate.to if each.escalate else ())) for each in self.routes]
        return tuple(name for name in self.channels if not any(name in way for way in ways))

    def placed(self, message: AlertMessage) -> AlertMessage:
        """The message with the kind of its user's account, and the user's team."""
        account, team = (
            next((name for name, group in groups.items() if group.has(message)), None)
            for groups in (self.accounts, self.teams)
        )
        return replace(message, account=account, team=team)

    def way(self, message: AlertMessage, at: datetime) -> Way:
        """Where an alert goes.

        Args:
            message: of the alert.
            at: when the notice was written.
        """
        message = self.placed(message)
        told: list[str] = []
        matched: list[Route] = []
        now: dict[str, None] = {}
        later: dict[str, None] = {}
        for number, route in enumerate(self.routes, 1):
            name = route.name or f"route {number}"
            reason = route.keeps_out(message, at)
            if reason is not None:
                told.append(f"{name}: not, {reason}")
                continue
            matched.append(route)
            mute = self.mute(route, at)
            told.append(
                f"{name}: to {', '.join(route.to) or 'nobody'}"
                + ("" if mute is None else f", mute for {mute}")
            )
            (now if mute is None else later).update(dict.fromkeys(route.to))
            if not route.proceed:
                break
        if not matched:
            return Way(self.channels, (*told, NO_ROUTE))
        muted = tuple(name for name in later if name not in now)
        return Way(tuple(now), tuple(told), tuple(matched), muted)

    def mute(self, route: Route, at: datetime) -> str | None:
        """For which of its times a route is mute at a moment; None: it is not."""
        return next(
            (name for name in route.mute if any(at in each for each in self.times[name])), None
        )
