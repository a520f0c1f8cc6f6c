"""Channels and routes as a whole configuration for Prometheus Alertmanager, 0.25 or later.

Secrets stay outside: Alertmanager reads them from files in one folder, each named as the variable
that has it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from riskml.alerting.alertmanager import Alertmanager
from riskml.alerting.calendars import DAYS, MONTHS, Times
from riskml.alerting.channels import Channel
from riskml.alerting.mails import Email
from riskml.alerting.routing import Route, Routing
from riskml.alerting.states import Severity
from riskml.alerting.suppression import EVERYTHING
from riskml.alerting.webhooks import PagerDuty, Slack, Webhook
from riskml.core.errors import ConfigError

NOBODY, EVERYBODY = "nobody", "everybody"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_TEXT = "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n{{ end }}"


def render(channels: Mapping[str, Channel], routing: Routing, secrets: str) -> dict[str, Any]:
    """The configuration as plain values.

    Args:
        channels: by name; those to an Alertmanager are left out.
        routing: their routes.
        secrets: folder of the files with secrets, as Alertmanager sees it.

    Raises:
        ConfigError: no channel is left, one that Alertmanager has no receiver for, or times that it
            has no words for.
    """
    told = {n: each for n, each in channels.items() if not isinstance(each, Alertmanager)}
    if not told:
        raise ConfigError("channels: Alertmanager needs one that people look at, such as slack")
    everybody = tuple(told)
    groups = {_receiver(r.to, everybody): r.to for r in routing.routes}
    groups = {EVERYBODY: everybody, **groups}
    receivers: list[dict[str, Any]] = [{"name": NOBODY}]
    for name, members in groups.items():
        if name != NOBODY:
            receivers.append(_receivers(name, {n: told[n] for n in members if n in told}, secrets))
    intervals: list[dict[str, Any]] = [
        {"name": name, "time_intervals": [part for each in spans for part in _spans(each)]}
        for name, spans in routing.times.items()
    ]
    routes = []
    for number, route in enumerate(routing.routes, 1):
        made: dict[str, Any] = {"receiver": _receiver(route.to, everybody)}
        made["matchers"] = list(_matchers(route))
        made["continue"] = route.proceed
        spans = _spans(route)
        if spans:
            interval = f"route-{number}"
            while interval in routing.times:
                interval += "-"
            intervals.append({"name": interval, "time_intervals": spans})
            made["active_time_intervals"] = [interval]
        if route.mute:
            made["mute_time_intervals"] = list(route.mute)
        routes.append(made)
    return {
        "route": {
            "receiver": EVERYBODY,
            "group_by": ["alertname", "user", "signature"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": routes,
        },
        "receivers": receivers,
        "inhibit_rules": [
            {
                "source_matchers": [f"severity={worse}"],
                "target_matchers": [f"severity=~{'|'.join(better)}"],
                "equal": ["user"],
            }
            for worse, better in ((Severity.CRITICAL, ("low", "medium")), (Severity.HIGH, ("low",)))
        ],
        "time_intervals": intervals,
    }


def _receiver(names: Iterable[str], everybody: tuple[str, ...]) -> str:
    chosen = [name for name in names if name in everybody]
    return "+".join(chosen) or NOBODY


def _receivers(name: str, channels: Mapping[str, Channel], secrets: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    for each in channels.values():
        kind, settings = _settings(each, secrets.rstrip("/"))
        found.setdefault(f"{kind}_configs", []).append({**settings, "send_resolved": each.changes})
    return found


def _settings(channel: Channel, secrets: str) -> tuple[str, dict[str, Any]]:
    if isinstance(channel, Webhook):
        if channel.secret is not None:
            raise ConfigError("a webhook with a secret: Alertmanager signs nothing; leave it out")
        return "webhook", {"url": channel.url}
    if isinstance(channel, Slack):
        return "slack", {
            "api_url_file": f"{secrets}/{channel.url}",
            "title": "{{ .CommonAnnotations.summary }}",
            "text": _TEXT,
        }
    if isinstance(channel, PagerDuty):
        severity = (
            "{{ if eq .CommonLabels.severity `low` }}info{{ else if eq .CommonLabels.severity"
        )
        severity += " `medium` }}warning{{ else if eq .CommonLabels.severity `high` }}error"
        severity += "{{ else }}critical{{ end }}"
        return "pagerduty", {
            "routing_key_file": f"{secrets}/{channel.key}",
            "url": channel.url,
            "severity": severity,
            "description": "{{ .CommonAnnotations.summary }}",
        }
    if isinstance(channel, Email):
        signs_in = {}
        if channel.user is not None:
            signs_in = {
                "auth_username": channel.user,
                "auth_password_file": f"{secrets}/{channel.password}",
            }
        return "email", {
            "to": ", ".join(channel.to),
            "from": channel.sender,
            "smarthost": f"{channel.host}:{channel.port}",
            "require_tls": channel.tls == "starttls",
            **signs_in,
        }
    raise ConfigError(f"Alertmanager has no receiver for a {type(channel).__name__}")


def _matchers(route: Route) -> Iterable[str]:
    for label, names in (
        ("severity", route.severities),
        ("account", route.accounts),
        ("team", route.teams),
    ):
        if names:
            yield _matcher(label, map(re.escape, names))
    for label, patterns in (
        ("user", route.users),
        ("peer", route.peers),
        ("signature", route.signatures),
    ):
        if patterns != EVERYTHING:
            yield _matcher(label, map(_regular, patterns))


def _matcher(label: str, expressions: Iterable[str]) -> str:
    quoted = "|".join(expressions).replace("\\", "\\\\").replace('"', '\\"')
    return f'{label}=~"{quoted}"'


def _regular(pattern: str) -> str:
    """A pattern with `*` and `?` as Alertmanager's regular expression, which is always whole."""
    return "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)


