"""Where alerts go: fifty examples in the words of a file, and files that are wrong."""

from __future__ import annotations

import re
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from riskml.alerting.calendars import Times
from riskml.alerting.settings_files import read_channels, read_rules
from riskml.alerting.suppression import Caps
from riskml.core.errors import ConfigError

FILE = """
channels:
  desk: {kind: webhook, url: "http://desk"}
  night: {kind: webhook, url: "http://night"}
  boss: {kind: webhook, url: "http://boss"}
  log: {kind: webhook, url: "http://log"}
routes:
  - {name: robots, users: ["svc-*"], severities: [low, medium], to: []}
  - {name: everything, to: [log], proceed: true}
  - {name: board, peers: [board], to: [boss, desk]}
  - name: nights
    hours: "18:00-06:00"
    days: [mon, tue, wed, thu, fri]
    time_zone: Europe/Berlin
    severities: [high, critical]
    to: [night]
    escalate: {after: 30m, to: [boss]}
  - {name: weekend, days: [sat, sun], time_zone: Europe/Berlin, to: [night]}
  - {name: days, signatures: ["count:*", hour], to: [desk]}
"""

# severity, user, peer, signature, time (UTC; Berlin is two hours ahead in May), channels.
# 2024-05-01 was a Wednesday
EXAMPLES = [
    *[(s, "svc-1", None, "hour", "2024-05-01T10:00Z", []) for s in ("low", "medium")],
    *[
        (s, "svc-1", None, "hour", "2024-05-01T10:00Z", ["log", "desk"])
        for s in ("high", "critical")
    ],
    *[
        (s, "ann", "board", "hour", f"2024-05-0{day}T{hour}:00Z", ["log", "boss", "desk"])
        for s, day, hour in product(("low", "critical"), (1, 4), ("02", "10", "20"))
    ],
    *[
        (s, "ann", "eng", "hour", at, ["log", "night"])
        for s, at in product(
            ("high", "critical"),
            ("2024-05-01T16:00Z", "2024-05-01T23:59Z", "2024-05-02T03:59Z", "2024-05-04T03:59Z"),
        )
    ],
    *[
        (s, "ann", "eng", "hour", at, ["log", "desk"])
        for s, at in product(("low", "medium"), ("2024-05-01T16:00Z", "2024-05-02T03:59Z"))
    ],
    *[
        ("high", "ann", "eng", signature, at, ["log", "desk"])
        for signature, at in product(
            ("hour", "count:logon", "count:"),
            ("2024-05-01T04:00Z", "2024-05-01T15:59Z", "2024-05-03T12:00Z"),
        )
    ],
    *[
        (s, "ann", None, "resources", at, ["log", "night"])
        for s, at in product(
            ("low", "high"), ("2024-05-03T22:00Z", "2024-05-04T12:00Z", "2024-05-05T21:59Z")
        )
    ],
    *[
        (s, "ann", None, "resources", "2024-05-06T10:00Z", ["log"])
        for s in ("low", "medium", "high", "critical")
    ],
    *[
        (s, "ann", None, "resources", "2024-05-05T22:30Z", ["log"])
        for s in ("low", "medium", "high", "critical")
    ],
]


EXAMPLE = Path(__file__).parents[3] / "conf" / "alerting" / "channels.yaml"


