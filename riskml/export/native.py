"""Detectors without a graph leave as they save themselves: JSON and arrays, memory included."""

from __future__ import annotations

from pathlib import Path

from riskml.core.errors import BundleError
from riskml.core.targets import ALLOWED
from riskml.export.scripted import ScriptedDetector
from riskml.models.base import Detector, dotted, load_detector

FOLDER = "detector"


def save_native(detector: Detector, folder: Path) -> None:
    """Write the detector, networks inside of it as graphs, so that nothing of Lightning goes along.

    PyOD's models can only be pickled; they go as settings and train windows and are fitted again.

    Raises:
        BundleError: it could not be loaded again, since it is no detector of riskml's list.
    """
    if dotted(type(detector)) not in ALLOWED:
        raise BundleError(
            f"{dotted(type(detector))} cannot be exported: a bundle loads only what stands in "
            "riskml/core/targets.py, see docs/adding-a-detector.md"
        )
    as_graphs(detector).save(folder / FOLDER)


def load_native(folder: Path) -> Detector:
    """Read what `save_native` wrote, from files that have been checked.

    Raises:
        BundleError: damaged, of an unknown kind, or what it is made with is not installed.
    """
    return load_detector(folder / FOLDER)


def as_graphs(detector: Detector) -> Detector:
    """The same with graphs in place of networks, however deep inside."""
    if detector.has_graph:
        return ScriptedDetector.of(detector)
    return detector.with_parts(as_graphs)