def _spans(times: Times) -> list[dict[str, Any]]:
    """The times as intervals; hours over midnight are an evening and the morning after it.

    Raises:
        ConfigError: hours over midnight in certain months or on certain dates.
    """
    dates = _dates(times)
    if times.hours is None:
        if not (dates or times.days or times.months):
            return []
        return [_interval(times, times.days, each) for each in dates or [{}]]
    begin, end = times.hours.split("-")
    if begin < end:
        hours = _hours(begin, end)
        return [hours | _interval(times, times.days, each) for each in dates or [{}]]
    if dates or times.months:
        raise ConfigError(
            f"hours={times.hours} with months or dates: Alertmanager has no words for the morning "
            "after; write the evening and the morning as two"
        )
    mornings = [DAYS[(DAYS.index(day) + 1) % 7] for day in times.days]
    evening = _hours(begin, "24:00") | _interval(times, times.days, {})
    morning = _hours("00:00", end) | _interval(times, mornings, {})
    return [evening] if end == "00:00" else [evening, morning]


def _hours(begin: str, end: str) -> dict[str, Any]:
    return {"times": [{"start_time": begin, "end_time": end}]}


def _interval(times: Times, days: Iterable[str], dates: dict[str, Any]) -> dict[str, Any]:
    """All but the hours."""
    found: dict[str, Any] = {"location": times.time_zone}
    if weekdays := [WEEKDAYS[DAYS.index(day)] for day in days]:
        found["weekdays"] = weekdays
    if times.months:
        found["months"] = [str(MONTHS.index(month) + 1) for month in times.months]
    return found | dates


def _dates(times: Times) -> list[dict[str, Any]]:
    """One for each month that a range of dates touches."""
    return [
        {
            "days_of_month": [f"{first}:{last}"],
            "months": [str(month)],
            **({} if dates.yearly else {"years": [str(year)]}),
        }
        for dates in times.ranges()
        for year, month, first, last in dates.months()
    ]
