"""Why a window scored as it did, from a bundle alone."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from riskml.core.types import Explanations, FloatArray, Int64Array, Reason, Windows
from riskml.export.bundle import Bundle
from riskml.export.torchscript import TorchScriptGraph
from riskml.models.base import Detector

REST = "combination"
"""Topic of what no single feature has; bundles from before manifests told the topics have it."""


def reasons(bundle: Bundle, windows: Windows, rows: Int64Array, top: int = 5) -> Explanations:
    """Reasons of some of the windows that the bundle has scored, the weightiest first.

    From the exact shares of the score; where the graph has none, or runs where they cannot be had
    (ONNX Runtime), from the distance to the user's usual range.

    Args:
        bundle: as it was when it scored.
        windows: all that were scored together; what remembers judges each by those before it.
        rows: int64, which are asked for; few, since this writes sentences.
        top: reasons a window at most.
    """
    if not len(rows):
        return []
    chosen = windows.take(rows)
    shares, topics = _shares(bundle, windows, rows)
    return bundle.explainer.explain(chosen, shares, topics, top)


def as_json(found: Sequence[Reason]) -> str:
    """Reasons of one window as a JSON list of topic, share and text."""
    rows = [{"topic": r.topic, "share": round(r.share, 4), "text": r.text} for r in found]
    return json.dumps(rows, ensure_ascii=False)


def _shares(
    bundle: Bundle, windows: Windows, rows: Int64Array
) -> tuple[FloatArray, list[str] | None]:
    graph = bundle.graph
    if isinstance(graph, Detector):
        return graph.contributions_after(None, windows, rows), graph.topics()
    if not isinstance(graph, TorchScriptGraph):
        return _none(rows)
    shares = graph.contributions(windows.take(rows))
    described = bundle.manifest.get("graph", {})
    if "topics" in described:
        return shares, described["topics"]
    features = [feature.topic for feature in windows.spec.features]
    known = {len(features): features, len(features) + 1: [*features, REST]}
    return (shares, known[shares.shape[1]]) if shares.shape[1] in known else _none(rows)


def _none(rows: Int64Array) -> tuple[FloatArray, list[str]]:
    return np.zeros((len(rows), 0), np.float32), []
