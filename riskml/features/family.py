"""What a feature family fills in, and the view of windows that it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.types import Feature, FeatureKind, FloatArray
from riskml.features.actions import ActionVocabulary
from riskml.features.profile import USER, Profile
from riskml.features.rows import Array, begins, filled

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class WindowEvents:
    """Windows with their events, the windows of a user one after the other by their end.

    Attributes:
        keys: one row a window: window_id, user_id, start, end, n_events, the hash `user`, `peer`
            group, and `closed`, whether no event can join it any more.
        events: the events in order of window and time, in the columns of `FeatureExtractor`.
        first: int64 [windows], the row of each window's first event.
        vocabulary: the action ids.
    """

    keys: pl.DataFrame
    events: pl.DataFrame
    first: npt.NDArray[np.int64]
    vocabulary: ActionVocabulary

    def __len__(self) -> int:
        return len(self.keys)

    def column(self, name: str) -> Array:
        """A column of the events."""
        return self.events[name].to_numpy()

    @cached_property
    def row(self) -> npt.NDArray[np.int64]:
        """The window of each event."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def ends(self) -> npt.NDArray[np.int64]:
        """`first`, and the number of events at the end."""
        return np.append(self.first, len(self.events))

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Events of each window."""
        return np.diff(self.ends)

    def sum(self, values: Array) -> Array:
        """Sum of a number an event, by window; flags count."""
        values = values.astype(np.int64) if values.dtype == bool else values
        return np.add.reduceat(values, self.first) if len(self) else values[:0]

    def max(self, values: Array) -> Array:
        """Maximum by window."""
        return np.maximum.reduceat(values, self.first) if len(self) else values[:0]

    def changes(self, column: str) -> tuple[npt.NDArray[np.int64], Array]:
        """Events whose value is not that of the event before in the same window, and the values.

        Args:
            column: of hashes; where there is none, nothing changes.
        """
        values, there = filled(self.events[column])
        other = begins(values)
        other[self.first] = True
        rows = np.flatnonzero(other & there)
        return rows, values[rows]

    @cached_property
    def user_begins(self) -> npt.NDArray[np.int64]:
        """The row of each user's first window, in order."""
        return np.flatnonzero(begins(self.keys[USER].to_numpy()))

    def parts(self) -> list[slice]:
        """Slices of windows with about `PART` events each (see `side_by_side`)."""
        return slices(self.ends)

    def __getitem__(self, rows: slice) -> WindowEvents:
        """A slice of windows, without a copy."""
        begin, end = int(self.ends[rows.start]), int(self.ends[rows.stop])
        first = self.first[rows] - begin
        return WindowEvents(self.keys[rows], self.events[begin:end], first, self.vocabulary)

    @cached_property
    def closed(self) -> npt.NDArray[np.bool_]:
        """Which windows are closed: they alone teach the profile."""
        return self.keys["closed"].to_numpy()


@dataclass(frozen=True)
class Columns:
    """The columns of the families before.

    Attributes:
        features: their meaning.
        x: float32 [windows, features].
    """

    features: list[Feature]
    x: FloatArray


def count_columns(features: Sequence[Feature]) -> list[int]:
    """Which features are counts."""
    return [i for i, f in enumerate(features) if f.kind == FeatureKind.COUNT]


def total_columns(features: Sequence[Feature]) -> list[int]:
    """Which are counts that speak of the window as a whole, not of one action."""
    return [i for i in count_columns(features) if ":" not in features[i].name]


PART = 2**17
"""Events that are worked on at once: their columns stay in the cache, their memory is used again,
which saves half the time of ten million at once."""


def slices(first: npt.NDArray[np.int64]) -> list[slice]:
    """Slices of consecutive groups (users, windows) with about `PART` events each.

    Args:
        first: the row of each group's first event, and the number of events at the end.
    """
    part = first[:-1] // PART
    begin = np.flatnonzero(np.append(True, part[1:] != part[:-1])[: len(part)]).tolist()
    return [slice(*ends) for ends in pairwise([*begin, len(part)])]


FEW = 2**14
"""Rows for which threads would take longer to start than to work."""


def side_by_side(work: Callable[[T], R], items: Sequence[T], rows: int) -> list[R]:
    """Results of work that waits for NumPy and Polars alone, on as many threads as Polars has.

    Args:
        work: that is done.
        items: of the work.
        rows: that all items have together.
    """
    if len(items) < 2 or rows < FEW:
        return [work(item) for item in items]
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(work, items))


class FeatureFamily(ABC):
    """One room's worth of features. Constructor arguments are plain; learnt state is separate.

    What `fit` learns is the same for all and frozen; what `arrive` and `transform` learn is kept
    in the profile, and always after it was asked.
    """

    name: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Constructor arguments, to be stored as JSON."""

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """Made anew from what `settings` gave, maybe in an earlier release."""
        return cls(**settings)

    def reads(self) -> tuple[str, ...]:
        """Columns of the log, beside the event schema, that are kept for `arrive`."""
        return ()

    def numbers(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Columns of the log that are kept as numbers, not hashed.

        Args:
            columns: of the log, those of a numeric type.
        """
        return ()

    @property
    def shares_first_times(self) -> bool:
        """Whether a window depends on when other users first met a name."""
        return False

    def fit(self, windows: WindowEvents, before: Columns) -> None:
        """Learn from the train period's windows; the default learns nothing."""
        return

    @abstractmethod
    def features(self, vocabulary: ActionVocabulary, before: list[Feature]) -> list[Feature]:
        """The columns that `transform` returns, in order.

        Args:
            vocabulary: the fitted action ids.
            before: the columns of the families before.
        """

    def arrive(self, events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
        """Add columns to new events, in order of user and time, and learn from them."""
        return events, profile

    def settle(self, events: pl.DataFrame, profile: Profile) -> pl.DataFrame:
        """Correct what `arrive` said, now that the profile knows who else arrived meanwhile."""
        return events

    @abstractmethod
    def transform(
        self, windows: WindowEvents, before: Columns, profile: Profile
    ) -> tuple[FloatArray, Profile]:
        """Columns of the windows, and the profile that has learnt from the closed ones.

        Returns:
            float32 [windows, features].
        """

    def arrays(self) -> dict[str, Array]:
        """Learnt arrays, stored in one safetensors file; the default has none."""
        return {}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put back what `arrays` gave.

        Raises:
            ValueError: they are not of this family.
        """
        return
