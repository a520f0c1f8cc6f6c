"""Bundles, a log, and a job over them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scored_log import AFTER_ALL, OLD, Run

from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import Bundle, change_threshold, export_bundle, load_bundle
from riskml.features.profile import Profile
from riskml.models.sequence import SequenceDetector
from riskml.scoring.calibration import Calibration
from riskml.serving.events import open_source
from riskml.serving.job import JobSettings, ScoreJob, open_store
from riskml.serving.summary import Summary


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """A VAE with a budget that follows the scores."""
    return load_bundle(OLD / "bundle")


@pytest.fixture
def other_folder(tmp_path: Path) -> Path:
    """The same model with another threshold."""
    folder = Path(shutil.copytree(OLD / "bundle", tmp_path / "other"))
    change_threshold(folder, 15.0)
    return folder


@pytest.fixture(scope="session")
def remembering(bundle: Bundle, log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle of a detector that goes on learning."""
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
def log() -> pl.DataFrame:
    """Thirty days of sessions, in order of time and id."""
    return pl.read_parquet(OLD / "events.parquet").sort("timestamp", "event_id")


@pytest.fixture
def files(log: pl.DataFrame, tmp_path: Path) -> Path:
    """The log, a file a day."""
    folder = tmp_path / "log"
    folder.mkdir()
    for (day,), events in log.group_by(pl.col("timestamp").dt.date(), maintain_order=True):
        events.write_parquet(folder / f"{day}.parquet")
    return folder


@pytest.fixture
def run(bundle: Bundle, files: Path, tmp_path: Path) -> Run:
    """A run of the job over the files, from the bundle, into a folder; any part may be another."""

    def go(
        settings: JobSettings = AFTER_ALL,
        source: Path | str = files,
        out: Path | str = tmp_path / "scores",
        bundle: Bundle = bundle,
        role: str = "champion",
        **changes: Any,
    ) -> Summary:
        events = open_source(str(source), "events", EventMapping(), settings.batch_events)
        settings = replace(settings, **changes)
        return ScoreJob(bundle, events, open_store(str(out)), settings, role).run()

    return go
