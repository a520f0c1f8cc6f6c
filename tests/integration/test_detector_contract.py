"""Every detector in conf/model/: fit, score, save, load, find planted anomalies, export."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from omegaconf import OmegaConf
from planted import Planted, alone
from safetensors import safe_open
from sklearn.metrics import roc_auc_score

from riskml.core.errors import BundleError
from riskml.core.types import FloatArray
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.export.bundle import export_bundle, load_bundle, reseal
from riskml.export.manifest import read_manifest
from riskml.features.profile import Profile
from riskml.models.base import Detector, load_detector
from riskml.runs.assembly import build_detector, model_config
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer
from riskml.scoring.thresholds import DailyBudget

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))

FLOORS = {
    "random": (0.35, 0.65),
    "window_length": (0.3, 0.7),  # odd days are as long as others
    "first_times": (0.7, 1.0),  # some users have done the rare actions before
}
"""Lowest and highest ROC-AUC; 0.8 to 1 for whatever learns."""


def make(name: str) -> Detector:
    """As its config makes it, but trained for few epochs, and of few trees."""
    cfg = OmegaConf.create(
        {"seed": 0, "data": {"population_weight": 0.5}, "paths": {"conf": str(CONF)}}
    )
    node = model_config(cfg, name)
    if "training" in node:
        node.training.max_epochs = min(25, node.training.max_epochs)
    if "trees" in node:
        node.trees = 10
    return build_detector(node, cfg)


@pytest.fixture(scope="module")
def fitted_by_name() -> dict[str, Detector]:
    return {}


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def detector(name: str, fitted_by_name: dict[str, Detector], planted: Planted) -> Detector:
    """Fitted once for all tests of this file."""
    if name not in fitted_by_name:
        fitted_by_name[name] = make(name).fit(planted.windows.train, planted.windows.calibration)
    return fitted_by_name[name]


def check_scores(scores: FloatArray, n: int) -> None:
    assert scores.dtype == np.float32
    assert scores.shape == (n,)
    assert np.isfinite(scores).all()


def check_no_pickle(folder: Path) -> None:
    """Every file is what its name says, which is nothing that can hold a pickle."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert not zipfile.is_zipfile(path), path
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            with safe_open(path, "numpy") as content:
                assert list(content.keys())
        else:
            assert path.suffix == ".parquet", path
            pl.read_parquet(path)


def test_it_shows_itself_in_short(name: str) -> None:
    detector = make(name)
    assert repr(detector).startswith(f"{type(detector).__name__}(") and len(repr(detector)) < 200
    assert "not yet" in detector._repr_html_()


def test_fit_score_save_load(detector: Detector, planted: Planted, tmp_path: Path) -> None:
    test = planted.windows.test
    scores = detector.score(test)
    check_scores(scores, len(test))
    np.testing.assert_array_equal(scores, detector.score(test))
    detector.save(tmp_path / "saved")
    check_no_pickle(tmp_path / "saved")
    loaded = load_detector(tmp_path / "saved")
    assert type(loaded) is type(detector)
    assert loaded.settings() == detector.settings()
    np.testing.assert_array_equal(loaded.score(test), scores)
    loaded.save(tmp_path / "again")
    np.testing.assert_array_equal(load_detector(tmp_path / "again").score(test), scores)


