"""A feature that is put far outside the usual is named among the first three reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from planted import Planted

from riskml.baselines.pyod import PyODDetector
from riskml.core.types import Windows
from riskml.models.attribution import split_rest
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.base import Detector
from riskml.models.deep import TrainingSettings
from riskml.models.neighbours import NeighboursDetector
from riskml.models.vae import VAEDetector
from riskml.scoring.explain import Explainer

pytestmark = pytest.mark.slow

SHORT = TrainingSettings(max_epochs=15, trim=0.0)
DETECTORS: dict[str, Callable[[], Detector]] = {
    "vae": lambda: VAEDetector(training=SHORT),
    "autoencoder": lambda: AutoencoderDetector(training=SHORT),
    "neighbours": NeighboursDetector,
    "isolation forest": lambda: PyODDetector("IForest"),
}
RAISED = {
    "events": 150.0,
    "failures": 12.0,
    "count:grant": 9.0,
    "count:export": 9.0,
    "night_events": 20.0,
    "night_share": 1.0,
    "rarest_hour": 5.0,
}


def raised(windows: Windows, topic: str, value: float) -> Windows:
    x = windows.x.copy()
    x[:, windows.spec.names.index(topic)] = value
    return replace(windows, x=x)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_raised_feature_is_among_the_first_three_reasons(name: str, planted: Planted) -> None:
    windows = planted.windows
    detector = DETECTORS[name]().fit(windows.train, windows.calibration)
    explainer = Explainer.fit(windows.train, planted.extractor.vocabulary.counts)
    limit = np.quantile(detector.score(windows.calibration), 0.95)
    normal = windows.test.take(np.flatnonzero(planted.labels == 0)[:20])
    normal = normal.take(detector.score(normal) < limit)
    caught, named = 0, 0
    for topic, value in RAISED.items():
        odd = raised(normal, topic, value)
        odd = odd.take(detector.score(odd) >= limit)
        exact = detector.contributions(odd)
        shares, topics = split_rest(detector, odd, exact, explainer.usual(odd))
        reasons = explainer.explain(odd, shares, topics, top=3)
        caught += len(odd)
        named += sum(topic in [reason.topic for reason in found] for found in reasons)
    assert caught >= 10
    assert named >= 0.9 * caught, f"{named} of {caught}"
