"""PyOD behind the contract of a detector."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from safetensors.numpy import load_file

from riskml.baselines.pyod import MODULES, PyODDetector, tails_alone
from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.core.types import FeatureKind, FeatureSpec, FloatArray, Windows
from riskml.models.base import load_detector

MakeWindows = Callable[..., Windows]
PARAMETERS = {"IForest": {"n_estimators": 30}, "AutoEncoder": {"epoch_num": 3}}


@pytest.fixture(scope="module")
def train(make_windows: MakeWindows) -> Windows:
    return make_windows(150, seed=1)


@pytest.fixture(scope="module")
def fresh(make_windows: MakeWindows) -> Windows:
    """The last five are far outside of what training saw."""
    made = make_windows(40, seed=2)
    x = made.x.copy()
    x[-5:] = [500, 3000, 1, 12, 90]
    return replace(made, x=x)


Fitted = Callable[[str], PyODDetector]


@pytest.fixture(scope="module")
def fitted(train: Windows) -> Fitted:
    """A detector of each algorithm, fitted once."""

    @cache
    def fit(algorithm: str) -> PyODDetector:
        return PyODDetector(algorithm, 3, PARAMETERS.get(algorithm)).fit(train)

    return fit


algorithms = pytest.mark.parametrize("algorithm", list(MODULES))


@algorithms
def test_scores(algorithm: str, fitted: Fitted, fresh: Windows) -> None:
    scores = fitted(algorithm).score(fresh)
    assert scores.dtype == np.float32
    assert scores.shape == (40,)
    assert np.isfinite(scores).all()
    assert scores[-5:].min() > np.median(scores[:-5])
    assert len(np.unique(scores[:-5])) > 5


@algorithms
def test_alone_as_among_others(algorithm: str, fitted: Fitted, fresh: Windows) -> None:
    detector = fitted(algorithm)
    together = detector.score(fresh)
    alone = [detector.score(fresh.take(np.array([i])))[0] for i in range(len(fresh))]
    np.testing.assert_allclose(alone, together, rtol=1e-4)
    backwards = detector.score(fresh.take(np.arange(len(fresh))[::-1]))[::-1]
    np.testing.assert_allclose(backwards, together, rtol=1e-4)


@algorithms
def test_two_calls_are_identical(algorithm: str, fitted: Fitted, fresh: Windows) -> None:
    detector = fitted(algorithm)
    first = detector.score(fresh)
    torch.manual_seed(99)
    np.random.seed(99)
    assert detector.score(fresh).tobytes() == first.tobytes()


@pytest.mark.slow
@algorithms
def test_fitted_twice_is_identical(
    algorithm: str, fitted: Fitted, train: Windows, fresh: Windows
) -> None:
    again = PyODDetector(algorithm, 3, PARAMETERS.get(algorithm)).fit(train)
    assert again.score(fresh).tobytes() == fitted(algorithm).score(fresh).tobytes()


@pytest.mark.parametrize("algorithm", ["IForest", "AutoEncoder", "VAE"])
def test_another_seed_gives_other_scores(
    algorithm: str, fitted: Fitted, train: Windows, fresh: Windows
) -> None:
    other = PyODDetector(algorithm, 4, PARAMETERS.get(algorithm)).fit(train)
    assert not np.allclose(other.score(fresh), fitted(algorithm).score(fresh), rtol=1e-6)


@algorithms
def test_random_states_of_the_process_stay(algorithm: str, train: Windows, fresh: Windows) -> None:
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    PyODDetector(algorithm, 3, PARAMETERS.get(algorithm)).fit(train).score(fresh)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected


@pytest.mark.parametrize("algorithm", ["AutoEncoder", "VAE"])
def test_hash_seed_of_child_processes_stays(
    algorithm: str, train: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    PyODDetector(algorithm, 3, {"epoch_num": 1}).fit(train)
    assert os.environ["PYTHONHASHSEED"] == "random"


@algorithms
def test_saved_and_loaded(algorithm: str, fitted: Fitted, fresh: Windows, tmp_path: Path) -> None:
    detector = fitted(algorithm)
    detector.save(tmp_path / "new")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [
        "detector.json",
        "train.safetensors",
    ]
    loaded = load_detector(tmp_path / "new")
    assert isinstance(loaded, PyODDetector)
    assert loaded.settings() == detector.settings()
    assert loaded.score(fresh).tobytes() == detector.score(fresh).tobytes()
    loaded.save(tmp_path / "again")
    first, second = (load_file(tmp_path / name / "train.safetensors") for name in ("new", "again"))
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


def test_parameters_reach_pyod(train: Windows) -> None:
    assert PyODDetector("KNN", parameters={"n_neighbors": 3}).fit(train).model_.n_neighbors == 3
    assert PyODDetector("LOF").fit(train).model_.detector_.novelty is True


@pytest.mark.parametrize("algorithm", ["AutoEncoder", "VAE"])
def test_fewer_windows_than_a_batch(algorithm: str, train: Windows, fresh: Windows) -> None:
    few = train.take(np.arange(20))
    assert np.isfinite(PyODDetector(algorithm).fit(few).score(fresh)).all()


def test_unknown_algorithm() -> None:
    with pytest.raises(ConfigError, match=r"no PyOD algorithm 'IForrest': did you mean 'IForest'"):
        PyODDetector("IForrest")
    with pytest.raises(ConfigError, match="Valid: AutoEncoder, COPOD, ECOD, HBOS"):
        PyODDetector("?")


def test_other_features(fitted: Fitted, fresh: Windows) -> None:
    features = (replace(fresh.spec.features[0], name="other"), *fresh.spec.features[1:])
    other = replace(fresh, spec=FeatureSpec(features))
    with pytest.raises(DataError, match=r"other features; not in both: \['events', 'other'\]"):
        fitted("ECOD").score(other)
    with pytest.raises(DataError, match="not fitted"):
        PyODDetector("ECOD").score(fresh)


def cut(folder: Path) -> None:
    path = folder / "train.safetensors"
    path.write_bytes(path.read_bytes()[:40])


def rename(folder: Path) -> None:
    path = folder / "train.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"scale"', b'"skale"'))


@pytest.mark.parametrize(
    "damage",
    [cut, rename, lambda folder: (folder / "train.safetensors").unlink()],
    ids=["cut", "other-arrays", "gone"],
)
def test_damaged_files(damage: Callable[[Path], None], fitted: Fitted, tmp_path: Path) -> None:
    fitted("HBOS").save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=r"train\.safetensors is missing, damaged"):
        PyODDetector.load(tmp_path)


def test_files_of_another_detector(fitted: Fitted, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"detector\.json is missing, damaged"):
        PyODDetector.load(tmp_path)
    fitted("HBOS").save(tmp_path)
    path = tmp_path / "detector.json"
    path.write_text(path.read_text().replace("PyODDetector", "VAEDetector"))
    with pytest.raises(BundleError, match=r"holds a .*VAEDetector, not a .*PyODDetector"):
        PyODDetector.load(tmp_path)


def test_no_shares_and_no_graph(fitted: Fitted, fresh: Windows) -> None:
    detector = fitted("HBOS")
    assert detector.contributions(fresh).shape == (40, 0)
    assert detector.topics() == []
    with pytest.raises(BundleError, match="no TorchScript graph"):
        detector.graph()


def of_pyod(kind: type[COPOD | ECOD], train: FloatArray, x: FloatArray) -> list[float]:
    """PyOD's own, a fresh model for each row so that nothing is carried over."""
    scores = []
    for row in x:
        model = kind()
        model.fit(train)
        scores.append(float(model.decision_function(row[None])[0]))
    return scores


