"""Numbers that the log brings itself: sizes, amounts, readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError, require
from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.family import Columns, FeatureFamily, WindowEvents
from riskml.features.profile import Profile
from riskml.features.rows import Array

PREFIX = "number_"
"""Of the features, and of the events' columns: the log's own column may be read as a name, too."""

COMBINE = {"mean": np.add, "sum": np.add, "max": np.maximum}


class NumberFeatures(FeatureFamily):
    """Columns of numbers, one feature each: the mean, sum or maximum over the window's events.

    An event without a number is left out; a window without any has 0.

    Args:
        columns: of the log; `*` stands for any letters, and what it stands for is learnt by `fit`.
        combine: `mean`, `sum` or `max`.
        kinds: kind of some columns by name; `fit` infers the others (see `infer_kind`).

    Raises:
        ConfigError: another way to combine, or a kind that there is not.
    """

    name = "numbers"

    def __init__(
        self,
        columns: Sequence[str] = ("*",),
        combine: str = "mean",
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        setting = "features.families.numbers"
        require(f"{setting}.combine", combine, combine in COMBINE, f"must be of {list(COMBINE)}")
        for column, kind in (kinds or {}).items():
            known = kind in (FeatureKind.COUNT, FeatureKind.BINARY, FeatureKind.CONTINUOUS)
            require(f"{setting}.kinds.{column}", kind, known, "must be count, binary or continuous")
        self.columns, self.combine, self.kinds = tuple(columns), combine, dict(kinds or {})

    def settings(self) -> dict[str, Any]:
        """Constructor arguments, with what `fit` has learnt."""
        return {"columns": list(self.columns), "combine": self.combine, "kinds": self.kinds}

    def numbers(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Those named outright, and those of the log that fit a pattern."""
        found: dict[str, None] = {}
        for pattern in self.columns:
            if "*" in pattern:
                found |= dict.fromkeys(name for name in columns if fnmatchcase(name, pattern))
            else:
                found[pattern] = None
        return tuple(found)

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Learn which columns there are, and their kinds."""
        names = [name for name in windows.events.columns if name.startswith(PREFIX)]
        self.columns = tuple(name.removeprefix(PREFIX) for name in names)
        if not self.columns:
            raise DataError(
                "features.families.numbers.columns fits no column of the log that holds numbers; "
                "name some, for example [bytes]"
            )
        for column, values in zip(self.columns, self._combined(windows).T, strict=True):
            self.kinds.setdefault(column, str(infer_kind(values)))

    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """One a column."""
        return [
            Feature(
                f"{PREFIX}{column}",
                self.name,
                FeatureKind(self.kinds.get(column, FeatureKind.CONTINUOUS)),
                f"{self.combine} of '{column}'",
            )
            for column in self.columns
        ]

    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Float32 [windows, columns]; a binary one is 1 from a half on."""
        x = self._combined(windows)
        for i, column in enumerate(self.columns):
            if self.kinds.get(column) == FeatureKind.BINARY:
                x[:, i] = x[:, i] >= 0.5
        return x, profile

    def _combined(self, windows: WindowEvents) -> FloatArray:
        x = np.zeros((len(windows), len(self.columns)), np.float32)
        for i, column in enumerate(self.columns):
            values = windows.column(f"{PREFIX}{column}")
            known = ~np.isnan(values)
            counts = windows.sum(known)
            empty = 0.0 if self.combine != "max" else -np.inf
            total: Array = COMBINE[self.combine].reduceat(
                np.where(known, values, empty), windows.first
            )
            if self.combine == "mean":
                total = total / np.maximum(counts, 1)
            x[:, i] = np.where(counts > 0, total, 0.0)
        return x


def as_number(events: pl.DataFrame, column: str) -> pl.Series:
    """A column of the log as float64, NaN where there is none.

    Raises:
        DataError: it holds what is no finite number.
    """
    values = events[column].cast(pl.Float64, strict=False)
    numbers = values.to_numpy()
    finite = np.isfinite(numbers)
    if finite.sum() < events[column].count():
        odd = ~finite & events[column].is_not_null().to_numpy()
        raise DataError(
            f"column '{column}' holds what is no finite number, first in event "
            f"'{events['event_id'].filter(odd)[0]}'; leave it out of "
            "features.families.numbers.columns, or correct the log"
        )
    return pl.Series(f"{PREFIX}{column}", numbers)


def infer_kind(column: npt.NDArray[np.float32]) -> FeatureKind:
    """Binary, count or continuous.

    A count begins at 0 or 1 and varies at least as much as a Poisson count of its mean would:
    ages, years and readings of an instrument in whole numbers do not.

    >>> infer_kind(np.array([0, 3, 1, 9], np.float32)).value
    'count'
    >>> infer_kind(np.array([2019, 2020, 2024], np.float32)).value
    'continuous'
    """
    values = column.astype(np.float64)
    if not len(values) or values.min() == values.max():
        return FeatureKind.CONTINUOUS
    if np.isin(values, (0.0, 1.0)).all():
        return FeatureKind.BINARY
    whole = bool((values == np.floor(values)).all())
    if whole and 0 <= values.min() <= 1 and values.var() >= values.mean():
        return FeatureKind.COUNT
    return FeatureKind.CONTINUOUS
