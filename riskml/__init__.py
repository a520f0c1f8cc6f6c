"""riskml: find risky user behaviour in audit and login logs; see docs/python.md."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from riskml.baselines.edge_streams import EdgeStream
    from riskml.baselines.midas import MidasDetector
    from riskml.baselines.online import HalfSpaceTreesDetector, RRCFDetector
    from riskml.baselines.pyod import PyODDetector
    from riskml.baselines.streams import PointStream
    from riskml.core.types import Windows
    from riskml.export.bundle import Bundle
    from riskml.interactive.alerts import Alert, Alerts
    from riskml.interactive.detector_check import check_detector
    from riskml.interactive.logs import Log, read_log, simulate
    from riskml.interactive.report import Report, evaluate
    from riskml.interactive.windows import LogWindows, extract
    from riskml.models.autoencoder import AutoencoderDetector
    from riskml.models.base import Detector, load_detector
    from riskml.models.contrastive import ContrastiveDetector
    from riskml.models.counts import CountsDetector
    from riskml.models.lstm_ae import LSTMAutoencoderDetector
    from riskml.models.neighbours import NeighboursDetector
    from riskml.models.sequence import SequenceDetector
    from riskml.models.training import TrainingSettings
    from riskml.models.transformer import TransformerDetector
    from riskml.models.vae import VAEDetector
    from riskml.wrappers.ensemble import EnsembleDetector
    from riskml.wrappers.persistence import PersistenceDetector

try:
    __version__ = version("riskml")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

# Imported on first use: torch takes seconds, which neither --help nor a data job should pay.
_HOMES = {
    "Alert": "riskml.interactive.alerts",
    "Alerts": "riskml.interactive.alerts",
    "AutoencoderDetector": "riskml.models.autoencoder",
    "Bundle": "riskml.export.bundle",
    "ContrastiveDetector": "riskml.models.contrastive",
    "CountsDetector": "riskml.models.counts",
    "Detector": "riskml.models.base",
    "EdgeStream": "riskml.baselines.edge_streams",
    "EnsembleDetector": "riskml.wrappers.ensemble",
    "HalfSpaceTreesDetector": "riskml.baselines.online",
    "LSTMAutoencoderDetector": "riskml.models.lstm_ae",
    "Log": "riskml.interactive.logs",
    "LogWindows": "riskml.interactive.windows",
    "MidasDetector": "riskml.baselines.midas",
    "NeighboursDetector": "riskml.models.neighbours",
    "PersistenceDetector": "riskml.wrappers.persistence",
    "PointStream": "riskml.baselines.streams",
    "PyODDetector": "riskml.baselines.pyod",
    "RRCFDetector": "riskml.baselines.online",
    "Report": "riskml.interactive.report",
    "SequenceDetector": "riskml.models.sequence",
    "TrainingSettings": "riskml.models.training",
    "TransformerDetector": "riskml.models.transformer",
    "VAEDetector": "riskml.models.vae",
    "Windows": "riskml.core.types",
    "check_detector": "riskml.interactive.detector_check",
    "evaluate": "riskml.interactive.report",
    "extract": "riskml.interactive.windows",
    "load_detector": "riskml.models.base",
    "read_log": "riskml.interactive.logs",
    "simulate": "riskml.interactive.logs",
}

__all__ = [
    "Alert",
    "Alerts",
    "AutoencoderDetector",
    "Bundle",
    "ContrastiveDetector",
    "CountsDetector",
    "Detector",
    "EdgeStream",
    "EnsembleDetector",
    "HalfSpaceTreesDetector",
    "LSTMAutoencoderDetector",
    "Log",
    "LogWindows",
    "MidasDetector",
    "NeighboursDetector",
    "PersistenceDetector",
    "PointStream",
    "PyODDetector",
    "RRCFDetector",
    "Report",
    "SequenceDetector",
    "TrainingSettings",
    "TransformerDetector",
    "VAEDetector",
    "Windows",
    "__version__",
    "check_detector",
    "evaluate",
    "extract",
    "load",
    "load_detector",
    "read_log",
    "simulate",
]


def load(bundle: Path | str, runtime: str | None = None) -> Bundle:
    """Load an exported bundle, which scores raw events: `riskml.load(folder).score(events)`.

    Args:
        bundle: folder, or `models:/NAME@alias` or `models:/NAME/VERSION` in MLflow's model registry
            (docs/registry.md); every file is checked before it is read.
        runtime: what runs the graph (`torchscript`, `onnx`, `native`), where there is a choice.

    Raises:
        BundleError: a file is missing, changed or not what it seems, or there is no such runtime.
        ConfigError: the registry has no such model, or MLflow is not installed.
    """
    if isinstance(bundle, str) and bundle.startswith("models:/"):
        from riskml.export.registry import Registry

        return Registry().load(bundle, runtime)
    from riskml.export.bundle import load_bundle

    return load_bundle(bundle, runtime)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        # with `obj` Python tells the nearest name
        raise AttributeError(
            f"module 'riskml' has no attribute '{name}'", name=name, obj=sys.modules[__name__]
        )
    try:
        value = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "riskml").startswith("riskml"):
            raise
        remedy = f"riskml.{name} needs {error.name}: pip install 'riskml[train]'"
        raise ModuleNotFoundError(remedy, name=error.name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