@pytest.mark.parametrize("kind", [COPOD, ECOD])
@pytest.mark.parametrize("ties", [False, True])
def test_tails_are_pyods_own_one_row_at_a_time(ties: bool, kind: type[COPOD | ECOD]) -> None:
    rng = np.random.default_rng(0)
    train = np.column_stack(
        [rng.lognormal(size=200), -rng.lognormal(size=200), rng.gamma(1, size=200)]
    ).astype(np.float32)
    x = np.vstack([train[:10], rng.normal(0, 3, (15, 3))]).astype(np.float32)
    if ties:
        train, x = np.round(train), np.round(x)
    found = tails_alone(train, x, copula=kind is COPOD)
    np.testing.assert_allclose(found, of_pyod(kind, train, x), rtol=1e-3)


@pytest.mark.parametrize("kind", [COPOD, ECOD])
def test_tail_detectors_are_pyods_own(
    kind: type[COPOD | ECOD], fitted: Fitted, fresh: Windows
) -> None:
    detector = fitted(kind.__name__)
    skewed = [i for i, f in enumerate(fresh.spec.features) if f.kind != FeatureKind.BINARY]
    assert len(skewed) == 4
    x = detector.scaler_.transform(fresh.x)
    own = of_pyod(kind, detector.train_x_, x)
    np.testing.assert_allclose(detector.score(fresh), own, rtol=1e-3)


def test_pca_leaves_out_directions_without_variance(train: Windows, fresh: Windows) -> None:
    def doubled(windows: Windows) -> Windows:
        """Each column twice, and one that never changes."""
        features = windows.spec.features
        more = [replace(f, name=f"{f.name}_{i}", topic="") for i in "ab" for f in features]
        x = np.hstack([windows.x, windows.x, np.ones((len(windows), 1), np.float32)])
        constant = replace(features[0], name="constant", topic="")
        return replace(windows, x=x, spec=FeatureSpec((*more, constant), windows.spec.actions))

    detector = PyODDetector("PCA").fit(doubled(train))
    assert detector.model_.n_components_ == 5
    scores = detector.score(doubled(fresh))
    assert scores[-5:].min() > scores[:-5].max()
    assert scores.max() < 1e6


def test_too_few_windows_are_refused_with_pyods_reason(train: Windows) -> None:
    with pytest.raises(DataError, match=r"PyOD's KNN cannot be fitted on 3 windows with 5 feat.*"):
        PyODDetector("KNN").fit(train.take(np.arange(3)))


def test_what_was_made_stable_is_noted() -> None:
    assert "as if alone" in PyODDetector("COPOD").note()
    assert "posterior mean" in PyODDetector("VAE").note()
    assert PyODDetector("IForest").note() == ""


def test_ecod_of_a_constant_column() -> None:
    train = np.ones((50, 1), np.float32)
    same, other = tails_alone(train, np.array([[1], [2]], np.float32))
    assert same == 0
    assert other == pytest.approx(np.log(51), rel=1e-5)
