"""Each rule of suppression by itself, and rules from a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskml.alerting.settings_files import read_rules
from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState, Severity, SeverityLevels
from riskml.alerting.suppression import (
    Acceptance,
    Caps,
    Known,
    Notice,
    Suppression,
    Told,
    Watch,
)
from riskml.core.errors import ConfigError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
WINDOW = Sighting(
    "w",
    "m",
    "ann",
    NOON,
    NOON + timedelta(hours=1),
    1.0,
    0.01,
    60.0,
    ({"topic": "hour", "share": 1.0, "text": ""},),
    "engineer",
)
KNOWN = Known("a", AlertState.OPEN, Severity.MEDIUM, 60.0, NOON - timedelta(hours=2))


def test_severities_rise_with_risk() -> None:
    levels = SeverityLevels()
    assert [levels.of(r).value for r in (0, 50, 75, 90)] == ["low", "medium", "high", "critical"]


@pytest.mark.parametrize(
    ("risk", "rule"), [(60.0, "repeat"), (75.5, "repeat"), (77.5, "risen"), (95.0, "risen")]
)
def test_only_a_clear_rise_breaks_through(risk: float, rule: str) -> None:
    known = replace(KNOWN, risk=74.9)  # just under the next level
    decision = Suppression(hysteresis=2.0).decide(replace(WINDOW, risk=risk), known)
    assert decision.rule == rule
    assert (decision.notice is not None) == (rule == "risen")


def test_people_are_reminded_of_what_goes_on_and_nobody_took_up() -> None:
    at = WINDOW.window_end
    rules = Suppression(remind=timedelta(hours=6))
    told = replace(KNOWN, told_at=at - timedelta(hours=6))
    assert rules.decide(WINDOW, told, at=at).rule == "reminder"
    assert rules.decide(WINDOW, told, at=at - timedelta(seconds=1)).rule == "repeat"
    assert rules.decide(WINDOW, told, Told(user=9), at).notice == Notice.TRIGGER
    capped = replace(rules, caps=Caps(user=9)).decide(WINDOW, told, Told(user=9), at)
    assert (capped.rule, capped.notice) == ("cap_user", None)
    taken_up = replace(told, state=AlertState.ACKNOWLEDGED)
    assert rules.decide(WINDOW, taken_up, at=at).rule == "repeat"
    assert replace(rules, remind=None).decide(WINDOW, told, at=at).rule == "repeat"


def test_an_alert_nobody_was_told_of_is_told() -> None:
    decision = Suppression().decide(WINDOW, replace(KNOWN, told=False))
    assert (decision.rule, decision.notice, decision.alert_id) == ("first", Notice.TRIGGER, "a")


def test_watchlists_raise_and_lower() -> None:
    rules = Suppression(
        watch=(
            Watch(users=("ann",), steps=-1, why="leaves tomorrow"),
            Watch(peers=("eng*",), steps=3, why="crown jewels"),
        )
    )
    assert rules.decide(WINDOW).severity == Severity.LOW
    assert rules.decide(replace(WINDOW, user_id="bob")).severity == Severity.CRITICAL
    assert rules.decide(replace(WINDOW, user_id="bob", peer=None)).severity == Severity.MEDIUM


def test_what_is_accepted_is_quiet_until_its_day() -> None:
    until = NOON + timedelta(days=3)
    pattern = Acceptance(signatures=("hou?",), until=until, owner="kim", why="night shift")
    rules = Suppression(accepted=(pattern,))
    decision = rules.decide(replace(WINDOW, risk=99.0))
    assert (decision.rule, decision.notice) == ("accepted", None)
    assert decision.state == AlertState.ACCEPTED_RISK and decision.why == "kim: night shift"
    later = replace(WINDOW, window_start=until, window_end=until + timedelta(seconds=1))
    left = replace(KNOWN, state=AlertState.ACCEPTED_RISK, told=False, last_seen=until)
    decision = rules.decide(later, left)
    assert (decision.rule, decision.state) == ("first", AlertState.OPEN)


def test_caps_hold_back_all_but_the_gravest() -> None:
    rules = Suppression(caps=Caps(user=2, peer=5))
    assert rules.decide(WINDOW, told=Told(1, 4)).rule == "first"
    assert rules.decide(WINDOW, told=Told(2, 0)).rule == "cap_user"
    assert rules.decide(WINDOW, told=Told(0, 5)).rule == "cap_peer"
    assert rules.decide(replace(WINDOW, risk=95.0), told=Told(9, 9)).rule == "first"
    assert rules.decide(replace(WINDOW, risk=80.0), KNOWN, Told(9, 9)).rule == "risen"


def test_low_severities_come_in_digests() -> None:
    rules = Suppression(digest=Severity.MEDIUM)
    assert rules.decide(WINDOW).notice == Notice.DIGEST
    assert rules.decide(replace(WINDOW, risk=80.0)).notice == Notice.TRIGGER


FILE = """
severity: {medium: 40, high: 70, critical: 95}
quiet: 12h
remind: 8h
hysteresis: 5
digest: low
caps: {user: 3}
watch:
  - {users: [svc-*], steps: -1, why: service accounts are noisy}
accepted:
  - {signatures: [hour], peers: [operator], until: 2026-12-31, owner: kim, why: night shift}
"""


def test_rules_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(FILE)
    rules = read_rules(file)
    assert rules.severity == SeverityLevels(40, 70, 95)
    assert (rules.quiet, rules.hysteresis, rules.digest) == (
        timedelta(hours=12),
        5.0,
        Severity.LOW,
    )
    assert (rules.caps, rules.remind) == (Caps(user=3), timedelta(hours=8))
    assert rules.watch == (Watch(users=("svc-*",), steps=-1, why="service accounts are noisy"),)
    [accepted] = rules.accepted
    assert accepted.until == datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


WRONG = {
    "remind: 0d": "remind=0:00:00 must be above 0",
    "quiet: soon": "quiet=soon is no length of time: write 12h or 1d",
    "loud: 1d": "loud: there is no such setting",
    "caps: {user: 0}": "caps.user=0 must be at least 1",
    "caps: {user: true}": "caps: user=True must be a number",
    "watch: [{steps: true, why: x}]": "watch.0: steps=True must be a number",
    "caps: {team: 1}": "caps.team: there is no such setting",
    "severity: {medium: 99}": "must rise",
    "digest: tiny": "digest: Input should be 'low'",
    "watch: [{steps: 9, why: x}]": "watch.steps=9 must lie between -3 and 3",
    "watch: [{users: [x]}]": "watch.0",
    "accepted: [{until: 2026-12-31T10:00:00, owner: kim, why: x}]": "needs a time zone",
    "accepted: [{until: 2026-12-31, owner: '', why: x}]": "must name somebody",
    "[1": "is no YAML",
    "just words": "holds no settings",
}


@pytest.mark.parametrize("content", WRONG)
def test_wrong_rules_name_their_place(content: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as raised:
        read_rules(file)
    told = str(raised.value)
    assert str(file) in told and WRONG[content] in told and "\n" not in told
