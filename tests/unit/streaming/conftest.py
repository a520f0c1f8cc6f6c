"""Bundles and a log for streams."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from streams import OLD, people

from riskml.export.bundle import Bundle, export_bundle, load_bundle
from riskml.features.extractor import FAMILIES, FeatureExtractor
from riskml.features.profile import Profile
from riskml.features.windows import UserDayWindows
from riskml.models.neighbours import NeighboursDetector
from riskml.models.sequence import SequenceDetector
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """A VAE over sessions, with a budget that follows the scores, that knows nobody yet."""
    return replace(load_bundle(OLD / "bundle"), profile=Profile())


@pytest.fixture(scope="session")
def remembering(
    bundle: Bundle, log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A detector that goes on learning."""
    windows = bundle.extractor.windows(log)
    detector = SequenceDetector().fit(windows.take(np.arange(len(windows)) < 30))
    scores = detector.score(windows)
    folder = export_bundle(
        tmp_path_factory.mktemp("remembering") / "bundle",
        detector,
        bundle.extractor,
        Calibration.fit(scores),
        float(np.quantile(scores, 0.9)),
        bundle.explainer,
        Profile(),
        {"detector": "sequence"},
    )
    return load_bundle(folder)


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """All families over days of users whose first weeks are known."""
    past = people(0, 15)
    families = {name: family() for name, family in FAMILIES.items()}
    extractor = FeatureExtractor(UserDayWindows(), families).fit(past)
    windows, profile = extractor.transform(past, Profile())
    detector = NeighboursDetector().fit(windows, windows)
    scores = detector.score(windows)
    folder = export_bundle(
        tmp_path_factory.mktemp("rich") / "bundle",
        detector,
        extractor,
        Calibration.fit(scores),
        float(np.quantile(scores, 0.6)),
        Explainer.fit(windows, extractor.vocabulary.counts),
        profile,
        {"detector": "neighbours"},
    )
    return load_bundle(folder)


@pytest.fixture(scope="session")
def log() -> pl.DataFrame:
    """Sessions of three users over twelve days, in order of time and id."""
    events = pl.read_parquet(OLD / "events.parquet").sort("timestamp", "event_id")
    first = events["timestamp"][0]
    return events.filter(pl.col("timestamp") < first + timedelta(days=12))
