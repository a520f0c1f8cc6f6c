"""Events of a few users with habits of their own, and days on which one breaks with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import TimeSplit
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows, labels_of, prepare
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows

USERS, DAYS, TEST_DAYS, CALIBRATION_DAYS = 6, 60, 20, 10
RARE = ("delete", "grant", "export", "disable_log")
START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """Fitted features and windows by period; test windows are labelled."""

    events: pl.DataFrame
    extractor: FeatureExtractor
    windows: PreparedWindows

    @property
    def labels(self) -> np.ndarray:
        assert self.windows.test_truth is not None
        return labels_of(self.windows.test_truth)


def make_events(seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and labels. Odd days hold as many events as others, but rare actions at night."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for day in range(DAYS):
        odd_users = rng.choice(USERS, 1) if day > DAYS - TEST_DAYS else []
        for user in range(USERS):
            usual = [f"action_{(user + i) % USERS}" for i in range(3)]
            for i in range(int(rng.integers(8, 16))):
                odd = user in odd_users and i % 3 > 0
                rare = odd or rng.random() < 0.02
                hour = rng.uniform(0, 5) if odd else 8 + user / 2 + rng.uniform(0, 7)
                name = f"e{len(rows)}"
                time = START + timedelta(days=day, hours=float(hour))
                action = str(rng.choice(RARE if rare else usual))
                resource = f"new{i}" if odd else f"r{user}_{rng.integers(3)}"
                rows.append((name, f"user_{user}", time, action, resource, "pc", not odd))
                labels.append((name, int(odd)))
    names = ["event_id", "user_id", "timestamp", "action", "resource", "source", "success"]
    events = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    truth = pl.DataFrame(labels, schema={"event_id": pl.String, "label": pl.Int8}, orient="row")
    return events.sort("timestamp"), truth


def make_extractor() -> FeatureExtractor:
    """User-days with all families."""
    families = {
        "volume": VolumeFeatures(),
        "time_of_day": TimeOfDayFeatures(),
        "action_embedding": ActionEmbeddingFeatures(dimensions=4, epochs=2),
    }
    return FeatureExtractor(UserDayWindows(), families, event_times=True)


def plant(seed: int = 0) -> Planted:
    """The whole way from events to windows by period."""
    events, truth = make_events(seed)
    dataset = Dataset(TimeSplit(TEST_DAYS, CALIBRATION_DAYS).assign(events), truth, pl.DataFrame())
    extractor = make_extractor().fit(dataset.train_events)
    return Planted(events, extractor, prepare(dataset, extractor))


def alone(windows: Windows, row: int) -> Windows:
    return windows.take(np.array([row]))
