"""The same log has the same fingerprint, another one another."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from riskml.data.datasets import Dataset
from riskml.data.splits import PERIOD, TimeSplit


def dataset() -> Dataset:
    start = pl.datetime(2024, 3, 1, time_zone="UTC")
    events = pl.select(pl.int_range(500).alias("n")).select(
        pl.format("e{}", "n").alias("event_id"),
        pl.format("u{}", pl.col("n") % 7).alias("user_id"),
        (start + pl.duration(hours="n")).cast(pl.Datetime("us", "UTC")).alias("timestamp"),
        pl.lit("login").alias("action"),
    )
    truth = pl.DataFrame({"event_id": ["e490"], "label": pl.Series([1], dtype=pl.Int8)})
    return Dataset(TimeSplit().assign(events), truth, pl.DataFrame())


def test_only_what_the_log_says_counts() -> None:
    first = dataset()
    assert len(first.fingerprint) == 64
    assert dataset().fingerprint == first.fingerprint
    other_split = TimeSplit(test=0.2).assign(first.events.drop(PERIOD))
    assert replace(first, events=other_split).fingerprint == first.fingerprint
    turned = first.events.select(reversed(first.events.columns))
    assert replace(first, events=turned).fingerprint == first.fingerprint


def test_one_changed_value_shows() -> None:
    first = dataset()
    action = pl.when(pl.col("event_id") == "e250").then(pl.lit("logout")).otherwise("action")
    changed = first.events.with_columns(action.alias("action"))
    assert replace(first, events=changed).fingerprint != first.fingerprint
    assert replace(first, truth=None).fingerprint != first.fingerprint
    relabelled = pl.DataFrame({"event_id": ["e490"], "label": pl.Series([0], dtype=pl.Int8)})
    assert replace(first, truth=relabelled).fingerprint != first.fingerprint
