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


class Moments:
    """Mean and deviation of columns whose rows come in parts (Chan, Golub and LeVeque 1983).

    Attributes:
        rows: seen so far.
        mean: float64 [d].
    """

    def __init__(self) -> None:
        self.rows = 0
        self.mean: npt.NDArray[np.float64] = np.zeros(0)
        self._squares: npt.NDArray[np.float64] = np.zeros(0)

    def add(self, x: FloatArray) -> Moments:
        """Take in rows, [n, d] with n > 0."""
        mean, squares = x.mean(0, dtype=np.float64), x.var(0, dtype=np.float64) * len(x)
        if not self.rows:
            self.rows, self.mean, self._squares = len(x), mean, squares
            return self
        rows = self.rows + len(x)
        step = mean - self.mean
        self._squares = self._squares + squares + step**2 * (self.rows * len(x) / rows)
        self.mean = self.mean + step * (len(x) / rows)
        self.rows = rows
        return self

    @property
    def deviation(self) -> npt.NDArray[np.float64]:
        """Float64 [d], of all rows seen."""
        return np.sqrt(self._squares / self.rows)


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
        unscaled, moments = cls.unscaled(windows.spec), Moments()
        for first in range(0, len(windows.x), PART):
            moments.add(unscaled.transform(windows.x[first : first + PART]))
        return cls.of(windows.spec, moments)

    @classmethod
    def unscaled(cls, spec: FeatureSpec) -> FeatureScaler:
        """Takes the logarithm of counts and leaves the rest; what the moments are taken of."""
        zero = np.zeros(len(spec), np.float32)
        return cls(zero, zero + 1, spec)

    @classmethod
    def of(cls, spec: FeatureSpec, moments: Moments) -> FeatureScaler:
        """By the moments of windows that `unscaled` has transformed.

        Raises:
            DataError: every feature has one and the same value in all windows.
        """
        deviation = moments.deviation
        constant = deviation < 1e-6
        if constant.all():
            raise DataError(
                f"all {len(spec)} features are equal in all {moments.rows} train windows: "
                "there is nothing to learn; check the column mapping and the train period"
            )
        scale = np.where(constant, 1.0, deviation)
        return cls(moments.mean.astype(np.float32), scale.astype(np.float32), spec)

    def transform(self, x: FloatArray) -> FloatArray:
        """Scale raw features [n, d]; float32 of the same shape."""
        y = np.array(x, np.float32)
        y[:, self.log_columns] = np.log1p(np.maximum(y[:, self.log_columns], 0))
        scaled: FloatArray = np.clip((y - self.mean) / self.scale, -LIMIT, LIMIT)
        return scaled
