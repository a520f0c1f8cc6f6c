"""How much: events, resources, sources, failures, minutes, and counts of each action."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import require
from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import TOKEN, ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents, side_by_side
from riskml.features.profile import Profile
from riskml.features.rows import Array, filled, micros


class VolumeFeatures(FeatureFamily):
    """Counts of a window.

    Args:
        max_actions: the commonest actions get a count of their own, the rest share one.
    """

    name = "volume"

    def __init__(self, max_actions: int = 40) -> None:
        setting = "features.families.volume.max_actions"
        require(setting, max_actions, max_actions >= 0, "must be 0 or more")
        self.max_actions = max_actions

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"max_actions": self.max_actions}

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """Five totals, then one count an action, then all other actions."""
        totals = [
            ("events", "events", ""),
            ("resources", "different resources", ""),
            ("sources", "different sources", ""),
            ("failures", "failed actions", ""),
            ("minutes", "minutes from first to last event", "min"),
        ]
        columns = [
            Feature(name, self.name, FeatureKind.COUNT, meaning, unit)
            for name, meaning, unit in totals
        ]
        for action in self._own(vocabulary):
            columns.append(
                Feature(f"count:{action}", self.name, FeatureKind.COUNT, f"'{action}' actions")
            )
        columns.append(Feature("count:other", self.name, FeatureKind.COUNT, "other actions"))
        return columns

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Counts, float32 [windows, 5 + actions + 1]."""
        own = len(self._own(windows.vocabulary))
        x = np.empty((len(windows), 5 + own + 1), np.float32)

        def count(rows: slice) -> None:
            _count(windows[rows], own, x[rows])

        side_by_side(count, windows.parts(), len(windows.events))
        return x, profile

    def _own(self, vocabulary: ActionVocabulary) -> tuple[str, ...]:
        return vocabulary.actions[2 : 2 + self.max_actions]


def _count(windows: WindowEvents, own: int, x: FloatArray) -> None:
    """Fill in `x`; the first `own` actions have a column of their own."""
    success, told = filled(windows.events["success"])
    span = micros(windows.keys["end"]) - micros(windows.keys["start"])
    x[:, 0] = windows.counts
    x[:, 1], x[:, 2] = _distinct(windows, "resource"), _distinct(windows, "source")
    x[:, 3] = windows.sum(told & ~success)
    x[:, 4] = span // 60_000_000
    column = windows.column(TOKEN).astype(np.int64) - 2
    column[(column < 0) | (column > own)] = own
    cells = np.bincount(windows.row * (own + 1) + column, minlength=len(windows) * (own + 1))
    x[:, 5:] = cells.reshape(len(windows), own + 1)


def _distinct(windows: WindowEvents, column: str) -> Array:
    """Number of different values of a hashed column, by window."""
    rows, values = windows.changes(column)
    # window and value as one number to sort: as many bits of the hash as the window leaves
    bits = np.uint64(max(len(windows) - 1, 1).bit_length())
    packed = (windows.row[rows].astype(np.uint64) << (np.uint64(64) - bits)) | (values >> bits)
    ordered = pl.Series(packed).sort().to_numpy()
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    of_window = (ordered[new] >> (np.uint64(64) - bits)).astype(np.int64)
    return np.bincount(of_window, minlength=len(windows))
