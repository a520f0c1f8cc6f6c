"""Finding a run, completing a config from it, and naming models."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError
from riskml.data.batch_reference import BatchReference, ColumnState
from riskml.runs.assembly import build, chosen_detectors, chosen_parameters, model_config
from riskml.runs.context import (
    CONFIG_FILE,
    DETECTOR,
    FEATURES,
    LATEST_FILE,
    REFERENCE,
    find_run,
    load_config,
    remember_latest,
    start_run,
)
from riskml.runs.evaluate import complete, earlier_log

CONF = Path(__file__).parents[3] / "conf"


def make_cfg(outputs: Path, **values: object) -> DictConfig:
    return OmegaConf.create(
        {
            "paths": {"outputs": str(outputs), "run": str(outputs / "r"), "conf": str(CONF)},
            "logger": {"_target_": "riskml.runs.tracking.NoTracker"},
            "model": None,
            "data": None,
            "features": None,
            "threshold": None,
            "seed": None,
            "run": "latest",
            "detectors": None,
            "seeds": None,
            "backtest": {"_target_": "riskml.data.folds.SingleFold"},
            **values,
        }
    )


PAST = {
    "model": {"name": "vae", "weight": "${data.weight}"},
    "data": {"name": "past", "weight": 0.5},
    "features": {"window": 1},
    "threshold": {"share": 0.1},
    "seed": 3,
}


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """A finished train run in `tmp_path`."""
    cfg = make_cfg(tmp_path, **PAST)
    with start_run(cfg, "x") as run:
        (run.folder / FEATURES).mkdir()
        (run.folder / DETECTOR).mkdir()
    remember_latest(tmp_path, run.folder)
    return run.folder


def test_start_run_keeps_the_resolved_config(past: Path) -> None:
    text = (past / CONFIG_FILE).read_text()
    assert "${" not in text
    assert load_config(past).model.weight == 0.5


def test_latest_is_found_from_any_folder(
    past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert find_run(tmp_path, "latest") == past
    assert Path(json.loads((tmp_path / LATEST_FILE).read_text())["train"]).is_absolute()


def test_run_by_its_folder(past: Path, tmp_path: Path) -> None:
    assert find_run(tmp_path, str(past)) == past


def test_no_run_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no finished train run yet: run `python train\.py`"):
        find_run(tmp_path, "latest")


@pytest.mark.parametrize("lacking", ["folder", CONFIG_FILE, FEATURES, DETECTOR])
def test_folder_that_is_no_finished_run(lacking: str, past: Path, tmp_path: Path) -> None:
    if lacking == "folder":
        past = tmp_path / "nowhere"
    elif lacking == CONFIG_FILE:
        (past / CONFIG_FILE).unlink()
    else:
        (past / lacking).rmdir()
    with pytest.raises(ConfigError, match=rf"run={past} is no finished train run"):
        find_run(tmp_path, str(past))


@pytest.mark.parametrize("note", ["", "{", "[]", "{}"])
def test_damaged_note_of_the_latest_run(note: str, tmp_path: Path) -> None:
    (tmp_path / LATEST_FILE).write_text(note)
    with pytest.raises(ConfigError, match=r"is damaged; name the run: run="):
        find_run(tmp_path, "latest")


def test_evaluate_takes_everything_from_the_run(past: Path, tmp_path: Path) -> None:
    cfg, trained = complete(make_cfg(tmp_path))
    assert trained == past
    for key in PAST:
        assert cfg[key] == load_config(past)[key]


def test_evaluate_knows_what_the_log_of_the_run_was_like(past: Path, tmp_path: Path) -> None:
    cfg, trained = complete(make_cfg(tmp_path))
    assert earlier_log(cfg, trained) is None, "a run of old wrote no reference"
    columns = {"action": ColumnState("String", 1.0)}
    BatchReference(columns, {date(2024, 1, 1): 9}).save(past / REFERENCE)
    assert earlier_log(cfg, trained) == BatchReference(columns)
    other, trained = complete(make_cfg(tmp_path, data={"name": "other"}))
    assert earlier_log(other, trained) is None
    assert earlier_log(cfg, None) is None


def test_evaluate_takes_another_budget(past: Path, tmp_path: Path) -> None:
    cfg, trained = complete(make_cfg(tmp_path, threshold={"alerts_per_day": 2}))
    assert trained == past
    assert cfg.threshold == {"alerts_per_day": 2}
    assert cfg.model.name == "vae"


def test_another_model_on_the_data_of_the_run(past: Path, tmp_path: Path) -> None:
    model = {"name": "mine", "weight": "${data.weight}"}
    cfg, trained = complete(make_cfg(tmp_path, model=model))
    assert trained is None
    assert (cfg.model.name, cfg.model.weight) == ("mine", 0.5)
    assert (cfg.data.name, cfg.seed) == ("past", 3)


def test_model_and_data_need_no_run(tmp_path: Path) -> None:
    cfg, trained = complete(make_cfg(tmp_path, model={"name": "m"}, data={"name": "d"}))
    assert (cfg.model.name, cfg.data.name, trained) == ("m", "d", None)
    assert cfg.seed == 0


ROLLING = {
    "_target_": "riskml.data.folds.RollingFolds",
    "train_days": 3,
    "calibration_days": 1,
    "test_days": 1,
}


@pytest.mark.parametrize("given", [{"backtest": ROLLING}, {"seeds": 2}], ids=str)
def test_folds_and_seeds_fit_the_trained_model_afresh(
    given: dict[str, object], past: Path, tmp_path: Path
) -> None:
    cfg, trained = complete(make_cfg(tmp_path, **given))
    assert trained is None
    assert cfg.run is None
    assert cfg.model == load_config(past).model
    assert cfg.features == PAST["features"]


def test_which_run_it_was_is_kept(past: Path, tmp_path: Path) -> None:
    cfg, _ = complete(make_cfg(tmp_path))
    assert cfg.run == str(past), "the latest may be another one by the time it is resumed"


def test_several_detectors_the_first_in_focus(past: Path, tmp_path: Path) -> None:
    chosen = ["counts", {"name": "counts", "contamination": 0.2, "as": "other"}]
    cfg, trained = complete(make_cfg(tmp_path, detectors=chosen))
    assert trained is None
    assert cfg.model.name == "counts"
    assert cfg.data.name == "past"
    nodes = chosen_detectors(cfg)
    assert list(nodes) == ["counts", "other"]
    assert nodes["other"].contamination == 0.2
    assert (nodes["other"].name, nodes["other"]._target_) == ("other", nodes["counts"]._target_)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"detectors": ["counts"], "model": {"name": "m"}}, "give model or detectors, not both"),
        ({"detectors": ["cuonts"]}, r"detectors\[0\]: no model 'cuonts': did you mean 'counts'"),
        ({"detectors": ["counts", "counts"]}, r"'counts' comes twice.*as: "),
        ({"detectors": "counts"}, r"detectors=counts must be a list"),
        ({"detectors": []}, r"must be a list of models"),
        ({"detectors": [{"weight": 1}]}, "must be the name of a model, or settings with one"),
    ],
)
def test_detectors_that_cannot_be(
    given: dict[str, object], text: str, past: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=text):
        complete(make_cfg(tmp_path, **given))


def test_the_trained_model_keeps_its_own_features(past: Path, tmp_path: Path) -> None:
    """Other windows would not fit the detector."""
    cfg, _ = complete(make_cfg(tmp_path, features={"window": 2}))
    assert cfg.features == {"window": 1}


def test_model_config_resolves_what_it_refers_to() -> None:
    cfg = OmegaConf.create(
        {"seed": 9, "data": {"population_weight": 0.25}, "paths": {"conf": str(CONF)}}
    )
    model = model_config(cfg, "vae")
    assert (model.population_weight, model.training.seed) == (0.25, 9)


def test_unknown_model() -> None:
    cfg = OmegaConf.create({"paths": {"conf": str(CONF)}})
    with pytest.raises(ConfigError, match="no model 'pyod_lofe': did you mean 'pyod_lof'"):
        model_config(cfg, "pyod_lofe")


def test_name_is_for_people() -> None:
    node = OmegaConf.create({"name": "x", "_target_": "riskml.runs.tracking.NoTracker"})
    assert type(build(node)).__name__ == "NoTracker"
    assert node.name == "x", "the config stays as it was"


def test_chosen_parameters_are_flat_and_few() -> None:
    cfg = OmegaConf.create(
        {
            "seed": 1,
            "data": {"name": "csv", "source": {"path": "secret.csv"}},
            "model": {"_target_": "a.B", "training": {"seed": "${seed}"}, "hidden": [1, 2]},
            "features": {"families": {"volume": None}},
            "threshold": {"share": 0.1},
            "trainer": {"devices": 1},
        }
    )
    assert chosen_parameters(cfg) == {
        "seed": 1,
        "data": "csv",
        "model.training.seed": 1,
        "model.hidden": [1, 2],
        "features.families.volume": None,
        "threshold.share": 0.1,
    }
