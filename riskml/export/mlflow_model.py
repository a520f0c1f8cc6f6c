"""What MLflow runs of a registered bundle: this file as it is, no pickle ("models from code")."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

import riskml
from riskml.export.mlflow_saving import BUNDLE, scored_rows


class BundleModel(PythonModel):
    """Raw events in, scored windows out."""

    bundle: Any

    def load_context(self, context: PythonModelContext) -> None:
        """Check and read the bundle, as any is read."""
        self.bundle = riskml.load(context.artifacts[BUNDLE])

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Windows of the events, open ones as they stand; the bundle learns nothing from them."""
        return scored_rows(self.bundle, model_input)


set_model(BundleModel())
