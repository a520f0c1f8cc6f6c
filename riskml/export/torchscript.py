"""The graph format, in one place so that it can be exchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector
from riskml.models.batches import in_batches, to_tensors

GRAPH_FILE = "model.ts"


def save_graph(detector: Detector, folder: Path) -> Path:
    """Script the detector's network (never trace it) and write it.

    Raises:
        BundleError: the detector has no graph.
    """
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream but is what the bundle's contract names
        warnings.simplefilter("ignore", DeprecationWarning)
        detector.graph().save(str(folder / GRAPH_FILE))
    return folder / GRAPH_FILE


def load_graph(path: Path) -> torch.jit.ScriptModule:
    """Read a graph whose hash has been checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        graph: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            str(path), map_location="cpu"
        )
    graph.eval()
    return graph


@torch.inference_mode()
def run_graph(
    graph: torch.jit.ScriptModule, windows: Windows, users: dict[str, int], batch_size: int = 4096
) -> FloatArray:
    """Float32 [n] scores of a graph."""
    if not len(windows):
        return np.zeros(0, np.float32)
    scores: FloatArray = in_batches(graph, to_tensors(windows, users), batch_size).numpy()
    return scores
