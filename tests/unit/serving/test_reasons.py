"""Reasons from a bundle alone are those of the detector that it was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from riskml.export.bundle import load_bundle
from riskml.serving.reasons import as_json, reasons

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"


def test_a_bundle_from_before_topics_were_told_has_them_by_their_number() -> None:
    bundle = load_bundle(OLD / "bundle")
    events = pl.read_parquet(OLD / "events.parquet")
    windows, _ = bundle.extractor.transform(events, bundle.profile, open_windows=True)
    rows = np.array([1, 5], np.int64)
    found = reasons(bundle, windows, rows, top=3)
    assert [0 < len(each) <= 4 for each in found] == [True, True]
    graph: Any = bundle.graph
    topics = [*(f.topic for f in windows.spec.features), "combination"]
    manifest = {**bundle.manifest, "graph": {"topics": topics}}
    assert reasons(replace(bundle, manifest=manifest), windows, rows, top=3) == found
    whole = graph.score(windows.take(rows))
    shares = graph.contributions(windows.take(rows))
    np.testing.assert_allclose(shares.sum(1), whole, rtol=1e-4)
    told = json.loads(as_json(found[0]))
    assert set(told[0]) == {"topic", "share", "text"} and told[0]["text"]


def test_no_rows_no_reasons() -> None:
    bundle = load_bundle(OLD / "bundle")
    events = pl.read_parquet(OLD / "events.parquet")
    windows, _ = bundle.extractor.transform(events, bundle.profile)
    assert reasons(bundle, windows, np.zeros(0, np.int64)) == []
