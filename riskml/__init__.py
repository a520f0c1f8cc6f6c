"""riskml: find risky user behaviour in audit and login logs."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from riskml.baselines.pyod import PyODDetector
    from riskml.core.types import Windows
    from riskml.export.bundle import Bundle
    from riskml.models.autoencoder import AutoencoderDetector
    from riskml.models.base import Detector, load_detector
    from riskml.models.deep import TrainingSettings
    from riskml.models.lstm_ae import LSTMAutoencoderDetector
    from riskml.models.vae import VAEDetector

try:
    __version__ = version("riskml")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

# Imported on first use: torch takes seconds, which neither --help nor a data job should pay.
_HOMES = {
    "AutoencoderDetector": "riskml.models.autoencoder",
    "ContrastiveDetector": "riskml.models.contrastive",
    "CountsDetector": "riskml.models.counts",
    "Detector": "riskml.models.base",
    "EdgeStream": "riskml.baselines.edge_streams",
    "HalfSpaceTreesDetector": "riskml.baselines.online",
    "LSTMAutoencoderDetector": "riskml.models.lstm_ae",
    "MidasDetector": "riskml.baselines.midas",
    "NeighboursDetector": "riskml.models.neighbours",
    "PointStream": "riskml.baselines.streams",
    "PyODDetector": "riskml.baselines.pyod",
    "RRCFDetector": "riskml.baselines.online",
    "SequenceDetector": "riskml.models.sequence",
    "TrainingSettings": "riskml.models.deep",
    "TransformerDetector": "riskml.models.transformer",
    "VAEDetector": "riskml.models.vae",
    "Windows": "riskml.core.types",
    "load_detector": "riskml.models.base",
}

__all__ = [
    "AutoencoderDetector",
    "ContrastiveDetector",
    "CountsDetector",
    "Detector",
    "EdgeStream",
    "HalfSpaceTreesDetector",
    "LSTMAutoencoderDetector",
    "MidasDetector",
    "NeighboursDetector",
    "PointStream",
    "PyODDetector",
    "RRCFDetector",
    "SequenceDetector",
    "TrainingSettings",
    "TransformerDetector",
    "VAEDetector",
    "Windows",
    "__version__",
    "load",
    "load_detector",
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
        raise AttributeError(f"module 'riskml' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
