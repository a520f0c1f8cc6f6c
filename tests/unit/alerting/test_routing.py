"""Where alerts go: fifty examples in the words of a file, and files that are wrong."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import yaml

from riskml.alerting.settings_files import read_channels
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


WRONG = {
    "routes: [{to: [dusk]}]": "routes.0: did you mean 'desk'?",
    "routes: [{to: [desk], days: [mo]}]": "days: did you mean 'mon'?",
    "routes: [{to: [desk], hours: 9-17}]": "hours=9-17 is no span: write 08:00-18:00",
    "routes: [{to: [desk], hours: '09:00-09:00'}]": "is no time at all",
    "routes: [{to: [desk], hours: '25:00-26:00'}]": "is no span",
    "routes: [{to: [desk], time_zone: Berlin}]": "time_zone=Berlin is not known",
    "routes: [{to: [desk], user: x}]": "user: there is no such setting",
    "routes: [{}]": "routes.0: to",
    "routes: {to: [desk]}": "routes: must be a list",
    "routes: [{to: [desk], escalate: {after: soon, to: [desk]}}]": "after=soon is no length",
    "routes: [{to: [desk], escalate: {after: 5m, to: [dusk]}}]": "routes.0: did you mean 'desk'?",
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
        ("channels: {x: {kind: webhook}}", "channels.x: url"),
        ("channels: {x: {kind: email, host: h, sender: s, to: []}}", "to is empty"),
        ("channels: {x: {kind: alertmanager, url: u, lasts: 1m}}", "at least twice"),
        ("channels: {x: {kind: alertmanager, url: u, labels: {user: a}}}", "labels.user"),
    ],
)
def test_a_wrong_channel_names_its_setting(content: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_channels(written(tmp_path, content))
    assert told in str(raised.value)