def written(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "channels.yaml"
    file.write_text(content)
    return file


def test_there_are_fifty_examples() -> None:
    assert len(EXAMPLES) >= 50


def test_examples_go_where_they_say(tmp_path: Path) -> None:
    names = ("severity", "user", "peer", "signature", "at", "to")
    examples = [
        {name: value for name, value in zip(names, each, strict=True) if value is not None}
        for each in EXAMPLES
    ]
    found = read_channels(written(tmp_path, FILE + yaml.safe_dump({"examples": examples})))
    assert list(found.channels) == ["desk", "night", "boss", "log"]


def test_an_example_that_goes_elsewhere_says_why(tmp_path: Path) -> None:
    example = '\nexamples: [{user: ann, at: "2024-05-06T10:00Z", to: [desk]}]'
    with pytest.raises(ConfigError) as raised:
        read_channels(written(tmp_path, FILE + example))
    told = str(raised.value)
    assert "examples.0: goes to log, not to desk" in told
    assert "weekend: not, day mon in Europe/Berlin; days: not, signature score" in told


def test_the_file_of_the_repository_goes_where_it_says() -> None:
    found = read_channels(EXAMPLE)
    assert len(found.routing.routes) == 8 and set(found.routing.times) >= {"holidays"}
    assert read_rules(EXAMPLE.with_name("rules.yaml")).caps == Caps(5, 50)


def test_the_examples_of_the_page_go_where_they_say(tmp_path: Path) -> None:
    page = (EXAMPLE.parents[2] / "docs" / "alerts.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    channels, routes = (block for block in blocks if "channels:" in block or "routes:" in block)
    found = read_channels(written(tmp_path, channels + routes))
    assert found.routing.routes and found.routing.teams


def test_a_channel_that_no_route_names_is_told_of(tmp_path: Path) -> None:
    channels = "channels: {a: {kind: slack}, b: {kind: slack}, c: {kind: slack}}\n"
    assert read_channels(written(tmp_path, channels)).routing.unnamed == ()
    routes = "routes: [{to: [a], escalate: {after: 5m, to: [b]}}]"
    assert read_channels(written(tmp_path, channels + routes)).routing.unnamed == ("c",)


# clocks in Berlin: one hour ahead in winter, two in summer; 2024-12-25 was a Wednesday
TIMES = [
    ({"dates": ["12-25"]}, "2024-12-24T23:00Z", True),
    ({"dates": ["12-25"]}, "2030-12-25T22:59Z", True),
    ({"dates": ["12-25"]}, "2024-12-25T23:00Z", False),
    ({"dates": ["2024-12-25"]}, "2025-12-25T10:00Z", False),
    ({"dates": [date(2024, 12, 25)]}, "2024-12-25T10:00Z", True),
    ({"dates": ["2024-12-30..2025-01-02"]}, "2025-01-02T10:00Z", True),
    ({"dates": ["2024-12-30..2025-01-02"]}, "2025-01-03T10:00Z", False),
    ({"dates": ["02-29"]}, "2024-02-29T10:00Z", True),
    ({"dates": ["02-28..03-01"]}, "2023-03-01T10:00Z", True),
    ({"dates": ["12-24"], "hours": "22:00-06:00"}, "2024-12-25T04:59Z", True),
    ({"dates": ["12-24"], "hours": "22:00-06:00"}, "2024-12-24T04:59Z", False),
    ({"months": ["jul", "aug"]}, "2024-06-30T22:00Z", True),
    ({"months": ["jul", "aug"]}, "2024-08-31T22:00Z", False),
    ({"months": ["dec"], "days": ["wed"]}, "2024-12-25T10:00Z", True),
    ({"months": ["dec"], "days": ["wed"]}, "2024-12-26T10:00Z", False),
    # clocks go forward at 01:00 UTC on 2024-03-31: there is no 02:30 there
    ({"hours": "02:00-03:00"}, "2024-03-31T01:30Z", False),
    ({"hours": "03:00-04:00"}, "2024-03-31T01:30Z", True),
]


@pytest.mark.parametrize(("settings", "at", "inside"), TIMES)
def test_times_follow_the_calendar(settings: dict[str, Any], at: str, inside: bool) -> None:
    times = Times(time_zone="Europe/Berlin", **settings)
    assert (datetime.fromisoformat(at) in times) == inside


WRONG = {
    "routes: [{to: [dusk]}]": "routes.0.to: did you mean 'desk'?",
    "routes: [{to: [desk], days: [mo]}]": "days: did you mean 'mon'?",
    "routes: [{to: [desk], hours: 9-17}]": "hours=9-17 is no span: write 08:00-18:00",
    "routes: [{to: [desk], hours: '09:00-09:00'}]": "is no time at all",
    "routes: [{to: [desk], hours: '25:00-26:00'}]": "is no span",
    "routes: [{to: [desk], time_zone: Berlin}]": "time_zone=Berlin is not known",
    "routes: [{to: [desk], user: x}]": "user: there is no such setting",
    "routes: [{}]": "routes.0: to",
    "routes: {to: [desk]}": "routes: must be a list",
    "routes: [{to: [desk], teams: [crew]}]": "routes.0.teams: crew: there are none",
    "routes: [{to: [desk], mute: [xmas]}]": "routes.0.mute: xmas: there are none",
    "teams: [crew]": "teams: must be names, each with its settings",
    "teams: {crew: {}}": "teams.crew: name patterns of users, or of peers",
    "accounts: {robot: {user: [x]}}": "accounts.robot: user: there is no such setting",
    "times: {n: {months: [june]}}": "times.n.0: months: did you mean 'jun'?",
    "times: {n: {dates: [13-01]}}": "times.n.0: dates: 13-01 is no date: write 2024-12-25",
    "times: {n: [{dates: [12-26..12-24]}]}": "ends before it begins; write two of them",
    "times: {n: {dates: [12-24], months: [dec]}}": "months and dates: give one of them",
    "routes: [{to: []}]\nexamples: [{to: [], muted: [desk]}]": "is muted for nobody, not for desk",
    "routes: [{to: [desk], escalate: {after: soon, to: [desk]}}]": "after=soon is no length",
    "routes: [{to: [desk], escalate: {after: 5m, to: [dusk]}}]": "routes.0.to: did you mean",
    "delivery: [1]": "delivery: Input should be",
    "delivery: {lease: 0s}": "delivery: lease=0:00:00 must be above 0",
    "routes: [{to: [desk]}]\nroutes: []": "'routes' stands there twice",
    "ways: []": "ways: there is no such setting",
    "examples: [{to: [desk], at: 2024-05-01T10:00:00}]": "needs a time zone",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_wrong_file_names_its_place(content: str, tmp_path: Path) -> None:
    channels = "channels: {desk: {kind: webhook, url: 'http://desk'}}\n"
    with pytest.raises(ConfigError) as raised:
        read_channels(written(tmp_path, channels + content))
    assert WRONG[content] in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("channels: {}", "name at least one"),
        ("channels: {x: {kind: slak}}", "channels.x.kind: did you mean 'slack'?"),
        ("channels: {x: {kind: [slack]}}", "channels.x.kind: "),
        ("channels: {x: {kind: slack}, x: {kind: pagerduty}}", "'x' stands there twice"),
        ("channels: {x: {kind: webhook}}", "channels.x: url"),
        ("channels: {x: {kind: webhook, url: siem.example}}", "url=siem.example is no address"),
        ("channels: {x: {kind: webhook, url: 'ftp://a:pw@h/'}}", "url=ftp://h/ is no address"),
        ("channels: {x: {kind: webhook, url: 'http://h:99999/'}}", "is no address"),
        ("channels: {x: {kind: slack, link: 'https://h/{id}'}}", "put {alert_id} into it"),
        ("channels: {x: {kind: pagerduty, url: 'https://'}}", "channels.x: url=https:// is no"),
        ("channels: {x: {kind: email, host: h, sender: '', to: [a]}}", "sender='' is empty"),
        (
            'channels: {x: {kind: email, host: h, sender: s, to: ["a\\nBcc: b"]}}',
            "no mail can have",
        ),
        ("channels: {x: {kind: email, host: h, sender: s, to: [a], port: 0}}", "port=0 must lie"),
        ("channels: {x: {kind: alertmanager, url: 'http://u', every: 0s}}", "every=0:00:00"),
        ("channels: {x: {kind: slack, a_minute: 0}}", "channels.x: a_minute=0 must be at least 1"),
        ("channels: {x: {kind: email, host: h, sender: s, to: []}}", "to is empty"),
        ("channels: {x: {kind: alertmanager, url: 'http://u', lasts: 1m}}", "at least twice"),
        ("channels: {x: {kind: alertmanager, url: 'http://u', labels: {user: a}}}", "labels.user"),
    ],
)
def test_a_wrong_channel_names_its_setting(content: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_channels(written(tmp_path, content))
    assert told in str(raised.value)
