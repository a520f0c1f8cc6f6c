"""PyOD detectors (Zhao et al. 2019) behind our contract, on the very same features."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file

from riskml.core.errors import ConfigError, DataError, did_you_mean, reading
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.features.scaling import FeatureScaler
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.randomness import randomness_restored
from riskml.models.tables import Kinds

Float64 = npt.NDArray[np.float64]

MODULES = {
    "IForest": "iforest",
    "HBOS": "hbos",
    "LOF": "lof",
    "KNN": "knn",
    "ECOD": "ecod",
    "COPOD": "copod",
    "PCA": "pca",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
}
SEEDED = ("IForest", "PCA", "AutoEncoder", "VAE")
NOTES = {
    "LOF": "in novelty mode: windows are compared with train windows alone",
    "ECOD": "each window scored as if alone; in PyOD the others of a batch change its score",
    "COPOD": "each window scored as if alone; in PyOD the others of a batch change its score",
    "PCA": "without directions in which train windows do not vary; PyOD divides by their variance",
    "AutoEncoder": "seeded; scores do not change from call to call",
    "VAE": "scored at the posterior mean; PyOD draws anew at every call",
}
"""What a reader of a table has to know."""
VANISHING = 1e-3
"""Deviation below which windows, standardised, do not vary in a direction."""

TRAIN_FILE = "train.safetensors"


class PyODDetector(Detector):
    """A PyOD model fitted on scaled features, its scores made stable where PyOD's are not.

    PyOD scores ECOD and COPOD on the train rows together with the whole batch, divides by
    variances that may be 0 in PCA, and samples in the VAE; see `NOTES` for what is done here.

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

    @property
    def has_chance(self) -> bool:
        """Whether the algorithm draws random numbers."""
        return self.algorithm in SEEDED

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
        if self.algorithm == "PCA":
            arguments.setdefault("n_components", _directions(self.train_x_))
        with randomness_restored():
            module = import_module(f"pyod.models.{MODULES[self.algorithm]}")
            self.model_ = getattr(module, self.algorithm)(**arguments)
            try:
                self.model_.fit(self.train_x_)
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise DataError(
                    f"PyOD's {self.algorithm} cannot be fitted on {len(x):,} windows with "
                    f"{len(spec)} features: {reason}"
                ) from error
        if self.algorithm == "VAE":
            self.model_.model.reparameterize = _posterior_mean

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        self.check_spec(windows)
        if not len(windows):
            return np.zeros(0, np.float32)
        x = self.scaler_.transform(windows.x)
        if self.algorithm in ("ECOD", "COPOD"):
            return tails_alone(self.train_x_, x, copula=self.algorithm == "COPOD")
        with randomness_restored():
            scores: FloatArray = np.asarray(self.model_.decision_function(x), np.float32)
        return scores

    def note(self) -> str:
        """What was done to make PyOD's scores stable."""
        return NOTES.get(self.algorithm, "")

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
        detector, _ = read_detector(folder, cls)
        with reading(folder / TRAIN_FILE):
            arrays = load_file(folder / TRAIN_FILE)
            detector._restore(detector.spec_, arrays)
        return detector

    def _restore(self, spec: FeatureSpec, arrays: dict[str, FloatArray]) -> None:
        identity = FeatureScaler(
            np.zeros(len(spec), np.float32), np.ones(len(spec), np.float32), spec
        )
        identity.log_columns[:] = False
        self._fit(spec, identity, arrays["train_x"])
        self.scaler_ = FeatureScaler(arrays["mean"], arrays["scale"], spec)


def tails_alone(train: FloatArray, x: FloatArray, copula: bool = False) -> FloatArray:
    """ECOD (Li et al. 2022) or COPOD (Li et al. 2020) of each row among the train rows alone.

    Args:
        train: [m, d].
        x: [n, d] rows to score.
        copula: COPOD, which takes the mean of both tails where ECOD takes the larger.

    Returns:
        float32 [n]; the sum over features of the tail on the skewed side, or of both tails if
        that is larger.
    """
    ordered = np.sort(train, axis=0)
    rows = len(train) + 1
    total = np.zeros(len(x))
    for j in range(train.shape[1]):
        left = -np.log((np.searchsorted(ordered[:, j], x[:, j], "right") + 1) / rows)
        right = -np.log((rows - np.searchsorted(ordered[:, j], x[:, j], "left")) / rows)
        side = _skewed_to(train[:, j].astype(np.float64), x[:, j].astype(np.float64))
        skewed = np.where(side < 0, left, np.where(side > 0, right, left + right))
        both = (left + right) / 2 if copula else np.maximum(left, right)
        total += np.maximum(skewed, both)
    return total.astype(np.float32)


def _skewed_to(train: Float64, x: Float64) -> Float64:
    """Sign of the skewness of the train values and one more, for each of x."""
    middle, n = train.mean(), len(train) + 1
    deviation, d = train - middle, x - middle
    shift = d / n
    third = ((deviation**3).sum() + d**3) / n
    third -= 3 * shift * ((deviation**2).sum() + d**2) / n - 2 * shift**3
    side: Float64 = np.sign(third)
    return side


def _directions(x: FloatArray) -> int:
    """In how many directions the rows vary: rank of their correlation."""
    spread = x.std(0, dtype=np.float64)
    standard = (x - x.mean(0, dtype=np.float64)) / np.where(spread > 0, spread, 1)
    return max(int(np.linalg.matrix_rank(standard, tol=VANISHING * np.sqrt(len(x)))), 1)


def _posterior_mean(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    return mean
