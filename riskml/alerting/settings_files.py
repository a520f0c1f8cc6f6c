"""Rules of suppression and channels of delivery from YAML files, checked as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

from riskml.alerting.alertmanager import Alertmanager
from riskml.alerting.calendars import Times
from riskml.alerting.channels import Channel
from riskml.alerting.delivery import DeliverySettings
from riskml.alerting.mails import Email
from riskml.alerting.messages import AlertMessage
from riskml.alerting.routing import Group, Route, Routing
from riskml.alerting.states import FromFile, Severity
from riskml.alerting.suppression import Suppression
from riskml.alerting.webhooks import PagerDuty, Slack, Webhook
from riskml.core.durations import parse_duration
from riskml.core.errors import ConfigError, did_you_mean, require
from riskml.core.redaction import printable

KINDS: dict[str, type[Channel]] = {
    "alertmanager": Alertmanager,
    "email": Email,
    "pagerduty": PagerDuty,
    "slack": Slack,
    "webhook": Webhook,
}
LENGTHS = (
    "quiet",
    "remind",
    "first_wait",
    "longest_wait",
    "digest_every",
    "lease",
    "every",
    "lasts",
    "links_last",
    "after",
    "settle",
    "age",
    "cool_down",
    "retry",
    "shadow",
)

SECTIONS = ("channels", "delivery", "accounts", "teams", "times", "routes", "examples")

Settings = TypeVar("Settings")


def read_rules(path: Path) -> Suppression:
    """The rules of a file with the settings of `Suppression`.

    `quiet` is written as 30m, 12h or 1d; `until` of an acceptance as a day, which counts whole
    (UTC), or as a time with its zone.

    Raises:
        ConfigError: not readable, no YAML, or a setting that is wrong, with its place.
    """
    where = f"--rules {path}"
    found = read_yaml(path, where)
    accepted = found.get("accepted")
    if isinstance(accepted, list):
        ends = [
            {**each, "until": _end_of(each["until"])}
            if isinstance(each, dict) and "until" in each
            else each
            for each in accepted
        ]
        found = {**found, "accepted": ends}
    return checked(Suppression, found, where)


@dataclass(frozen=True)
class Delivery:
    """What a file says of telling people.

    Args:
        channels: by name.
        routing: which of them tell of which alert.
        settings: how they are used.
    """

    channels: dict[str, Channel]
    routing: Routing
    settings: DeliverySettings


def read_channels(path: Path) -> Delivery:
    """Channels, routes and their examples of a file.

    Raises:
        ConfigError: not readable, no YAML, no channel, a setting that is wrong, with its place, or
            an example that does not go where it says.
    """
    where = f"--channels {path}"
    found = read_yaml(path, where)
    unknown = [name for name in found if name not in SECTIONS]
    if unknown:
        raise ConfigError(f"{where}: {printable(str(unknown[0]))}: there is no such setting")
    named = _named(found, "channels", where)
    if not named:
        raise ConfigError(f"{where}: channels: name at least one; see docs/alerts.md")
    channels: dict[str, Channel] = {}
    for name, settings in named.items():
        here = f"{where}: channels.{printable(name)}"
        kind = settings.get("kind") if isinstance(settings, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigError(f"{here}.kind: {did_you_mean(str(kind), KINDS)}")
        rest = {key: value for key, value in settings.items() if key != "kind"}
        channels[name] = checked(KINDS[kind], rest, here)
    routes = _each(found.get("routes"), Route, f"{where}: routes")
    accounts, teams = (
        {
            name: checked(Group, group, f"{where}: {section}.{printable(name)}")
            for name, group in _named(found, section, where).items()
        }
        for section in ("accounts", "teams")
    )
    times = {
        name: _each(spans if isinstance(spans, list) else [spans], Times, f"{where}: times.{name}")
        for name, spans in _named(found, "times", where).items()
    }
    try:
        routing = Routing(tuple(channels), routes, accounts, teams, times)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    for number, example in enumerate(_each(found.get("examples"), Example, f"{where}: examples")):
        way = routing.way(example.message(), example.at)
        for verb, goes, said in (
            ("goes to", way.channels, example.to),
            ("is muted for", way.muted, example.muted),
        ):
            if set(goes) != set(said):
                names, others = (", ".join(each) or "nobody" for each in (goes, said))
                told = f"{verb} {names}, not {verb.split()[-1]} {others}: {'; '.join(way.told)}"
                raise ConfigError(f"{where}: examples.{number}: {told}")
    delivery = found.get("delivery") or {}
    return Delivery(channels, routing, checked(DeliverySettings, delivery, f"{where}: delivery"))


@dataclass(frozen=True, kw_only=True)
class Example(FromFile):
    """An alert that shows where routes lead.

    Args:
        to: names of the channels that it has to go to at once.
        muted: that tell of it later.
        at: when, with its zone.
        user: whose it is.
        peer: the user's peer group.
        severity: of it.
        signature: what it is about.

    Raises:
        ConfigError: `at` has no time zone.
    """

    to: tuple[str, ...]
    muted: tuple[str, ...] = ()
    at: datetime = datetime(2024, 1, 1, 12, tzinfo=UTC)
    user: str = "somebody"
    peer: str | None = None
    severity: Severity = Severity.HIGH
    signature: str = "score"

    def __post_init__(self) -> None:
        require("at", self.at, self.at.tzinfo is not None, "needs a time zone, such as Z")

    def message(self) -> AlertMessage:
        """As it would be told."""
        names = (self.user, self.signature, self.severity.value, "open")
        return AlertMessage("", "trigger", "", *names, 0, 1, self.at, self.at, "", (), self.peer)


def _named(found: dict[str, Any], section: str, where: str) -> dict[str, Any]:
    """A section that has a name for each of its entries."""
    named = found.get(section) or {}
    if not isinstance(named, dict):
        raise ConfigError(f"{where}: {section}: must be names, each with its settings")
    return {str(name): settings for name, settings in named.items()}


def _each(found: Any, kind: type[Settings], where: str) -> tuple[Settings, ...]:
    if not isinstance(found, list | None):
        raise ConfigError(f"{where}: must be a list")
    return tuple(checked(kind, each, f"{where}.{n}") for n, each in enumerate(found or []))


def read_yaml(path: Path, where: str) -> dict[str, Any]:
    """Settings of a file.

    Args:
        path: of it.
        where: to begin a message.

    Raises:
        ConfigError: not readable, no YAML, or no settings.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        _refuse_twice(yaml.compose(text, yaml.SafeLoader), where)
        found = yaml.safe_load(text)
    except OSError as error:
        told = "it is a folder; give a YAML file" if path.is_dir() else error.strerror
        raise ConfigError(f"{where}: {told}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{where} is no YAML: {printable(told)}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{where} holds no settings: write lines like name: value")
    return found


