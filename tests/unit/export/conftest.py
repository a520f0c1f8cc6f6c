"""A small exported detector and what it was made of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.core.types import Windows
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.export.bundle import export_bundle
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.features.profile import Profile
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import SessionWindows
from riskml.models.deep import TrainingSettings
from riskml.models.vae import VAEDetector
from riskml.scoring.explain import Explainer
from riskml.scoring.thresholds import AlertShare


def make_events(seed: int) -> pl.DataFrame:
    """Thirty short sessions of each of three users."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(30):
        for user in range(3):
            start = datetime(2024, 1, 1, 8 + user, tzinfo=UTC) + timedelta(days=session)
            for i in range(int(rng.integers(2, 9))):
                time = start + timedelta(minutes=3 * i)
                action = f"action_{user + rng.integers(3)}"
                rows.append((f"e{len(rows)}", f"user_{user}", time, action, "r", "pc", True))
    names = ["event_id", "user_id", "timestamp", "action", "resource", "source", "success"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )


@dataclass(frozen=True)
class Exported:
    """A bundle and its parts."""

    folder: Path
    detector: VAEDetector
    extractor: FeatureExtractor
    explainer: Explainer
    events: pl.DataFrame
    test: Windows
    evaluation: Evaluation

    def export(
        self, folder: Path, card: str | None = None, onnx: bool = False, **about: str
    ) -> Path:
        return export_bundle(
            folder,
            self.detector,
            self.extractor,
            self.evaluation.calibration,
            self.evaluation.threshold,
            self.explainer,
            Profile(),
            {"detector": "vae", **about},
            model_card=card,
            onnx=onnx,
        )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    train, events = make_events(0), make_events(1)
    families = {
        "volume": VolumeFeatures(),
        "time_of_day": TimeOfDayFeatures(),
        "action_embedding": ActionEmbeddingFeatures(dimensions=3, epochs=1),
    }
    extractor = FeatureExtractor(SessionWindows(), families).fit(train)
    windows, test = extractor.windows(train), extractor.windows(events)
    detector = VAEDetector((8,), 2, user_dim=2, training=TrainingSettings(max_epochs=3))
    detector.fit(windows)
    prepared = PreparedWindows(windows, windows, test, None)
    evaluation = evaluate_detector("vae", detector, prepared, AlertShare(0.1))
    explainer = Explainer.fit(windows, extractor.vocabulary.counts, 10)
    folder = tmp_path_factory.mktemp("export") / "bundle"
    made = Exported(folder, detector, extractor, explainer, events, test, evaluation)
    made.export(folder)
    return made


@pytest.fixture
def bundle_folder(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the bundle that may be damaged."""
    return Path(shutil.copytree(exported.folder, tmp_path / "bundle"))
