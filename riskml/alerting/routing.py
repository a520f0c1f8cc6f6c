"""Who is told of which alert: the first route that matches decides, by who, what, and when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from riskml.alerting.messages import AlertMessage
from riskml.alerting.states import FromFile, Severity
from riskml.alerting.suppression import EVERYTHING
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
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
class Route(FromFile):
    """Alerts, and the channels that tell of them.

    Args:
        to: names of channels; none: nobody is told, and the alert is in the log.
        name: for people.
        severities: of the alert; none: any.
        users: patterns with `*` and `?`.
        peers: likewise, of peer groups: roles, teams or kinds of accounts.
        signatures: likewise, of what the alert is about.
        days: of the week, in the route's time zone; none: any.
        hours: such as 18:00-06:00, which goes over midnight: then `days` are those of its evening.
        time_zone: IANA name.
        proceed: look for further routes, whose channels are told, too.
        escalate: what happens when nobody acknowledges it.

    Raises:
        ConfigError: no such day, zone or hours.
    """

    to: tuple[str, ...]
    name: str = ""
    severities: tuple[Severity, ...] = ()
    users: tuple[str, ...] = EVERYTHING
    peers: tuple[str, ...] = EVERYTHING
    signatures: tuple[str, ...] = EVERYTHING
    days: tuple[str, ...] = ()
    hours: str | None = None
    time_zone: str = "UTC"
    proceed: bool = False
    escalate: Escalation | None = None

    def __post_init__(self) -> None:
        for day in self.days:
            if day not in DAYS:
                raise ConfigError(f"days: {did_you_mean(day, DAYS)}")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            zone = printable(self.time_zone)
            raise ConfigError(f"time_zone={zone} is not known; write Europe/Berlin") from error
        self._span()

    def why_not(self, message: AlertMessage, at: datetime) -> str | None:
        """What keeps the route from an alert; None: it matches.

        Args:
            message: of the alert.
            at: when the notice was written.
        """
        if self.severities and Severity(message.severity) not in self.severities:
            return f"severity {message.severity}"
        for name, value, patterns in (
            ("user", message.user_id, self.users),
            ("peer", message.peer or "", self.peers),
            ("signature", message.signature, self.signatures),
        ):
            if not any(fnmatchcase(value, pattern) for pattern in patterns):
                return f"{name} {value or 'none'}"
        local = at.astimezone(ZoneInfo(self.time_zone))
        begin, end = self._span()
        clock, day = local.time(), local.weekday()
        if begin <= end:
            inside = begin <= clock < end or self.hours is None
        else:
            inside = clock >= begin or clock < end
            day = day if clock >= begin else (day - 1) % 7
        if not inside:
            return f"hour {clock:%H:%M} in {self.time_zone}"
        if self.days and DAYS[day] not in self.days:
            return f"day {DAYS[day]} in {self.time_zone}"
        return None

    def _span(self) -> tuple[time, time]:
        if self.hours is None:
            return time.min, time.max
        found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", self.hours)
        try:
            if found is None:
                raise ValueError
            first, second, third, fourth = map(int, found.groups())
            begin = time(first, second)
            end = time.max if (third, fourth) == (24, 0) else time(third, fourth)
        except ValueError:
            hours = printable(self.hours)
            raise ConfigError(f"hours={hours} is no span: write 08:00-18:00") from None
        if begin == end:
            raise ConfigError(f"hours={self.hours} is no time at all; leave it out for a whole day")
        return begin, end


@dataclass(frozen=True)
class Way:
    """Where an alert goes.

    Args:
        channels: their names, each once.
        told: of each route that was looked at, what it said, for people.
        routes: those that matched.
    """

    channels: tuple[str, ...]
    told: tuple[str, ...]
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Routing:
    """Routes in their order.

    Args:
        channels: names of all.
        routes: none: every alert goes to all channels.

    Raises:
        ConfigError: a route names a channel that there is not.
    """

    channels: tuple[str, ...]
    routes: Sequence[Route] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        for number, route in enumerate(self.routes):
            further = () if route.escalate is None else route.escalate.to
            for name in (*route.to, *further):
                if name not in self.channels:
                    raise ConfigError(f"routes.{number}: {did_you_mean(name, self.channels)}")

    def way(self, message: AlertMessage, at: datetime) -> Way:
        """Where an alert goes.

        Args:
            message: of the alert.
            at: when the notice was written.
        """
        told, matched = [], []
        for number, route in enumerate(self.routes, 1):
            name = route.name or f"route {number}"
            reason = route.why_not(message, at)
            if reason is not None:
                told.append(f"{name}: not, {reason}")
                continue
            matched.append(route)
            told.append(f"{name}: to {', '.join(route.to) or 'nobody'}")
            if not route.proceed:
                break
        if not matched:
            return Way(self.channels, (*told, NO_ROUTE))
        names = dict.fromkeys(name for route in matched for name in route.to)
        return Way(tuple(names), tuple(told), tuple(matched))
