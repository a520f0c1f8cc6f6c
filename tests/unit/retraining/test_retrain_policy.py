"""When a champion is trained again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import riskml
from riskml.core.errors import ConfigError
from riskml.retraining.policy import Facts, RetrainPolicy, read_policy, reasons

NOW = datetime(2024, 6, 1, tzinfo=UTC)
OURS = Path(riskml.__file__).parents[1] / "conf" / "retraining" / "policy.yaml"
QUIET: dict[str, Any] = {"now": NOW, "trained_until": NOW - timedelta(days=30)}


def drifting(days: int) -> dict[str, Any]:
    return {"drifting": ("events", "actions"), "drifting_since": NOW - timedelta(days=days)}


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, []),
        ({"asked": "a merger"}, ["person"]),
        (drifting(6), []),  # too young to learn from
        (drifting(7), ["drift"]),
        ({"trained_until": NOW - timedelta(days=179)}, []),
        ({"trained_until": NOW - timedelta(days=180)}, ["age"]),
        ({"labels": 199}, []),
        ({"labels": 200}, ["labels"]),
        ({"labels": 200, "asked": "a merger"} | drifting(9), ["person", "drift", "labels"]),
    ],
)
def test_reasons(facts: dict[str, Any], wanted: list[str]) -> None:
    assert list(reasons(RetrainPolicy(), Facts(**(QUIET | facts)))) == wanted


def test_what_is_switched_off_is_no_reason() -> None:
    policy = RetrainPolicy(drift=False, age=None, labels=None)
    facts = Facts(NOW, NOW - timedelta(days=999), **drifting(9), labels=10_000)
    assert reasons(policy, facts) == {}


def test_our_file_has_the_values_without_a_file() -> None:
    assert read_policy(OURS) == RetrainPolicy()
    assert set(yaml.safe_load(OURS.read_text())) == set(asdict(RetrainPolicy()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("margn: 0.1", "margn: there is no such setting"),
        ("margin: -1", "margin=-1.0 must lie in"),
        ("shadow: 3 weeks", "shadow=3 weeks is no length of time: write 12h or 1d"),
        ("shadow: 1h", "shadow=1:00:00 must be a day or more, such as 2d"),
        ("families: [swaps]", "families=.* must be among swapped_users"),
        ("hold: 0.9", "hold=0.9 must lie between 0 and 0.5"),
        ("draws: true", "draws=True must be a number"),
        ("labels: yes", "labels=True must be a number"),
        ("margin: false", "margin=False must be a number"),
        ("draws: 2.5", "draws=2.5 must be a whole number"),
        ("age: 1h", "age=1:00:00 must be a day or more, or null for never"),
        ("[]", "holds no settings"),
        ("a: b: c", "is no YAML"),
    ],
)
def test_bad_settings_are_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_policy(path)
