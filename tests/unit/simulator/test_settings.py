"""Settings are checked, and their digest tells worlds apart."""

from dataclasses import fields, replace

import pytest

from riskml.core.errors import ConfigError
from riskml.data.simulator import SimulationSettings, settings_digest, simulate
from riskml.data.simulator import settings as settings_module


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("users", 5),
        ("days", 3),
        ("tier", "impossible"),
        ("seed", -1),
        ("start", "yesterday"),
        ("test_days", 120),
        ("positive_rate", 0.9),
        ("train_contamination", -0.1),
        ("confounder_scale", 50.0),
        ("service_share", 0.9),
        ("difficulty", 2.0),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting}=") as caught:
        SimulationSettings(**{setting: value})
    assert "give" in str(caught.value) or "write" in str(caught.value)


def test_unknown_scenario_is_refused_before_anything_is_written(tmp_path) -> None:
    settings = SimulationSettings(users=20, days=14, test_days=5, scenarios=("slow_leek",))
    with pytest.raises(ConfigError, match="did you mean 'slow_leak'"):
        simulate(settings, tmp_path / "world")
    assert not (tmp_path / "world").exists()


def test_workers_below_one_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="workers=0"):
        simulate(SimulationSettings(users=20, days=14, test_days=5), tmp_path, workers=0)


def test_digest_changes_with_every_setting_and_with_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "users": 301, "days": 121, "tier": "hard", "seed": 1, "start": "2024-01-02",
        "test_days": 41, "scenarios": ("slow_leak",), "reserved_scenarios": (),
        "positive_rate": 0.01, "train_contamination": 0.0, "confounder_scale": 0.5,
        "mass_events": False, "service_share": 0.1, "difficulty": 0.2,
    }  # fmt: skip
    default = SimulationSettings()
    assert set(changes) == {field.name for field in fields(default)}
    digests = {settings_digest(replace(default, **{key: value})) for key, value in changes.items()}
    assert len(digests) == len(changes)
    assert settings_digest(default) not in digests
    assert settings_digest(SimulationSettings()) == settings_digest(default)
    before = settings_digest(default)
    monkeypatch.setattr(settings_module, "SIMULATOR_VERSION", "0.0.0")
    assert settings_digest(default) != before


def test_lists_from_configuration_files_become_tuples() -> None:
    settings = SimulationSettings(scenarios=["slow_leak"])  # type: ignore[arg-type]
    assert settings.scenarios == ("slow_leak",)
    assert hash(settings) == hash(SimulationSettings(scenarios=("slow_leak",)))


@pytest.mark.parametrize(("tier", "effect"), [("easy", 2.0), ("medium", 1.0), ("hard", 0.5)])
def test_effect_size_is_one_minus_difficulty(tier: str, effect: float) -> None:
    assert SimulationSettings(tier=tier).effect_size == effect
    assert SimulationSettings(tier=tier, difficulty=0.25).effect_size == 0.75