def test_score_alone_is_the_score_among_others(detector: Detector, planted: Planted) -> None:
    if detector.remembers:
        pytest.skip("its scores depend on the user's windows before: see its own tests")
    test = planted.windows.test
    scores = detector.score(test)
    rows = [0, 1, len(test) // 2, int(scores.argmax()), int(scores.argmin())]
    single = [detector.score(alone(test, row))[0] for row in rows]
    # kernels add up one row in another order than many, which narrow distributions make larger
    np.testing.assert_allclose(single, scores[rows], rtol=1e-4, atol=1e-5)
    backwards = np.arange(len(test))[::-1].copy()
    np.testing.assert_allclose(
        detector.score(test.take(backwards)), scores[backwards], rtol=1e-5, atol=1e-5
    )


def test_what_is_remembered_is_the_own_past(detector: Detector, planted: Planted) -> None:
    """In whatever order and batches it comes; what comes later changes nothing.

    Where everybody's past counts, not the own alone, users cannot be told apart.
    """
    if not detector.remembers:
        pytest.skip("it does not look at the windows before")
    test = planted.windows.test
    test = test.take(np.argsort(test.keys["end"].to_numpy(), kind="stable"))
    scores, half = detector.score(test), len(test) // 2
    past, rest = test.take(np.arange(half)), test.take(np.arange(half, len(test)))
    np.testing.assert_allclose(detector.score(past), scores[:half], rtol=1e-4, atol=1e-5)
    after = detector.score_after(past, rest)
    np.testing.assert_allclose(after, scores[half:], rtol=1e-4, atol=1e-5)
    mixed = np.random.default_rng(0).permutation(len(test))
    np.testing.assert_allclose(
        detector.score(test.take(mixed)), scores[mixed], rtol=1e-4, atol=1e-5
    )
    if detector.learns_from_everybody:
        return
    mine = (test.keys["user_id"] == test.keys["user_id"][0]).to_numpy()
    np.testing.assert_allclose(detector.score(test.take(mine)), scores[mine], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_same_seed_same_scores(name: str, detector: Detector, planted: Planted) -> None:
    np.random.seed(1)
    again = make(name).fit(planted.windows.train, planted.windows.calibration)
    np.testing.assert_array_equal(
        again.score(planted.windows.test), detector.score(planted.windows.test)
    )


def test_no_windows_no_scores(detector: Detector, planted: Planted) -> None:
    nothing = planted.windows.test.take(np.zeros(0, np.int64))
    check_scores(detector.score(nothing), 0)
    assert detector.contributions(nothing).ndim == 2


def test_contributions_sum_to_the_score(detector: Detector, planted: Planted) -> None:
    test = planted.windows.test
    parts, topics = detector.contributions(test), detector.topics()
    assert len(parts) == len(test)
    if parts.shape[1] == 0:
        assert topics == []
        return
    np.testing.assert_allclose(parts.sum(1), detector.score(test), rtol=1e-5, atol=1e-4)
    assert topics is None or len(topics) == parts.shape[1]


def test_contributions_after_others_sum_to_the_score_after_them(
    detector: Detector, planted: Planted
) -> None:
    past, test = planted.windows.calibration, planted.windows.test
    rows = np.array([len(test) - 1, 2, len(test) // 2])
    parts = detector.contributions_after(past, test, rows)
    assert len(parts) == len(rows)
    if parts.shape[1]:
        scores = detector.score_after(past, test)[rows]
        np.testing.assert_allclose(parts.sum(1), scores, rtol=1e-4, atol=1e-4)


def test_planted_anomalies_are_found(name: str, detector: Detector, planted: Planted) -> None:
    low, high = FLOORS.get(name, (0.8, 1.0))
    assert low <= roc_auc_score(planted.labels, detector.score(planted.windows.test)) <= high


def amend(folder: Path, file: str, content: object) -> None:
    """Change a file beside the graph, as somebody with another alert budget would."""
    manifest = read_manifest(folder)
    (folder / file).write_text(json.dumps(content))
    reseal(folder, manifest)


def export(name: str, detector: Detector, planted: Planted, folder: Path) -> Evaluation:
    evaluation = evaluate_detector(name, detector, planted.windows, DailyBudget(1), audit="off")
    windows = planted.windows
    explainer = Explainer.fit(windows.train, planted.extractor.vocabulary.counts)
    leaving = detector.after(windows.calibration)
    export_bundle(
        folder,
        leaving,
        planted.extractor,
        evaluation.calibration,
        evaluation.threshold,
        explainer,
        Profile(),
        {"detector": name},
    )
    return evaluation


def test_export(name: str, detector: Detector, planted: Planted, tmp_path: Path) -> None:
    """Scores of the bundle are those of the evaluation, with the past that goes along."""
    folder, test = tmp_path / "bundle", planted.windows.test
    evaluation = export(name, detector, planted, folder)
    bundle = load_bundle(folder)
    scores = evaluation.scores["score"].to_numpy()
    assert np.abs(bundle.score_windows(test) - scores).max() <= 1e-5
    half = np.arange(len(test)) < len(test) // 2  # in order of their starts
    later = bundle.after(test.take(half)).score_windows(test.take(~half))
    expected = detector.after(planted.windows.calibration).after(test.take(half))
    assert np.abs(later - expected.score(test.take(~half))).max() <= 1e-5
    if not detector.has_graph:
        with pytest.raises(BundleError, match="has no TorchScript graph"):
            detector.graph()


def test_threshold_and_calibration_change_without_a_new_export(
    name: str, detector: Detector, planted: Planted, tmp_path: Path
) -> None:
    if name not in ("autoencoder", "counts"):
        pytest.skip("they lie beside the detector, whichever it is")
    folder = tmp_path / "bundle"
    evaluation = export(name, detector, planted, folder)
    manifest = read_manifest(folder)
    assert load_bundle(folder).threshold == pytest.approx(evaluation.threshold)
    scores = evaluation.scores["score"].to_numpy()
    amend(folder, "threshold.json", {"score": float(np.sort(scores)[-3])})
    changed = Calibration.fit(scores * 2)
    changed.save(tmp_path / "calibration.json")
    amend(folder, "calibration.json", json.loads((tmp_path / "calibration.json").read_text()))
    table = load_bundle(folder).score(planted.events)
    in_test = table.join(evaluation.scores.select("window_id"), on="window_id")
    assert in_test["alert"].sum() == 3
    np.testing.assert_allclose(
        in_test["risk"].to_numpy(), changed.risk(in_test["score"].to_numpy())
    )
    kept = read_manifest(folder)["files"]
    differing = [file for file in kept if kept[file] != manifest["files"][file]]
    assert differing == ["calibration.json", "threshold.json"]
