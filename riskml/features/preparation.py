"""A data set's events → the windows of each period, and the truth of each window apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import shown
from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import CALIBRATION, GAP, PERIOD, TEST, TRAIN
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
            then, so all was new (see `Dataset.learnt_from`). In a fold with a gap, a window that
            reaches into the gap is none of them, and test windows begin after it.
        test_truth: one row a test window, in its order: `label` (0 or 1) and `incidents` (list of
            ids); None where there is no truth.
        normal_weight: how many normal windows a normal test window stands for.
        profile: what is known after the last event, to score later ones with.
        incidents: one row an incident, where they are known: incident_id, scenario (null where
            there is none), user_id (of its first event), start, end, n_events.
        before: calibration windows and those of the gap after them; None where there is no gap.
        background: how many of the train and calibration windows are risky, by period; None where
            it is not known.
        over_time: see `Dataset`.

    Attributes:
        fingerprint: of all windows and of the truth as they were made.
    """

    train: Windows
    calibration: Windows
    test: Windows
    test_truth: pl.DataFrame | None
    normal_weight: float = 1.0
    profile: Profile = field(default_factory=Profile)
    incidents: pl.DataFrame | None = None
    before: Windows | None = None
    background: Mapping[str, int] | None = None
    over_time: bool = True
    fingerprint: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self.as_it_is())

    def as_it_is(self) -> str:
        """The fingerprint of what they hold by now; another one where anything was changed."""
        digest = blake2b(digest_size=16)
        for part in (self.train, self.calibration, self.test, self.before):
            digest.update(b"-" if part is None else part.fingerprint().encode())
        if self.test_truth is not None:
            digest.update(self.test_truth.hash_rows().to_numpy().tobytes())
        return digest.hexdigest()

    @property
    def before_test(self) -> Windows:
        """What came between the train and the test period, for detectors that remember."""
        return self.calibration if self.before is None else self.before

    @property
    def unknown_action_rate(self) -> float:
        """Share of test events whose action was not seen in training."""
        return unknown_rate(self.test.tokens)


def prepare(dataset: Dataset, extractor: FeatureExtractor) -> PreparedWindows:
    """Transform all events with a fitted extractor and cut the windows into periods.

    In a fold of a backtest that ends before the log does, windows that may still grow then are
    left out: the next fold has them whole.

    Raises:
        DataError: a period has no window of its own, or an event is in the log twice.
        ConfigError: a fold ends before the log, and these windows have no end.
    """
    until = None if dataset.fold is None else dataset.fold.test_until
    if until is not None and not extractor.window.ends:
        raise ConfigError(
            "features.window: sessions that the log names have no end, so folds would cut them; "
            "give features.window.gap_minutes, or choose backtest=single"
        )
    _check_events_once(dataset.events)
    windows, profile = extractor.transform(
        dataset.events, Profile(watermark=until), open_windows=until is None
    )
    events = extractor.assign(dataset.events)
    reach = events.group_by(WINDOW_ID).agg(
        pl.col(PERIOD).min().alias("first"), pl.col(PERIOD).max().alias("last")
    )
    first, last = _in_order(windows, reach).select("first", "last")
    has_gap = dataset.fold is not None and dataset.fold.has_gap
    rows = {
        TRAIN: (last == TRAIN) & (windows.keys["start"] >= dataset.learnt_from),
        CALIBRATION: last == CALIBRATION,
        TEST: (last == TEST) & ((first == TEST) if has_gap else True),
    }
    parts = {name: windows.take(chosen.to_numpy()) for name, chosen in rows.items()}
    for name, part in parts.items():
        if not len(part):
            setting = "data.split" if dataset.fold is None else "backtest"
            raise DataError(
                f"the {name} period holds no whole window: the log is too short for its windows "
                f"and {setting}; give a longer log or shorter windows (features=session)"
            )
    truth = incidents = background = None
    if dataset.truth is not None:
        truth = _window_truth(parts[TEST], events, dataset.truth)
        incidents = _incidents(events, dataset.truth)
        background = {
            name: int(_window_truth(parts[name], events, dataset.truth)["label"].sum())
            for name in (TRAIN, CALIBRATION)
        }
    return PreparedWindows(
        parts[TRAIN],
        parts[CALIBRATION],
        parts[TEST],
        truth,
        dataset.normal_weight,
        profile,
        incidents,
        windows.take(last.is_in([CALIBRATION, GAP]).to_numpy()) if has_gap else None,
        background,
        dataset.over_time,
    )


def _check_events_once(events: pl.DataFrame) -> None:
    """Refuse a log that holds an event twice: it may be on both sides of a cut."""
    ids = events["event_id"]
    if ids.n_unique() == len(ids):
        return
    twice = events.filter(pl.col("event_id").is_duplicated()).sort("event_id")
    periods = twice.filter(pl.col("event_id") == twice["event_id"][0])[PERIOD].to_list()
    raise DataError(
        f"event '{shown(twice['event_id'][0])}' is in the log {len(periods)} times (periods: "
        f"{', '.join(map(str, periods))}): give every event an id of its own, or take copies out"
    )


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
