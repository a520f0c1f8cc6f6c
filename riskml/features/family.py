"""What a feature family fills in: learn from the train period, then compute columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import polars as pl

from riskml.core.types import Feature, FloatArray, IntArray
from riskml.features.actions import ActionVocabulary
from riskml.features.windows import WINDOW_ID


class FeatureFamily(ABC):
    """One room's worth of features. Constructor arguments are plain; learnt state is separate."""

    name: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Constructor arguments, to be stored as JSON."""

    def fit(self, tokens: IntArray, lengths: IntArray, vocabulary: ActionVocabulary) -> None:
        """Learn shared state from the train period's windows; the default learns nothing."""
        return

    @abstractmethod
    def features(self, vocabulary: ActionVocabulary) -> list[Feature]:
        """The columns that `transform` returns, in order."""

    @abstractmethod
    def transform(
        self, events: pl.DataFrame, keys: pl.DataFrame, vocabulary: ActionVocabulary
    ) -> FloatArray:
        """Columns for the windows in `keys`.

        Args:
            events: in order of window and time, with `window_id`, `row` (the window's row in
                keys), `local_time` and `token`.
            keys: one row a window.
            vocabulary: the fitted action ids.

        Returns:
            float32 [len(keys), len(self.features())].
        """

    def arrays(self) -> dict[str, FloatArray]:
        """Learnt arrays, stored in one safetensors file; the default has none."""
        return {}

    def restore(self, arrays: dict[str, FloatArray]) -> None:
        """Put back what `arrays` gave."""
        return


def per_window(events: pl.DataFrame, keys: pl.DataFrame, *columns: pl.Expr) -> FloatArray:
    """Aggregate events by window, as float32 [len(keys), len(columns)] in the order of keys."""
    table = events.group_by(WINDOW_ID).agg(*columns)
    ordered = keys.select(WINDOW_ID).join(table, on=WINDOW_ID, how="left", maintain_order="left")
    return ordered.drop(WINDOW_ID).fill_null(0).to_numpy().astype("float32")
