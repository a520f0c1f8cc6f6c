"""Detectors on arrays and frames, as scikit-learn and PyOD would use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from made_windows import make_windows, quick
from sklearn.base import clone, is_outlier_detector
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import riskml
from riskml import PyODDetector, VAEDetector
from riskml.core.errors import ConfigError, DataError
from riskml.models.base import load_detector
from riskml.models.tables import as_windows

ODD = 12
LABELS = np.r_[np.zeros(228, int), np.ones(ODD, int)]
NAMES = ["amount", "speed", "level", "weekend"]


def made(seed: int = 0) -> np.ndarray:
    """Three columns that go together and a flag; the last rows break with it."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(len(LABELS), 1))
    x = np.hstack([common + 0.2 * rng.normal(size=(len(LABELS), 3)), common > 0.5])
    x[-ODD:, 1] += rng.choice([-5, 5], ODD)
    return x


def small(**arguments: Any) -> VAEDetector:
    training = quick(max_epochs=15, learning_rate=1e-2)
    return VAEDetector(**{"hidden": (12,), "latent_dim": 2, "training": training, **arguments})


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    return small().fit(made())


def test_odd_rows_score_higher(fitted: VAEDetector) -> None:
    assert roc_auc_score(LABELS, fitted.decision_function(made())) > 0.95


def test_fitted_scores_threshold_and_labels_agree(fitted: VAEDetector) -> None:
    np.testing.assert_array_equal(fitted.decision_scores_, fitted.decision_function(made()))
    assert fitted.labels_.sum() == 24  # the default contamination of 240 rows
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(made()))
    np.testing.assert_array_equal(fitted.labels_, fitted.decision_scores_ > fitted.threshold_)


def test_contamination_sets_the_threshold() -> None:
    assert PyODDetector("ECOD", contamination=0.05).fit_predict(made()).sum() == 12


def test_probabilities_follow_the_scores(fitted: VAEDetector) -> None:
    probabilities = fitted.predict_proba(made())
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities[:, 1].min(), probabilities[:, 1].max()) == (0, 1)
    assert (np.diff(probabilities[np.argsort(fitted.decision_scores_), 1]) >= 0).all()


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
def test_frames_score_as_the_array_in_any_order_of_columns(frame: Any, fitted: VAEDetector) -> None:
    table = frame(dict(zip(NAMES, made().T, strict=True)))
    detector = small().fit(table)
    assert detector.spec_.names == NAMES
    np.testing.assert_array_equal(detector.decision_scores_, fitted.decision_scores_)
    turned = table[NAMES[::-1]]
    np.testing.assert_array_equal(detector.decision_function(turned), fitted.decision_scores_)


def test_windows_have_the_same_face() -> None:
    windows = make_windows()
    detector = small().fit(windows)
    np.testing.assert_array_equal(detector.decision_function(windows), detector.score(windows))
    assert detector.predict(windows).sum() == 6


def test_kinds_are_inferred_and_can_be_given() -> None:
    table = {
        "flag": [0, 1, 0, 1],
        "count": [0, 3, 1, 40],
        "age": [41, 23, 77, 30],
        "ratio": [0.5, 1, 2, 3],
        "same": [1, 1, 1, 1],
    }
    frame = pl.DataFrame(table)
    kinds = [str(feature.kind) for feature in as_windows(frame).spec.features]
    assert kinds == ["binary", "count", "continuous", "continuous", "continuous"]
    given = as_windows(frame, kinds={"age": "count"}).spec.features[2]
    assert given.kind == "count"


def test_clone_and_parameters() -> None:
    detector = small(contamination=0.2, kinds={"feature_0": "continuous"})
    twin = clone(detector)
    assert twin is not detector
    assert twin.get_params() == detector.get_params()
    twin.set_params(latent_dim=3, training__seed=7)
    assert twin.get_params()["training"].seed == 7
    assert twin.get_params()["latent_dim"] == 3
    assert detector.get_params()["training__seed"] == 0
    with pytest.raises(ConfigError, match="no argument 'latent_dims': did you mean 'latent_dim'"):
        twin.set_params(latent_dims=3)
    with pytest.raises(ConfigError, match=r"contamination=0\.7"):
        twin.set_params(contamination=0.7)
    assert twin.get_params()["latent_dim"] == 3


def test_pipeline_and_cross_validation() -> None:
    pipeline = make_pipeline(StandardScaler(), small())
    assert is_outlier_detector(pipeline)
    assert roc_auc_score(LABELS, pipeline.fit(made(), LABELS).decision_function(made())) > 0.95
    order = np.random.default_rng(0).permutation(len(LABELS))
    scores = cross_val_score(
        PyODDetector("IForest"), made()[order], LABELS[order], cv=3, scoring="roc_auc"
    )
    assert scores.min() > 0.6


def test_saved_threshold_is_loaded(fitted: VAEDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = load_detector(tmp_path)
    np.testing.assert_array_equal(loaded.predict(made()), fitted.labels_)
    np.testing.assert_array_equal(loaded.predict_proba(made()), fitted.predict_proba(made()))


def with_value(value: float) -> np.ndarray:
    x = made()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_value(np.nan), "'feature_1' is not a finite number in row 3"),
        (with_value(1e300), "'feature_1' is not a finite number in row 3"),
        (made()[:, 0], r"shape \(240,\)"),
        ([[1.0, 2.0], [1.0]], "differ in length"),
        (np.zeros((0, 3)), "no rows"),
        (np.zeros((5, 0)), "no columns"),
        (pl.DataFrame({"name": ["ann", "bob"]}), "'name' is not a number"),
        (pl.DataFrame({"level": [1.0, None]}), "'level' is not a finite number in row 1"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(table: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PyODDetector("ECOD").fit(table)


def test_other_columns_are_refused(fitted: VAEDetector) -> None:
    with pytest.raises(DataError, match="has 3 columns, the detector was fitted on 4"):
        fitted.predict(made()[:, :3])
    with pytest.raises(DataError, match="fitted on other features"):
        fitted.predict(pl.DataFrame(made(), schema=["a", "b", "c", "d"]))
    odd_flag = made()
    odd_flag[0, 3] = 7
    with pytest.raises(DataError, match="'feature_3' is binary and holds other values"):
        fitted.predict(odd_flag)
    with pytest.raises(DataError, match="not fitted"):
        small().predict(made())


@pytest.mark.slow
def test_trimming_keeps_a_cluster_of_odd_rows_odd() -> None:
    x = made()
    x[-ODD:] = (3, -3, 3, 0) + 0.1 * np.random.default_rng(1).normal(size=(ODD, 4))
    x[-ODD:, 3] = 0

    def gap(trim: float) -> float:
        training = quick(max_epochs=30, learning_rate=2e-2, trim=trim)
        scores = small(training=training).fit(x).decision_scores_
        return float(scores[-ODD:].mean() - scores[:-ODD].mean())

    assert gap(0.1) > gap(0.0) + 1


def test_import_is_lazy_and_complete() -> None:
    code = "import riskml, sys; assert not {'torch', 'sklearn', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(riskml, name) is not None for name in riskml.__all__)
    assert set(riskml.__all__) <= set(dir(riskml))
    with pytest.raises(AttributeError, match="no attribute 'VAEDetecter'"):
        _ = riskml.VAEDetecter
