"""A log cut into periods, with its truth kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from riskml.core.errors import DataError, require
from riskml.data.quality import check_enough
from riskml.data.sources import EventLog
from riskml.data.splits import TRAIN, Split


class Source(Protocol):
    """Anything that reads a log."""

    def load(self) -> EventLog:
        """Events, truth and rejected rows."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Events with their `period`, and what is known of them.

    Args:
        events: event schema, pass-through columns and `period`.
        truth: `event_id`, `label` (0 or 1) and, where known, `incident_id` and `scenario`.
        rejected: rows in quarantine, each with its reason.
        normal_weight: how many normal windows one normal test window stands for, where the test
            set holds a sample of them.
        warm_up: share of the train period, from its start, whose windows only make users known
            and are not learnt from: while nobody is known all is new.
    """

    events: pl.DataFrame
    truth: pl.DataFrame | None
    rejected: pl.DataFrame
    normal_weight: float = 1.0
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        require("data.warm_up", self.warm_up, 0 <= self.warm_up < 1, "must lie in [0, 1)")

    @property
    def train_events(self) -> pl.DataFrame:
        """Events of the train period, the only ones that anything is fitted on."""
        return self.events.filter(pl.col("period") == TRAIN)


def load_dataset(
    source: Source,
    split: Split,
    normal_weight: float = 1.0,
    single_user: bool = False,
    warm_up: float = 0.0,
) -> Dataset:
    """Read a log and cut it into periods.

    Args:
        source: reads the log.
        split: cuts it.
        normal_weight: see `Dataset`.
        single_user: the log is known to be of one user, or of one machine.
        warm_up: see `Dataset`.

    Raises:
        DataError: too little data, or labels that are not 0 or 1.
    """
    log = source.load()
    check_enough(log.events, single_user)
    events, truth = split.assign(log.events), _binary_truth(log.truth)
    return Dataset(events, truth, log.rejected, normal_weight, warm_up)


def _binary_truth(truth: pl.DataFrame | None) -> pl.DataFrame | None:
    if truth is None or "label" not in truth.columns:
        return None
    label = truth["label"].cast(pl.Float64, strict=False)
    odd = truth["label"].filter(label.is_null() | ~label.is_in([0.0, 1.0]))
    if not odd.is_empty():
        raise DataError(f"column 'label' must hold 0 or 1 a row, not {odd[0]!r}")
    return truth.with_columns(label.cast(pl.Int8).alias("label"))
