"""From a report to a bundle."""

from __future__ import annotations

from pathlib import Path

from riskml.core.errors import DataError
from riskml.evaluation.comparison import Comparison
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.reporting.model_card import model_card
from riskml.export.bundle import export_bundle
from riskml.export.leaving import after_closed, check_parity
from riskml.interactive.windows import LogWindows
from riskml.models.base import Detector
from riskml.monitoring.drift_reference import FILE, DriftReference
from riskml.scoring.explain import Explainer


def write_bundle(
    folder: Path,
    comparison: Comparison,
    detector: Detector,
    evaluation: Evaluation,
    explainer: Explainer,
    windows: LogWindows,
) -> Path:
    """Write it as `train.py` does, knowing the whole log, and check that it scores the same.

    Raises:
        BundleError: the detector cannot be exported, or the bundle's scores differ.
    """
    prepared = windows.prepared
    profile = prepared.profile
    leaving = after_closed(detector, profile, (prepared.before_test, prepared.test))
    export_bundle(
        folder,
        leaving,
        windows.extractor,
        evaluation.calibration,
        evaluation.threshold,
        explainer,
        profile,
        comparison.origin(prepared),
        evaluation.alerting,
        model_card(comparison, prepared.train, {}),
        further=_drift(detector, windows),
    )
    check_parity(folder, leaving, prepared.test)
    return folder


def _drift(detector: Detector, windows: LogWindows) -> dict[str, str]:
    """What `riskml drift` holds later windows to; none where they are too few."""
    scored = windows.calibration
    try:
        reference = DriftReference.of([windows.train, scored], scored, detector.score(scored))
    except DataError:
        return {}
    return {FILE: reference.text()}
