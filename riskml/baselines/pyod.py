"""PyOD detectors (Zhao et al. 2019) behind our contract, on the very same features."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from riskml.core.errors import ConfigError, did_you_mean, reading
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.features.scaling import FeatureScaler
from riskml.models.base import Detector, read_state, write_state
from riskml.models.tables import Kinds

MODULES = {
    "IForest": "iforest",
    "HBOS": "hbos",
    "LOF": "lof",
    "KNN": "knn",
    "ECOD": "ecod",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
}
SEEDED = ("IForest", "AutoEncoder", "VAE")
TRAIN_FILE = "train.safetensors"


class PyODDetector(Detector):
    """A PyOD model fitted on scaled features, its scores made stable where PyOD's are not.

    PyOD scores ECOD on the train rows together with the whole batch, and samples in the VAE;
    here an ECOD row is scored as if alone, and the VAE at its posterior mean.

    Args:
        algorithm: name of the PyOD class.
        seed: for those that draw random numbers.
        parameters: further arguments of the PyOD class; its defaults otherwise.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: no such algorithm.
    """

    def __init__(
        self,
        algorithm: str,
        seed: int = 0,
        parameters: dict[str, Any] | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        self.expect(contamination, kinds)
        if algorithm not in MODULES:
            raise ConfigError(
                f"no PyOD algorithm '{algorithm}': {did_you_mean(algorithm, MODULES)}"
            )
        self.algorithm, self.seed = algorithm, seed
        self.parameters = dict(parameters or {})

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Fit on train windows; validation is not used."""
        self._fit(windows.spec, FeatureScaler.fit(windows), windows.x)

    def _fit(self, spec: FeatureSpec, scaler: FeatureScaler, x: FloatArray) -> None:
        self.spec_, self.scaler_ = spec, scaler
        self.train_x_ = scaler.transform(x)
        arguments: dict[str, Any] = dict(self.parameters)
        if self.algorithm in SEEDED:
            arguments["random_state"] = self.seed
        if self.algorithm in ("AutoEncoder", "VAE"):
            arguments["verbose"] = 0
            arguments.setdefault("batch_size", min(32, len(x)))
        with _global_randomness_restored():
            module = import_module(f"pyod.models.{MODULES[self.algorithm]}")
            self.model_ = getattr(module, self.algorithm)(**arguments)
            self.model_.fit(self.train_x_)
        if self.algorithm == "VAE":
            self.model_.model.reparameterize = _posterior_mean

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        self.check_spec(windows)
        if not len(windows):
            return np.zeros(0, np.float32)
        x = self.scaler_.transform(windows.x)
        if self.algorithm == "ECOD":
            return ecod_alone(self.train_x_, x)
        with _global_randomness_restored():
            scores: FloatArray = np.asarray(self.model_.decision_function(x), np.float32)
        return scores

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "parameters": self.parameters,
            "contamination": self.contamination,
            "kinds": self.kinds,
        }

    def save(self, folder: Path) -> None:
        """Write settings and train windows.

        PyOD models can only be stored as pickles, so `load` fits again; for the same seed that
        gives the same scores.
        """
        write_state(folder, self)
        arrays = {
            "train_x": self.train_x_,
            "mean": self.scaler_.mean,
            "scale": self.scaler_.scale,
        }
        save_file(
            {name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / TRAIN_FILE
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote and fit again."""
        state = read_state(folder, cls)
        with reading(folder / TRAIN_FILE):
            detector = cls(**state["settings"])
            arrays = load_file(folder / TRAIN_FILE)
            spec = FeatureSpec.from_dict(state["spec"], np.zeros((0, 0), np.float32))
            detector._restore(spec, arrays)
            detector.restore_fitted(state)
        return detector

    def _restore(self, spec: FeatureSpec, arrays: dict[str, FloatArray]) -> None:
        identity = FeatureScaler(
            np.zeros(len(spec), np.float32), np.ones(len(spec), np.float32), spec
        )
        identity.log_columns[:] = False
        self._fit(spec, identity, arrays["train_x"])
        self.scaler_ = FeatureScaler(arrays["mean"], arrays["scale"], spec)


def ecod_alone(train: FloatArray, x: FloatArray) -> FloatArray:
    """ECOD (Li et al. 2022) of each row among the train rows alone.

    Args:
        train: [m, d].
        x: [n, d] rows to score.

    Returns:
        float32 [n]; the sum over features of the larger of tail and skew-side tail.
    """
    from scipy.stats import skew

    ordered = np.sort(train, axis=0)
    rows = len(train) + 1
    total = np.zeros(len(x))
    with np.errstate(all="ignore"):
        side = np.nan_to_num(np.sign(skew(train, axis=0)))
    for j in range(train.shape[1]):
        left = -np.log((np.searchsorted(ordered[:, j], x[:, j], "right") + 1) / rows)
        right = -np.log((rows - np.searchsorted(ordered[:, j], x[:, j], "left")) / rows)
        skewed = left if side[j] < 0 else right if side[j] > 0 else left + right
        total += np.maximum(np.maximum(left, right), skewed)
    return total.astype(np.float32)


def _posterior_mean(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    return mean


@contextmanager
def _global_randomness_restored() -> Iterator[None]:
    """PyOD's deep models seed the process; put its random states back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    hash_seed = os.environ.get("PYTHONHASHSEED")
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            os.environ.pop("PYTHONHASHSEED", None)
            if hash_seed is not None:
                os.environ["PYTHONHASHSEED"] = hash_seed