def _refuse_twice(node: Any, where: str, depth: int = 3) -> None:
    """Refuse a name that stands twice: YAML would keep the last of two channels."""
    import yaml

    if depth == 0 or not isinstance(node, yaml.MappingNode):
        return
    names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: '{printable(name)}' stands there twice")
    for _, value in node.value:
        _refuse_twice(value, where, depth - 1)


def checked(kind: type[Settings], found: Any, where: str) -> Settings:
    """Settings as a class has them.

    Args:
        kind: a dataclass, `FromFile`.
        found: values of a file.
        where: they come from, to begin a message.

    Raises:
        ConfigError: one of them is wrong, or there is no such setting.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        if isinstance(found, dict):
            found = {name: _length(name, value) for name, value in found.items()}
            further = found.get("escalate")
            if isinstance(further, dict):
                found["escalate"] = {n: _length(n, value) for n, value in further.items()}
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        unknown = first["type"] == "unexpected_keyword_argument"
        reason = "there is no such setting" if unknown else first["msg"]
        raise ConfigError(f"{where}: {printable(place)}{reason}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _length(name: Any, value: Any) -> Any:
    """`12h` → twelve hours, where a length of time is meant; anything else as it is."""
    if name not in LENGTHS or not isinstance(value, str):
        return value
    length = parse_duration(value)
    if length is None:
        raise ConfigError(f"{name}={printable(value)} is no length of time: write 12h or 1d")
    return length


def _end_of(until: Any) -> Any:
    """The end of a day; anything else as it is."""
    if isinstance(until, date) and not isinstance(until, datetime):
        return datetime.combine(until, time.max, UTC)
    return until
