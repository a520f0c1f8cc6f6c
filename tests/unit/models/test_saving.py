"""Saved detectors: read back whole, or refused with clear words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_windows import SPEC
from safetensors.numpy import load_file, save_file

from riskml.baselines.pyod import PyODDetector
from riskml.baselines.simple import RandomDetector
from riskml.core.errors import BundleError
from riskml.core.types import Windows
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.base import load_detector
from riskml.models.deep import DeepDetector
from riskml.models.vae import VAEDetector

STATE, WEIGHTS = "detector.json", "weights.safetensors"


@pytest.fixture
def folder(fitted_all: dict[str, DeepDetector], tmp_path: Path) -> Path:
    """A saved VAE."""
    fitted_all["vae"].save(tmp_path / "detector")
    return tmp_path / "detector"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / STATE).read_text())
    change(document)
    (folder / STATE).write_text(json.dumps(document))


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def test_round_trip(fitted: DeepDetector, windows: Windows, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = load_detector(tmp_path)
    assert type(loaded) is type(fitted)
    assert loaded.settings() == fitted.settings()
    assert loaded.users() == fitted.users()
    assert loaded.spec_ == fitted.spec_
    np.testing.assert_array_equal(loaded.spec_.action_vectors, SPEC.action_vectors)
    np.testing.assert_array_equal(loaded.score(windows), fitted.score(windows))
    np.testing.assert_array_equal(loaded.contributions(windows), fitted.contributions(windows))


def test_only_json_and_safetensors(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {STATE, WEIGHTS}


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no state": lambda f: (f / STATE).unlink(),
    "empty state": lambda f: (f / STATE).write_text(""),
    "state is no JSON": lambda f: (f / STATE).write_text("{"),
    "state is no text": lambda f: (f / STATE).write_bytes(b"\xff\xfe\x00"),
    "state is a list": lambda f: (f / STATE).write_text("[1]"),
    "no detector named": lambda f: edit(f, lambda d: d.pop("detector")),
    "no settings": lambda f: edit(f, lambda d: d.pop("settings")),
    "no training settings": lambda f: edit(f, lambda d: d["settings"].pop("training")),
    "unknown setting": lambda f: edit(f, lambda d: d["settings"].update(depth=3)),
    "unknown training setting": lambda f: edit(f, lambda d: d["settings"]["training"].update(a=1)),
    "no spec": lambda f: edit(f, lambda d: d.pop("spec")),
    "unknown feature kind": lambda f: edit(
        f, lambda d: d["spec"]["features"][0].update(kind="colour")
    ),
    "unknown feature field": lambda f: edit(f, lambda d: d["spec"]["features"][0].update(a=1)),
    "a feature less": lambda f: edit(f, lambda d: d["spec"]["features"].pop()),
    "no users": lambda f: edit(f, lambda d: d.pop("users")),
    "a user more": lambda f: edit(f, lambda d: d["users"].append("new")),
    "other architecture": lambda f: edit(f, lambda d: d["settings"].update(latent_dim=4)),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "empty weights": lambda f: (f / WEIGHTS).write_bytes(b""),
    "truncated weights": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]),
    "weights are no safetensors": lambda f: (f / WEIGHTS).write_bytes(b"PK\x03\x04" * 100),
    "no action vectors": lambda f: edit_weights(f, lambda w: w.pop("action_vectors")),
    "a tensor less": lambda f: edit_weights(f, lambda w: w.pop("scale.mean")),
    "a tensor more": lambda f: edit_weights(f, lambda w: w.update(extra=np.zeros(1, "f4"))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_folder_is_refused(damage: str, folder: Path) -> None:
    DAMAGE[damage](folder)
    with pytest.raises(BundleError, match="detector"):
        load_detector(folder)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_folder_is_refused_by_its_class(damage: str, folder: Path) -> None:
    DAMAGE[damage](folder)
    with pytest.raises(BundleError, match="detector"):
        VAEDetector.load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.open",
        "subprocess.Popen",
        "riskml.models.deep.DeepDetector",
        "riskml.models.vae.VAENetwork",
        "riskml.models.vae.VAEDetector ",
        "RISKML.models.vae.VAEDetector",
        "",
    ],
)
def test_names_off_the_list_are_refused(name: str, folder: Path) -> None:
    edit(folder, lambda d: d.update(detector=name))
    with pytest.raises(BundleError, match="not on the list of known detectors"):
        load_detector(folder)


@pytest.mark.parametrize(
    "name",
    [
        "riskml.models.deep.TrainingSettings",
        "riskml.features.extractor.FeatureExtractor",
        "pytorch_lightning.Trainer",
    ],
)
def test_listed_names_that_are_no_detectors_are_refused(name: str, folder: Path) -> None:
    edit(folder, lambda d: d.update(detector=name))
    with pytest.raises(BundleError, match="is no detector"):
        load_detector(folder)


@pytest.mark.parametrize("name", [["a"], {"a": 1}, None, 3])
def test_detector_must_be_named_by_text(name: object, folder: Path) -> None:
    edit(folder, lambda d: d.update(detector=name))
    with pytest.raises(BundleError):
        load_detector(folder)


def test_a_class_refuses_the_folder_of_another(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"holds a .*VAEDetector, not a .*AutoencoderDetector"):
        AutoencoderDetector.load(folder)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        load_detector(tmp_path / "nowhere")


def test_detector_without_a_graph_says_so(windows: Windows) -> None:
    detector = RandomDetector().fit(windows)
    assert not detector.has_graph
    with pytest.raises(BundleError, match="RandomDetector has no TorchScript graph"):
        detector.graph()


BASELINE_DAMAGE: dict[str, Callable[[Path], object]] = {
    "no train windows": lambda f: (f / "train.safetensors").unlink(),
    "truncated train windows": lambda f: (f / "train.safetensors").write_bytes(b"\x08\x00\x00"),
    "no settings": lambda f: edit(f, lambda d: d.pop("settings")),
    "unknown setting": lambda f: edit(f, lambda d: d["settings"].update(depth=3)),
    "no spec": lambda f: edit(f, lambda d: d.pop("spec")),
    "a feature less": lambda f: edit(f, lambda d: d["spec"]["features"].pop()),
}


@pytest.mark.parametrize("damage", BASELINE_DAMAGE)
def test_damaged_baseline_is_refused(damage: str, windows: Windows, tmp_path: Path) -> None:
    PyODDetector("HBOS").fit(windows).save(tmp_path)
    BASELINE_DAMAGE[damage](tmp_path)
    with pytest.raises(BundleError):
        load_detector(tmp_path)
