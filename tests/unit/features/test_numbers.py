"""Numbers that the log brings itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from event_tables import ZERO, random_log, same_windows, table

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import FeatureKind
from riskml.features.extractor import FeatureExtractor
from riskml.features.numbers import NumberFeatures
from riskml.features.profile import Profile
from riskml.features.windows import UserDayWindows


def made(*columns: str, combine: str = "mean", **kinds: str) -> FeatureExtractor:
    family = NumberFeatures(columns, combine, kinds)
    return FeatureExtractor(UserDayWindows(), {"numbers": family})


def log() -> pl.DataFrame:
    """Two days of ann, the second without a size; one of bob."""
    times = [ZERO + timedelta(hours=h) for h in (8, 9, 10, 32, 34)]
    return table(
        ["ann", "ann", "bob", "ann", "bob"],
        times,
        size=[1.0, 4.0, 7.5, None, 2.0],
        tries=[0, 3, 1, 2, 9],
        flag=[1, 0, 1, 1, 0],
        note=["a", "b", "c", "d", "e"],
    )


@pytest.mark.parametrize(
    ("combine", "expected"),
    [("mean", [2.5, 7.5, 0, 2]), ("sum", [5, 7.5, 0, 2]), ("max", [4, 7.5, 0, 2])],
)
def test_combined_over_the_events_of_a_window(combine: str, expected: list[float]) -> None:
    windows = made("size", combine=combine).fit(log()).windows(log())
    assert windows.keys["user_id"].to_list() == ["ann", "bob", "ann", "bob"]
    assert windows.x[:, 0].tolist() == expected
    (feature,) = windows.spec.features
    assert (feature.name, feature.meaning) == ("number_size", f"{combine} of 'size'")


def test_a_pattern_is_what_it_fits_in_training() -> None:
    extractor = made("*").fit(log())
    later = log().with_columns(more=pl.lit(1.0))
    names = ["number_size", "number_tries", "number_flag"]
    assert extractor.windows(later).spec.names == names
    with pytest.raises(DataError, match=r"no column 'flag' .*numbers"):
        extractor.windows(log().drop("flag"))


def test_kinds_are_inferred_or_given() -> None:
    events = random_log(days=20).with_columns(n=pl.int_range(pl.len()) % 7)
    events = events.with_columns(flag=(pl.col("n") > 5).cast(pl.Int8), size=pl.col("n") / 3)
    spec = made("n", "flag", "size", combine="max", size="count").fit(events).spec
    kinds = [FeatureKind.CONTINUOUS, FeatureKind.BINARY, FeatureKind.COUNT]
    assert [feature.kind for feature in spec.features] == kinds
    binary = made("flag", flag="binary").fit(events).windows(events).x
    assert set(np.unique(binary)) <= {0.0, 1.0}


def test_day_by_day_is_as_at_once(tmp_path: Path) -> None:
    events = random_log(days=6).with_columns(size=pl.int_range(pl.len()).cast(pl.Float64).sqrt())
    extractor = made("size", combine="sum").fit(events)
    whole = extractor.windows(events)
    extractor.save(tmp_path)
    loaded, profile, parts = FeatureExtractor.load(tmp_path), Profile(), []
    for _, day in events.group_by(pl.col("timestamp").dt.date(), maintain_order=True):
        windows, profile = loaded.transform(day, profile)
        parts.append(windows)
    windows, _ = loaded.transform(events.clear(), profile, open_windows=True)
    parts.append(windows)
    x = dict(zip(whole.keys["window_id"], whole.x[:, 0].tolist(), strict=True))
    found = {
        name: value
        for part in parts
        for name, value in zip(part.keys["window_id"], part.x[:, 0].tolist(), strict=True)
    }
    assert found == x
    same_windows(loaded.windows(events), whole)


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(
        DataError, match="'note' holds what is no finite number, first in event 'e0'"
    ):
        made("note").fit(log())
    with pytest.raises(DataError, match=r"'size' holds .* event 'e2'"):
        infinite = pl.when(pl.col("size") > 5).then(float("inf")).otherwise("size")
        made("size").fit(log().with_columns(size=infinite))
    with pytest.raises(DataError, match=r"no column 'bytes' .*numbers"):
        made("bytes").fit(log())
    with pytest.raises(DataError, match="fits no column of the log that holds numbers"):
        made("byte*").fit(log())


def test_numbers_as_text_are_read() -> None:
    events = log().with_columns(pl.col("size").cast(pl.String))
    assert made("size").fit(events).windows(events).x[:, 0].tolist() == [2.5, 7.5, 0, 2]


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match=r"numbers.combine=median must be of \['mean'"):
        NumberFeatures(("size",), "median")
    with pytest.raises(ConfigError, match=r"numbers.kinds.size=cyclic must be count, binary"):
        NumberFeatures(("size",), kinds={"size": "cyclic"})
