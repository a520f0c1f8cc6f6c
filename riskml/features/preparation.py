"""A data set's events → the windows of each period, and the truth of each window apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from riskml.core.errors import DataError
from riskml.core.schema import time_span
from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import CALIBRATION, PERIOD, TEST, TRAIN
from riskml.features.actions import unknown_rate
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.features.windows import WINDOW_ID


@dataclass(frozen=True)
class PreparedWindows:
    """Windows by period.

    Args:
        train, calibration, test: a window that reaches into a later period belongs to that one.
            The first part of the train period is not among `train`: nothing was known of anybody
            then, so all was new (see `Dataset.warm_up`).
        test_truth: one row a test window, in its order: `label` (0 or 1) and `incidents` (list of
            ids); None where there is no truth.
        normal_weight: how many normal windows a normal test window stands for.
        profile: what is known after the last event, to score later ones with.
        incidents: one row an incident, where they are known: incident_id, scenario (null where
            there is none), user_id (of its first event), start, end, n_events.
    """

    train: Windows
    calibration: Windows
    test: Windows
    test_truth: pl.DataFrame | None
    normal_weight: float = 1.0
    profile: Profile = field(default_factory=Profile)
    incidents: pl.DataFrame | None = None

    @property
    def unknown_action_rate(self) -> float:
        """Share of test events whose action was not seen in training."""
        return unknown_rate(self.test.tokens)


def prepare(dataset: Dataset, extractor: FeatureExtractor) -> PreparedWindows:
    """Transform all events with a fitted extractor and cut the windows into periods.

    Raises:
        DataError: a period has no window of its own.
    """
    windows, profile = extractor.transform(dataset.events, Profile(), open_windows=True)
    events = extractor.assign(dataset.events)
    period = _in_order(windows, events.group_by(WINDOW_ID).agg(pl.col(PERIOD).max()))[PERIOD]
    warm = (windows.keys["start"] >= warm_from(dataset)).to_numpy()
    parts = {}
    for name in (TRAIN, CALIBRATION, TEST):
        in_period = (period == name).to_numpy()
        parts[name] = windows.take(in_period & warm if name == TRAIN else in_period)
        if not len(parts[name]):
            raise DataError(
                f"the {name} period holds no whole window: the log is too short for its windows "
                "and data.split; give a longer log or shorter windows (features=session)"
            )
    truth = incidents = None
    if dataset.truth is not None:
        truth = _window_truth(parts[TEST], events, dataset.truth)
        incidents = _incidents(events, dataset.truth)
    return PreparedWindows(
        parts[TRAIN],
        parts[CALIBRATION],
        parts[TEST],
        truth,
        dataset.normal_weight,
        profile,
        incidents,
    )


def warm_from(dataset: Dataset) -> datetime:
    """When the warm-up is over."""
    time = dataset.train_events["timestamp"]
    first, last = time_span(time, time)
    return first + dataset.warm_up * (last - first)


def _window_truth(windows: Windows, events: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """A window is positive if any of its events is."""
    known = events.select("event_id", WINDOW_ID).join(truth, on="event_id")
    incidents = (
        pl.col("incident_id").drop_nulls().unique().sort()
        if "incident_id" in truth.columns
        else pl.lit([], pl.List(pl.String))
    )
    by_window = known.group_by(WINDOW_ID).agg(pl.col("label").max(), incidents.alias("incidents"))
    return _in_order(windows, by_window).with_columns(
        pl.col("label").fill_null(0), pl.col("incidents").fill_null([])
    )


def _incidents(events: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame | None:
    """Who, when and how many events; None where the truth has no incidents."""
    if "incident_id" not in truth.columns:
        return None
    scenario = pl.col("scenario").first() if "scenario" in truth.columns else pl.lit(None)
    return (
        truth.filter(pl.col("incident_id").is_not_null() & (pl.col("label") == 1))
        .join(events.select("event_id", "user_id", "timestamp"), on="event_id")
        .sort("timestamp", "event_id")
        .group_by("incident_id", maintain_order=True)
        .agg(
            scenario.cast(pl.String).alias("scenario"),
            pl.col("user_id").first(),
            pl.col("timestamp").min().alias("start"),
            pl.col("timestamp").max().alias("end"),
            pl.len().cast(pl.Int64).alias("n_events"),
        )
    )


def _in_order(windows: Windows, table: pl.DataFrame) -> pl.DataFrame:
    return windows.keys.select(WINDOW_ID).join(
        table, on=WINDOW_ID, how="left", maintain_order="left"
    )


def labels_of(truth: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Labels of the test windows, int8 [n]."""
    return truth["label"].to_numpy().astype(np.int8)
