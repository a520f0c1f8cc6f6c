"""Detectors inside others: names and nodes of a config become what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError
from riskml.models.base import Detector
from riskml.models.vae import VAEDetector
from riskml.runs.assembly import build_detector, model_config
from riskml.wrappers.ensemble import EnsembleDetector
from riskml.wrappers.quarantine import QuarantineDetector
from riskml.wrappers.slow_leak import SlowLeakDetector

CONF = Path(__file__).parents[3] / "conf"


def made(name: str, **settings: Any) -> Detector:
    """As `model=name model.setting=value` makes it."""
    cfg = OmegaConf.create(
        {"seed": 7, "data": {"population_weight": 0.25}, "paths": {"conf": str(CONF)}}
    )
    node = OmegaConf.merge(model_config(cfg, name), settings)
    assert isinstance(node, DictConfig)
    before = OmegaConf.to_container(node)
    detector = build_detector(node, cfg)
    assert OmegaConf.to_container(node) == before, "the config stays as it was"
    return detector


def test_names_are_files_in_conf() -> None:
    ensemble = made("ensemble", detectors=["vae", "window_length"])
    assert isinstance(ensemble, EnsembleDetector)
    vae = ensemble.detectors[0]
    assert isinstance(vae, VAEDetector)
    assert vae.training_settings.seed == 7, "references to the whole config are followed"
    assert vae.architecture["population_weight"] == 0.25


def test_a_whole_node_wins_over_its_file() -> None:
    given = {"name": "vae", "latent_dim": 4, "training": {"max_epochs": 3}}
    leak = made("slow_leak", detector=given)
    assert isinstance(leak, SlowLeakDetector)
    assert isinstance(leak.detector, VAEDetector)
    assert leak.detector.architecture["latent_dim"] == 4
    assert leak.detector.training_settings.max_epochs == 3
    assert leak.detector.training_settings.patience == 5


def test_a_node_may_name_its_class() -> None:
    target = "riskml.baselines.simple.RandomDetector"
    leak = made("slow_leak", detector={"_target_": target, "seed": 3})
    assert isinstance(leak, SlowLeakDetector)
    assert leak.detector.settings()["seed"] == 3


def test_wrappers_go_into_each_other() -> None:
    inner = {"name": "slow_leak", "detector": "window_length"}
    nested = made("ensemble", detectors=["quarantine", inner])
    assert isinstance(nested, EnsembleDetector)
    first, second = nested.detectors
    assert isinstance(first, QuarantineDetector)
    assert isinstance(second, SlowLeakDetector)
    assert type(second.detector).__name__ == "WindowLengthDetector"
    # one inside another of the same name is fine, if it says what is in it
    twice = made("slow_leak", detector=inner)
    assert isinstance(twice, SlowLeakDetector)
    assert isinstance(twice.detector, SlowLeakDetector)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("slow_leak", {"detector": "vea"}, r"model\.detector: no model 'vea': did you mean 'vae'"),
        ("ensemble", {"detectors": ["vae", "x"]}, r"model\.detectors\[1\]: no model 'x'"),
        ("slow_leak", {"detector": "slow_leak"}, r"model\.detector: 'slow_leak' inside itself"),
        ("quarantine", {"detector": "slow_leak"}, r"detector\.detector: 'quarantine' inside"),
        ("ensemble", {"detectors": [3]}, r"model\.detectors\[0\]=3 must be the name of a model"),
        ("slow_leak", {"detector": {"keep": 1}}, r"model\.detector=.* must be the name"),
        ("slow_leak", {"detector": {"_target_": "os.system"}}, "may not be built"),
        ("slow_leak", {"detector": {"name": "vae", "latent": 1}}, "has no such setting"),
        ("ensemble", {"detectors": []}, "must name at least one"),
        ("ensemble", {"detectors": "vae"}, r"model\.detectors=vae must be a list"),
        ("slow_leak", {"detector": None}, "must be a detector"),
    ],
)
def test_what_cannot_be_built(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ensemble", {"keep": 9}, r"^model\.keep=9 must lie between 1 and the 3 detectors$"),
        ("ensemble", {"detectors": None}, r"^model\.detectors=None must be a list$"),
        ("ensemble", {"combine": "x"}, r"^model\.combine=x: Valid: p_value, rank$"),
        ("sequence", {"memories": 1}, r"^model\.memories=1 must be a list$"),
        ("vae", {"latent_dim": 0}, r"^model\.latent_dim=0 must be at least 1$"),
        ("vae", {"training": {"trim": 2}}, r"^model\.training\.trim=2 must be a share"),
        (
            "slow_leak",
            {"detector": {"name": "persistence", "begin": 3}},
            r"^model\.detector\.begin=3 must lie between 0 and 1$",
        ),
        (
            "ensemble",
            {"detectors": ["counts", {"name": "neighbours", "neighbours": 0}]},
            r"^model\.detectors\[1\]\.neighbours=0 must be at least 1$",
        ),
    ],
)
def test_errors_name_the_setting_as_it_was_typed(
    name: str, settings: dict[str, Any], message: str
) -> None:
    cfg = OmegaConf.create(
        {"seed": 7, "data": {"population_weight": 0.25}, "paths": {"conf": str(CONF)}}
    )
    cfg.model = OmegaConf.merge(model_config(cfg, name), settings)
    with pytest.raises(ConfigError, match=message):
        build_detector(cfg.model, cfg)
