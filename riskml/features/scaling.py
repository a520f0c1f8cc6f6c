"""Brings features to a common scale; learnt from train windows, frozen afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from riskml.core.errors import DataError
from riskml.core.types import FeatureKind, FeatureSpec, FloatArray, Windows

LIMIT = 50.0
"""Scaled values are held within ±LIMIT, so that an absurd input cannot overflow a score."""

PART = 8192
"""Rows that are looked at together in fitting; they stay in the cache."""

Moments = npt.NDArray[np.float64]


class FeatureScaler:
    """Counts go through log(1 + x), then every column to zero mean and unit deviation.

    Attributes:
        mean, scale: float32 [d]; a column that is constant in training keeps scale 1.
        log_columns: bool [d], the counts.
    """

    def __init__(self, mean: FloatArray, scale: FloatArray, spec: FeatureSpec) -> None:
        self.mean, self.scale = mean, scale
        self.log_columns = np.zeros(len(spec), bool)
        self.log_columns[spec.columns(FeatureKind.COUNT)] = True

    @classmethod
    def fit(cls, windows: Windows) -> FeatureScaler:
        """Learn mean and deviation.

        Raises:
            DataError: every feature has one and the same value in all windows.
        """
        identity = np.zeros(len(windows.spec), np.float32)
        scaler = cls(identity, identity + 1, windows.spec)
        mean, deviation = _moments(scaler, windows.x)
        constant = deviation < 1e-6
        if constant.all():
            raise DataError(
                f"all {len(windows.spec)} features are equal in all {len(windows)} train windows: "
                "there is nothing to learn; check the column mapping and the train period"
            )
        scaler.mean = mean.astype(np.float32)
        scaler.scale = np.where(constant, 1.0, deviation).astype(np.float32)
        return scaler

    def transform(self, x: FloatArray) -> FloatArray:
        """Scale raw features [n, d]; float32 of the same shape."""
        y = np.array(x, np.float32)
        y[:, self.log_columns] = np.log1p(np.maximum(y[:, self.log_columns], 0))
        scaled: FloatArray = np.clip((y - self.mean) / self.scale, -LIMIT, LIMIT)
        return scaled


def _moments(scaler: FeatureScaler, x: FloatArray) -> tuple[Moments, Moments]:
    """Mean and deviation of scaled columns, part by part, so that no copy of all rows is made.

    Parts are joined as by Chan, Golub & LeVeque (1979).
    """
    rows, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for begin in range(0, len(x), PART):
        part = scaler.transform(x[begin : begin + PART])
        n, middle = len(part), part.mean(0, dtype=np.float64)
        away = middle - mean
        mean = mean + away * (n / (rows + n))
        squares += part.var(0, dtype=np.float64) * n + away**2 * (rows * n / (rows + n))
        rows += n
    return mean, np.sqrt(squares / rows)
