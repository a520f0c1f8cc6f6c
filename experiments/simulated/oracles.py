"""Scores that know the truth: what could be reached on these windows, beside the detectors."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from experiments.study import Cell
from riskml.features.preparation import PreparedWindows, labels_of, prepare
from riskml.features.scaling import FeatureScaler
from riskml.runs.assembly import build_dataset, build_extractor

Floats = npt.NDArray[np.float64]
TEACHERS = (201, 202, 203)
"""Worlds of the medium tier whose labels `other_worlds` is shown; none of them is in the table."""


def perfect(windows: PreparedWindows) -> Floats:
    """The truth as a score: a day may hold more incidents than a daily budget."""
    return _labels(windows).astype(np.float64)


def other_worlds(windows: PreparedWindows) -> Floats:
    """Scores of a forest that knows the labels of three other worlds."""
    names = windows.test.spec.names
    shared = [n for n in names if all(n in teacher.test.spec.names for teacher in _teachers())]
    x = np.vstack([_scaled(teacher, shared) for teacher in _teachers()])
    labels = np.concatenate([_labels(teacher) for teacher in _teachers()])
    scores: Floats = _forest().fit(x, labels).predict_proba(_scaled(windows, shared))[:, 1]
    return scores


def other_users(windows: PreparedWindows) -> Floats:
    """Scores of a forest that knows the labels of other users of the same test period."""
    x, groups = _scaled(windows, windows.test.spec.names), windows.test.keys["user_id"].to_numpy()
    folds = GroupKFold(5)
    scores: Floats = cross_val_predict(
        _forest(), x, _labels(windows), groups=groups, cv=folds, method="predict_proba"
    )[:, 1]
    return scores


@cache
def _teachers() -> tuple[PreparedWindows, ...]:
    return tuple(_world(seed) for seed in TEACHERS)


def _world(seed: int) -> PreparedWindows:
    cfg = Cell("simulated", "", "", seed, ("experiment=simulated_medium",)).config()
    dataset = build_dataset(cfg.data, cfg.features)
    return prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(400, min_samples_leaf=2, max_features=0.3, random_state=0)


def _scaled(windows: PreparedWindows, names: list[str]) -> npt.NDArray[np.float32]:
    columns = [windows.test.spec.names.index(name) for name in names]
    scaled = FeatureScaler.fit(windows.train).transform(windows.test.x)
    return np.asarray(scaled[:, columns], np.float32)


def _labels(windows: PreparedWindows) -> npt.NDArray[np.int8]:
    assert windows.test_truth is not None, "a simulated world has its truth"
    return labels_of(windows.test_truth)
