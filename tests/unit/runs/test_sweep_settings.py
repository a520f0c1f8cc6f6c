"""Settings of a sweep: which terms count, what may change between commands, and mistakes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError
from riskml.runs.sweeps.settings import compared, read_settings, study_name
from riskml.runs.sweeps.space import read_space
from riskml.runs.sweeps.study import storage_url

CONF = Path(__file__).parents[3] / "conf"
FEATURE = "sweep.space.beta={name: features.min_action_count, type: int, low: 1, high: 3}"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))


@pytest.fixture(scope="module")
def base() -> DictConfig:
    """Composing takes a while: once for all, and settings are changed by hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RISKML_ROOT", str(CONF.parent))
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", overrides=["sweep=vae", "paths.run=nowhere"])


def changed(base: DictConfig, *settings: str) -> DictConfig:
    """With some settings, as typed."""
    cfg = copy.deepcopy(base)
    for setting in settings:
        name, _, value = setting.partition("=")
        OmegaConf.update(cfg, name, yaml.safe_load(value), merge=False)
    return cfg


def weights(base: DictConfig, attacks: int, *settings: str) -> dict[str, float]:
    cfg = changed(base, *settings)
    return read_settings(cfg).counted(attacks, read_space(cfg))


def test_labels_join_from_twenty_and_weigh_most_from_fifty(base: DictConfig) -> None:
    without = {"likelihood": 1.0, "injected": 1.0, "agreement": 1.0}
    assert weights(base, 0) == weights(base, 19) == without
    assert weights(base, 20) == weights(base, 49) == without | {"labels": 1.0}
    most = weights(base, 50)
    assert most == without | {"labels": 3.0}
    assert most["labels"] > max(without.values())
    assert weights(base, 50, "sweep.objective.labels=0") == without
    assert "labels" in weights(base, 5, "sweep.labels.needed=5")


def test_terms_can_be_switched_off(base: DictConfig) -> None:
    assert weights(base, 0, "sweep.objective.likelihood=0", "sweep.objective.agreement=0.5") == {
        "injected": 1.0,
        "agreement": 0.5,
    }


def test_likelihoods_of_other_features_are_not_compared(base: DictConfig) -> None:
    assert weights(base, 0, FEATURE) == {"injected": 1.0, "agreement": 1.0}


def test_what_decides_over_a_trial_makes_another_study(base: DictConfig) -> None:
    def name(*overrides: str) -> str:
        cfg = changed(base, *overrides)
        return study_name(cfg, compared(cfg))

    plain = name()
    assert plain.startswith("vae-simulated-")
    same = ("sweep.n_trials=7", "sweep.workers=2", "sweep.keep=0", "paths.outputs=/elsewhere")
    assert name(*same, "logger.experiment=other", "data.source.cache=/there") == plain
    for other in (
        "seed=1",
        "model.beta=1",
        "data.source.seed=1",
        "sweep.folds=1",
        "sweep.space.beta.high=5",
        "features.min_action_count=3",
        "sweep.objective.injected=2",
    ):
        assert name(other) != plain, other
    assert name("sweep.study=mine") == "mine"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("n_trials=0", r"sweep\.n_trials=0 must be a whole number of at least 1"),
        ("workers=1.5", r"sweep\.workers=1\.5 must be a whole number"),
        ("reduction=1", "at least 2"),
        ("folds=5", r"sweep\.held_out=0\.2 times folds=5"),
        ("pruner=ashe", "did you mean 'asha'"),
        ("sampler=tp", "did you mean 'tpe'"),
        ("objectives=[qualty]", "did you mean 'quality'"),
        ("objectives=[score_time]", "must begin with quality"),
        ("objectives=[]", "must begin with quality"),
        ("objective.injected=-1", r"sweep\.objective\.injected=-1\.0 must be 0"),
        ("injected.families=[swapped]", "did you mean 'swapped_users'"),
        ("injected.families=[]", "must name one or more"),
        ("injected.share=0.7", "up to 0.5"),
        ("simple=[]", "must name one or more detectors"),
    ],
)
def test_mistakes_are_named(override: str, message: str, base: DictConfig) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(changed(base, f"sweep.{override}"))


def test_an_objective_needs_a_term_that_labels_do_not_decide(base: DictConfig) -> None:
    off = [f"sweep.objective.{term}=0" for term in ("likelihood", "injected", "agreement")]
    with pytest.raises(ConfigError, match="labels may be too few"):
        read_settings(changed(base, *off))


def test_the_storage_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, base: DictConfig
) -> None:
    settings = read_settings(changed(base, "sweep.storage_variable=RISKML_TEST_STUDIES"))
    with pytest.raises(ConfigError, match="RISKML_TEST_STUDIES is not set"):
        storage_url(settings)
    monkeypatch.setenv("RISKML_TEST_STUDIES", "sqlite:///there.db")
    assert storage_url(settings) == "sqlite:///there.db"
    with pytest.raises(ConfigError, match="must be the URL of a database"):
        storage_url(read_settings(changed(base, "sweep.storage=null")))
