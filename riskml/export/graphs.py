"""The one place that knows in which forms a detector leaves: what is written, how it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

from riskml.core.errors import BundleError, did_you_mean
from riskml.core.types import FloatArray, Windows
from riskml.export.native import load_native, save_native
from riskml.export.onnx import OnnxGraph, save_onnx
from riskml.export.torchscript import TorchScriptGraph
from riskml.models.base import Detector

TORCHSCRIPT, ONNX, NATIVE = "torchscript", "onnx", "native"


class Graph(Protocol):
    """What scores windows in a bundle."""

    @property
    def remembers(self) -> bool:
        """Whether a score depends on the windows of the same user before it."""
        ...

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores; higher is riskier."""
        ...

    def after(self, past: Windows) -> Self:
        """The same once it has learnt from closed windows; itself where it does not remember."""
        ...


def save_graph(detector: Detector, folder: Path, onnx: bool = False) -> dict[str, Any]:
    """Write what scores.

    Args:
        detector: fitted.
        folder: of the bundle.
        onnx: also write the graph for ONNX Runtime, where there is a graph.

    Returns:
        What the manifest says of it: its form, by which runtimes it can be run, and of a graph
        what its contributions are about (null: the window's actions).

    Raises:
        BundleError: the detector cannot be exported.
    """
    if not detector.has_graph:
        save_native(detector, folder)
        return {"format": NATIVE, "runtimes": [NATIVE]}
    TorchScriptGraph.of(detector).save(folder)
    if onnx:
        save_onnx(detector, folder)
    runtimes = [TORCHSCRIPT, *([ONNX] if onnx else [])]
    return {"format": TORCHSCRIPT, "runtimes": runtimes, "topics": detector.topics()}


def load_graph(folder: Path, manifest: dict[str, Any], runtime: str | None = None) -> Graph:
    """Read what scores, from files that have been checked.

    Args:
        folder: of the bundle.
        manifest: of the bundle; without a word on its graph it is from before there was a choice.
        runtime: None for the first that the manifest names.

    Raises:
        BundleError: the bundle cannot be run so.
    """
    graph = manifest.get("graph", {"format": TORCHSCRIPT, "runtimes": [TORCHSCRIPT]})
    runtime = runtime or str(graph["runtimes"][0])
    if runtime not in graph["runtimes"]:
        valid = did_you_mean(runtime, graph["runtimes"])
        raise BundleError(f"{folder} cannot be run by '{runtime}': {valid}")
    if runtime == NATIVE:
        return load_native(folder)
    return OnnxGraph.load(folder) if runtime == ONNX else TorchScriptGraph.load(folder)
