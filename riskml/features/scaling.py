"""Brings features to a common scale; learnt from train windows, frozen afterwards."""

from __future__ import annotations

import numpy as np

from riskml.core.errors import DataError
from riskml.core.types import FeatureKind, FeatureSpec, FloatArray, Windows

LIMIT = 50.0
"""Scaled values are held within ±LIMIT, so that an absurd input cannot overflow a score."""


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
        x = scaler.transform(windows.x)
        mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
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
