"""Search spaces: every file of conf/sweep holds what its detector takes, and mistakes are named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from riskml.core.errors import ConfigError
from riskml.runs.assembly import build_detector, model_config
from riskml.runs.sweeps.settings import read_settings
from riskml.runs.sweeps.space import read_space

CONF = Path(__file__).parents[3] / "conf"
FILES = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml") if path.stem != "base")
NO_NUMBER_FOR_DEFAULT = {"pyod_pca": ["model.parameters.n_components"]}


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["paths.run=nowhere", *overrides])


@pytest.fixture(scope="module")
def base() -> DictConfig:
    """What files of models and sweeps refer to; composing all of it takes longer than the tests."""
    common = OmegaConf.load(CONF / "sweep" / "base.yaml")
    named = {"conf": str(CONF), "outputs": "nowhere"}
    about = {"seed": 0, "data": {"population_weight": 0.5}, "paths": named, "features": {}}
    whole = OmegaConf.merge(OmegaConf.create(about), common)
    assert isinstance(whole, DictConfig)
    return whole


def with_file(base: DictConfig, name: str) -> DictConfig:
    """As `sweep=name` composes it."""
    cfg = copy.deepcopy(base)
    node = OmegaConf.load(CONF / "sweep" / f"{name}.yaml")
    cfg.sweep = OmegaConf.merge(cfg.sweep, node.sweep)
    cfg.model = model_config(cfg, name)
    assert list(node.defaults) == ["base", {"override /model": name}]
    return cfg


@pytest.mark.parametrize("name", FILES)
def test_every_end_of_a_range_can_be_built(name: str, base: DictConfig) -> None:
    cfg = with_file(base, name)
    read_settings(cfg)
    space = read_space(cfg)
    assert space.outside() == NO_NUMBER_FOR_DEFAULT.get(name, [])
    ends = {key: list(values(one)) for key, one in space.distributions.items()}
    for i in range(max(map(len, ends.values()))):
        drawn = {key: several[min(i, len(several) - 1)] for key, several in ends.items()}
        changed = space.applied(cfg, drawn)
        for key, setting in space.settings.items():
            assert OmegaConf.select(changed, setting.name) == setting.value(drawn[key])
        build_detector(changed.model, changed)


def values(distribution: BaseDistribution) -> Iterator[Any]:
    """The ends of a range, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        yield from distribution.choices
    else:
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        yield from (distribution.low, distribution.high)


def test_transformer_heads_divide_every_width(base: DictConfig) -> None:
    choices = with_file(base, "transformer").sweep.space
    assert all(w % h == 0 for w in choices.width.choices for h in choices.heads.choices)


def test_the_command_line_and_presets_go_with_a_sweep() -> None:
    cfg = composed("experiment=quick", "sweep=autoencoder", "sweep.space.latent_dim.high=9")
    assert cfg.model.name == "autoencoder", "a preset's detector gives way"
    assert cfg.data.source.users == 60
    distribution = read_space(cfg).distributions["latent_dim"]
    assert isinstance(distribution, IntDistribution) and distribution.high == 9
    sea = composed("sweep=vae", "model=vae", "data=sea", "~sweep.space.beta", "model.latent_dim=5")
    space = read_space(sea)
    assert "beta" not in space.settings
    assert space.settings["latent_dim"].default == 5
    assert sea.sweep.injected.families == ["rare_actions", "inflated_volume"]
    assert sea.trainer.max_epochs == 60


def test_choices_are_texts_that_give_back_their_values(base: DictConfig) -> None:
    space = read_space(with_file(base, "vae"))
    assert space.default is not None
    values = space.values(space.default)
    assert values["model.hidden"] == [64, 32]
    assert values["model.window_spread"] is True
    assert json.loads(space.default["hidden"]) == [64, 32]
    assert space.touches("model") and not space.touches("features")


def test_a_draw_leaves_the_config_as_it_was(base: DictConfig) -> None:
    cfg = with_file(base, "vae")
    space = read_space(cfg)
    changed = space.applied(cfg, {"latent_dim": 3, "hidden": "[7]"})
    assert (changed.model.latent_dim, changed.model.hidden) == (3, [7])
    assert (cfg.model.latent_dim, cfg.model.hidden) == (8, [64, 32])


def test_a_default_outside_the_range_is_named(base: DictConfig) -> None:
    cfg = with_file(base, "vae")
    cfg.model.latent_dim = 200
    space = read_space(cfg)
    assert space.outside() == ["model.latent_dim"]
    assert space.default is None


RANGE = {"type": "int", "low": 1, "high": 4}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"name": "model.latent_dims", **RANGE}, "did you mean 'model.latent_dim'"),
        ({"name": "model.latent_dim", **RANGE, "type": "integer"}, "did you mean 'int'"),
        ({"name": "model.latent_dim", **RANGE, "hihg": 4}, "did you mean 'high'"),
        ({"name": "model.latent_dim", "type": "int", "low": 1}, r"x\.high=None must be a number"),
        ({"name": "model.latent_dim", "type": "int", "low": 1, "high": 2.5}, "must be a number"),
        ({"name": "model.latent_dim", "type": "int", "low": 9, "high": 4}, r"sweep\.space\.x: "),
        ({"name": "model.latent_dim", **RANGE, "low": 0, "log": True}, r"sweep\.space\.x: "),
        ({"name": "model.hidden", "type": "choice"}, r"x\.choices=None must list"),
        ({"name": "model.hidden", "type": "choice", "choices": []}, "must list"),
        ({"name": "model._target_", "type": "choice", "choices": ["builtins.open"]}, "must be a"),
        ({"name": "paths.outputs", "type": "choice", "choices": ["/tmp"]}, "must be a setting"),
        ({"name": "features.window.size", **RANGE}, "what a window is"),
        ({**RANGE}, "name=None must be a setting"),
    ],
)
def test_mistakes_in_a_space_are_named(
    node: dict[str, Any], message: str, base: DictConfig
) -> None:
    cfg = with_file(base, "vae")
    cfg.sweep.space = {"x": node}
    with pytest.raises(ConfigError, match=message):
        read_space(cfg)


def test_a_space_must_hold_something(base: DictConfig) -> None:
    with pytest.raises(ConfigError, match=r"sweep\.space is empty: choose a file of conf/sweep"):
        read_space(base)
    cfg = with_file(base, "vae")
    cfg.sweep.space.again = cfg.sweep.space.beta
    with pytest.raises(ConfigError, match="is named twice"):
        read_space(cfg)


def test_a_space_of_another_detector_is_refused(base: DictConfig) -> None:
    cfg = with_file(base, "vae")
    cfg.model = model_config(cfg, "counts")
    with pytest.raises(ConfigError, match=r"model=counts has no such setting"):
        read_space(cfg)
