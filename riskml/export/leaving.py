"""What a detector learns before it leaves, and the check that its bundle scores as it does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from riskml.core.errors import BundleError
from riskml.core.types import Windows
from riskml.export.bundle import load_bundle
from riskml.features.profile import Profile
from riskml.models.base import Detector

PARITY = 1e-5
"""Largest difference between the bundle's scores and the detector's."""


def after_closed(detector: Detector, profile: Profile, parts: Iterable[Windows | None]) -> Detector:
    """The detector once it has learnt from windows that are closed; the bundle meets the others.

    Args:
        detector: fitted; one that does not remember stays as it is.
        profile: as it will be in the bundle.
        parts: windows since the train period, in order.
    """
    if detector.remembers:
        for part in filter(None, parts):
            detector = detector.after(part.take(~profile.still_open(part.keys).to_numpy()))
    return detector


def check_parity(folder: Path, detector: Detector, windows: Windows) -> float:
    """The largest difference between the scores of a bundle and of the detector that it is of.

    Raises:
        BundleError: it is more than `PARITY`.
    """
    again = load_bundle(folder).score_windows(windows)
    difference = float(np.abs(again - detector.score(windows)).max())
    if difference > PARITY:
        raise BundleError(
            f"the bundle's scores differ by up to {difference:.1e} from the detector's; "
            f"at most {PARITY:.0e} is allowed"
        )
    return difference
