"""From a config to the detectors of an evaluation: names, seeds, and how each is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Windows
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector
from riskml.models.deep import DeepDetector
from riskml.runs.assembly import build_detector, model_config
from riskml.runs.entrants import entrants_of
from riskml.runs.evaluate import complete
from riskml.runs.top_settings import seeds_of

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))


def composed(tmp_path: Path, *overrides: str) -> DictConfig:
    """As evaluate.py has it when it begins."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", overrides=["data=simulated", *overrides, f"paths.run={tmp_path}"])
    whole, _ = complete(cfg)
    settled = OmegaConf.create(OmegaConf.to_container(whole, resolve=True))
    assert isinstance(settled, DictConfig)
    return settled


def made(tmp_path: Path, *overrides: str, seed: int = 0) -> dict[str, Detector]:
    entrants = entrants_of(composed(tmp_path, *overrides), None)
    return {name: make(seed) for name, make in entrants.detectors.items()}  # type: ignore[operator]


def found(node: Any, key: str) -> list[Any]:
    """Every value of a key, at whatever depth."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    own = [node[key]] if isinstance(node, dict) and key in node else []
    return own + [value for child in children for value in found(child, key)]


def test_focus_first_then_the_baselines(tmp_path: Path) -> None:
    names = list(made(tmp_path, "model=counts", "baselines=[random,counts,bigram]"))
    assert names == ["counts", "random", "bigram"]
    chosen = made(tmp_path, "detectors=[counts,{name: sequence, as: mine},random]", "baselines=[]")
    assert list(chosen) == ["counts", "mine", "random"]


def test_what_a_node_says_wins(tmp_path: Path) -> None:
    detectors = made(
        tmp_path, "detectors=[vae,{name: vae, latent_dim: 3, as: small}]", "baselines=[]"
    )
    dims = [detector.settings()["latent_dim"] for detector in detectors.values()]
    assert dims == [8, 3]
    assert detectors["small"].settings()["population_weight"] == 0.5, "of the data set"


def test_a_baseline_of_a_detector_s_name_has_no_row_of_its_own(tmp_path: Path) -> None:
    cfg = composed(tmp_path, "detectors=[{name: vae, latent_dim: 3}]", "baselines=[random,vae]")
    entrants = entrants_of(cfg, None)
    assert (list(entrants.detectors), entrants.merged) == (["vae", "random"], ("vae",))


def test_a_run_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run=/nowhere is no finished train run"):
        composed(tmp_path, "model=counts", "run=/nowhere")


@pytest.mark.parametrize("name", ["vae", "ensemble", "persistence"])
def test_a_seed_reaches_whatever_draws(name: str, tmp_path: Path) -> None:
    inner = ["model.detector=untrained"] if name == "persistence" else []
    cfg = composed(tmp_path, f"model={name}", *inner, "baselines=[]", "seed=4")
    alone = entrants_of(cfg, None).detectors[name](9)  # type: ignore[operator]
    cfg.seeds = 2
    several = entrants_of(cfg, None).detectors[name](9)  # type: ignore[operator]
    assert set(found(alone.settings(), "seed")) == {4}, "without seeds the settings count"
    assert set(found(several.settings(), "seed")) == {9}
    assert alone.has_chance


@pytest.mark.parametrize(
    ("given", "seeds"),
    [(None, [7]), (3, [7, 8, 9]), (1, [7]), ([0], [0]), ([5, 2], [5, 2])],
)
def test_seeds(given: object, seeds: list[int]) -> None:
    assert seeds_of(OmegaConf.create({"seed": 7, "seeds": given})) == seeds


@pytest.mark.parametrize("given", [0, -1, 1.5, "five", ["a"], True])
def test_no_seeds(given: object) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        seeds_of(OmegaConf.create({"seed": 7, "seeds": given}))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["model=counts", "baselines=[bigarm]"],
            "baselines: no model 'bigarm': did you mean 'bigram'",
        ),
        (["detectors=[{name: vae, latent: 3}]"], "vae: .*latent: .*did you mean 'latent_dim'"),
        (["detectors=[vae]", "trainer=gpu"], "trainer.accelerator=gpu: torch sees no GPU"),
    ],
)
def test_what_is_wrong_says_so_before_any_data_is_read(
    overrides: list[str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=text):
        entrants_of(composed(tmp_path, *overrides), None)


def test_all_of_it_goes_to_another_process(tmp_path: Path) -> None:
    entrants = entrants_of(composed(tmp_path, "detectors=[vae]", "baselines=[random]"), None)
    for part in (entrants.fit, *entrants.detectors.values()):
        assert len(ForkingPickler.dumps(part))


def prepared(make_windows: Callable[..., Windows]) -> PreparedWindows:
    parts = [make_windows(40, seed=i, first_day=4 * i) for i in range(3)]
    return PreparedWindows(*parts, None)


def test_detectors_of_a_list_train_as_long_as_each_says(
    tmp_path: Path, make_windows: Callable[..., Windows]
) -> None:
    epochs = "training: {max_epochs: %d, patience: 9}"
    members = ",".join(
        f"{{name: vae, as: of{n}, hidden: [4], user_dim: 2, {epochs % n}}}" for n in (1, 3)
    )
    cfg = composed(tmp_path, f"detectors=[{members}]", "baselines=[]", "trainer=cpu")
    entrants = entrants_of(cfg, None)
    for name, n in (("of1", 1), ("of3", 3)):
        detector = entrants.detectors[name](0)  # type: ignore[operator]
        fitted = entrants.fit(name, detector, prepared(make_windows))
        assert len(fitted.epochs) == n
        assert {"train/loss", "val/loss"} <= set(fitted.epochs[0])
        assert fitted.seconds is not None
        assert isinstance(detector, DeepDetector)
        assert not detector.training, "in evaluation mode"


def test_the_trainer_s_own_epochs_count_for_a_single_model(
    tmp_path: Path, make_windows: Callable[..., Windows]
) -> None:
    small = ["model.hidden=[4]", "model.user_dim=2", "trainer.max_epochs=2"]
    cfg = composed(tmp_path, "model=vae", *small, "baselines=[]")
    entrants = entrants_of(cfg, None)
    detector = entrants.detectors["vae"](0)  # type: ignore[operator]
    assert len(entrants.fit("vae", detector, prepared(make_windows)).epochs) == 2


def test_a_baseline_that_windows_do_not_suit_says_why(
    tmp_path: Path, make_windows: Callable[..., Windows]
) -> None:
    windows = prepared(make_windows)
    train = windows.train
    silent = replace(train, tokens=train.tokens * 0, lengths=train.lengths * 0)
    entrants = entrants_of(composed(tmp_path, "model=vae", "baselines=[bigram]"), None)
    with pytest.raises(DataError, match="counts actions, and these windows hold none"):
        bigram = entrants.detectors["bigram"](0)  # type: ignore[operator]
        entrants.fit("bigram", bigram, replace(windows, train=silent))


CERTAIN = ["bigram", "counts", "first_times", "pyod_knn", "pyod_lof", "sequence", "window_length"]
DRAWING = ["pyod_iforest", "random", "untrained"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CERTAIN, *DRAWING])
def test_chance_is_what_another_seed_changes(
    name: str, make_windows: Callable[..., Windows]
) -> None:
    cfg = OmegaConf.create(
        {"seed": 0, "data": {"population_weight": 0.5}, "paths": {"conf": str(CONF)}}
    )
    windows = prepared(make_windows)
    scores = []
    for seed in (0, 1):
        detector = build_detector(model_config(cfg, name), cfg, seed)
        assert detector.has_chance is (name in DRAWING)
        detector.fit(windows.train, windows.calibration)
        scores.append(detector.score(windows.test))
    assert np.array_equal(*scores) is (name in CERTAIN)
