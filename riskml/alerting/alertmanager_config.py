"""Channels and routes as a whole configuration for Prometheus Alertmanager, 0.25 or later.

Secrets stay outside: Alertmanager reads them from files in one folder, each named as the variable
that has it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from riskml.alerting.channels import Alertmanager, Channel, Email, PagerDuty, Slack, Webhook
from riskml.alerting.routing import DAYS, Route, Routing
from riskml.alerting.states import Severity
from riskml.alerting.suppression import EVERYTHING
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
        ConfigError: no channel is left, or one that Alertmanager has no receiver for.
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
    intervals: list[dict[str, Any]] = []
    routes = []
    for number, route in enumerate(routing.routes, 1):
        made: dict[str, Any] = {"receiver": _receiver(route.to, everybody)}
        made["matchers"] = list(_matchers(route))
        made["continue"] = route.proceed
        spans = _spans(route)
        if spans:
            interval = f"route-{number}"
            intervals.append({"name": interval, "time_intervals": spans})
            made["active_time_intervals"] = [interval]
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
    if route.severities:
        yield f'severity=~"{"|".join(route.severities)}"'
    for label, patterns in (
        ("user", route.users),
        ("peer", route.peers),
        ("signature", route.signatures),
    ):
        if patterns != EVERYTHING:
            quoted = "|".join(map(_regular, patterns)).replace("\\", "\\\\").replace('"', '\\"')
            yield f'{label}=~"{quoted}"'


def _regular(pattern: str) -> str:
    """A pattern with `*` and `?` as Alertmanager's regular expression, which is always whole."""
    return "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)


def _spans(route: Route) -> list[dict[str, Any]]:
    """Days and hours; those over midnight as an evening and the morning after it."""
    zone = {"location": route.time_zone}
    if route.hours is None:
        return [{"weekdays": _weekdays(route.days), **zone}] if route.days else []
    begin, end = route.hours.split("-")
    if begin < end:
        return [_span(begin, end, route.days, zone)]
    mornings = tuple(DAYS[(DAYS.index(day) + 1) % 7] for day in route.days)
    evening = _span(begin, "24:00", route.days, zone)
    return [evening, *([] if end == "00:00" else [_span("00:00", end, mornings, zone)])]


def _span(begin: str, end: str, days: Iterable[str], zone: dict[str, str]) -> dict[str, Any]:
    times = {"times": [{"start_time": begin, "end_time": end}], **zone}
    weekdays = _weekdays(days)
    return {**times, "weekdays": weekdays} if weekdays else times


def _weekdays(days: Iterable[str]) -> list[str]:
    return [WEEKDAYS[DAYS.index(day)] for day in days]
