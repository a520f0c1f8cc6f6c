"""Every YAML in conf/ is composed and what it names is built; a new file is found by itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console

from riskml.core.errors import ConfigError
from riskml.core.targets import check_targets
from riskml.features.extractor import FeatureExtractor
from riskml.models.base import Detector
from riskml.runs.assembly import build, build_detector, build_extractor, model_config
from riskml.runs.context import Run
from riskml.runs.fitting import build_trainer
from riskml.runs.tracking import NoTracker

CONF = Path(__file__).parents[3] / "conf"
JOBS = ("train", "evaluate")
OPTIONS = sorted(
    path.relative_to(CONF).with_suffix("").as_posix()
    for path in CONF.rglob("*.yaml")
    if path.parent not in (CONF, CONF / "alerting")  # of `riskml alerts`, see test_routing
)
MODELS = [option.removeprefix("model/") for option in OPTIONS if option.startswith("model/")]
MISSING = {"path": "log.csv"}
"""What a person has to give."""


def defaults(job: str) -> dict[str, str | None]:
    """Group -> option of a job's defaults list."""
    entries = yaml.safe_load((CONF / f"{job}.yaml").read_text())["defaults"]
    return {
        key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items()
    }


def jobs_of(option: str) -> list[str]:
    group = option.rpartition("/")[0]
    return [job for job in JOBS if group in defaults(job)]


PAIRS = [
    (job, option)
    for option in OPTIONS
    for job in jobs_of(option) or ["train"]
    # the tests of models and data sets further down compose them for training
    if job != "train" or not option.startswith(("model/", "data/"))
]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))


def composed(job: str, tmp_path: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(job, overrides=[*overrides, f"paths.run={tmp_path}"])
    for key, value in MISSING.items():
        if OmegaConf.is_missing(cfg, key):
            cfg[key] = value
    if cfg.seed is None:  # evaluate.py takes it from the run
        cfg.seed = 0
    return cfg


def choose(job: str, option: str) -> str:
    group, _, name = option.rpartition("/")
    return f"{group}={name}" if group in defaults(job) else f"+{group}={name}"


def targets(cfg: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """The outermost nodes that name something to build; data sources and splits lie deeper."""
    for key, node in cfg.items():
        yield from _targets(str(key), node)


def _targets(key: str, node: Any) -> Iterator[tuple[str, DictConfig]]:
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        yield key, node
        return
    for name in node:
        if not OmegaConf.is_missing(node, name):
            yield from _targets(f"{key}.{name}", node[name])


def check_built(cfg: DictConfig) -> None:
    check_targets(cfg)
    built = 0
    for key, node in targets(cfg):
        lacking = OmegaConf.missing_keys(node)
        gpu = key == "trainer" and node.accelerator == "gpu" and not torch.cuda.is_available()
        if lacking:
            with pytest.raises(ConfigError, match="must be given"):
                build(node)
        elif gpu:
            with pytest.raises(ConfigError, match=r"(?i)trainer.*(gpu|cuda)"):
                build(node, logger=False)
        else:
            more = {"logger": False} if key == "trainer" else {}
            thing = build_detector(node, cfg) if key == "model" else build(node, **more)
            assert type(thing).__name__ == str(node._target_).rpartition(".")[2]
            built += 1
    assert built >= 4, "the walk has lost its way"


@pytest.mark.parametrize("job", JOBS)
def test_job_as_it_is(job: str, tmp_path: Path) -> None:
    check_built(composed(job, tmp_path))


@pytest.mark.parametrize(("job", "option"), PAIRS)
def test_option(job: str, option: str, tmp_path: Path) -> None:
    group, _, name = option.rpartition("/")
    others = ["data=simulated"] if group == "model" else []  # models refer to it
    cfg = composed(job, tmp_path, choose(job, option), *others)
    check_built(cfg)
    if group == "model":
        assert cfg.model.name == name
    if group == "data":
        assert cfg.data.name == name
        assert {"source", "split"} <= {str(key) for key in cfg.data}


def test_walk_finds_the_files() -> None:
    assert {"model/vae", "data/csv", "trainer/ddp", "logger/none", "paths/default"} <= set(OPTIONS)
    assert ("evaluate", "model/vae") in PAIRS


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("data/")])
def test_every_model_goes_with_every_data_set(option: str, tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, choose("train", option))
    assert cfg.data.name == option.removeprefix("data/")
    assert cfg.model.name == "vae", "a data set chooses no model"
    assert isinstance(build_extractor(cfg.features), FeatureExtractor)
    for name in MODELS:
        assert isinstance(build_detector(model_config(cfg, name), cfg), Detector), name


def found(node: Any, key: str) -> list[Any]:
    """Every value of a key, at whatever depth."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    own = [node[key]] if isinstance(node, dict) and key in node else []
    return own + [value for child in children for value in found(child, key)]


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_same_as_a_baseline_and_the_seed_reaches_it(name: str, tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, f"model={name}", "data=sea", "seed=7")
    assert cfg.model.name == name
    settings = build_detector(cfg.model, cfg).settings()
    assert settings == build_detector(model_config(cfg, name), cfg).settings()
    # a detector without chance has no seed
    assert set(found(settings, "seed")) <= {7}


BASELINES = yaml.safe_load((CONF / "evaluate.yaml").read_text())["baselines"]
REQUIRED = [
    "random",
    "window_length",
    "untrained",
    "first_times",
    "rare_tokens",
    "unigram_ratio",
    "bigram",
    "bigram_top5",
    "counts",
    "pyod_iforest",
    "pyod_hbos",
    "pyod_lof",
    "pyod_knn",
    "pyod_ecod",
    "pyod_copod",
    "pyod_pca",
    "pyod_autoencoder",
    "pyod_vae",
]
"""What every table has to hold its own against."""


def test_no_table_without_these_baselines() -> None:
    assert set(REQUIRED) <= set(BASELINES)
    assert len(set(BASELINES)) == len(BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_of_evaluate_is_a_model(name: str) -> None:
    assert name in MODELS


def test_trainer_and_early_stopping_follow_the_model(tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, "model.training.max_epochs=3", "model.training.patience=2")
    assert (cfg.trainer.max_epochs, cfg.callbacks.early_stopping.patience) == (3, 2)
    baseline = composed("train", tmp_path, "model=pyod_iforest")
    assert isinstance(baseline.trainer.max_epochs, int)


def test_data_set_chooses_windows_and_threshold(tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, "data=sea")
    assert cfg.features.window._target_.endswith("BlockWindows")
    assert "time_of_day" not in cfg.features.use
    assert cfg.threshold.share == 0.05


@pytest.mark.parametrize("name", ["counts", "persistence", "untrained"])
def test_the_small_organisation_goes_with_any_model_as_it_is(name: str, tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, "experiment=quick", f"model={name}")
    assert cfg.model == composed("train", tmp_path, f"model={name}").model
    assert isinstance(build_detector(cfg.model, cfg), Detector)


def test_a_person_may_choose_otherwise(tmp_path: Path) -> None:
    cfg = composed("train", tmp_path, "data=sea", "features.window.size=50", "threshold.share=0.01")
    assert (cfg.features.window.size, cfg.threshold.share) == (50, 0.01)


def test_quiet_shows_no_progress_bar(tmp_path: Path) -> None:
    def bars(option: str) -> int:
        cfg = composed("train", tmp_path, f"callbacks={option}")
        run = Run(cfg, tmp_path, Console(file=io.StringIO()), NoTracker())
        return sum(isinstance(c, ProgressBar) for c in build_trainer(run, tmp_path).callbacks)

    assert (bars("default"), bars("quiet")) == (1, 0)
