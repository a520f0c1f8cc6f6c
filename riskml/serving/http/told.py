"""What the service tells of its model."""

from __future__ import annotations

from typing import Any

from riskml.export.contract import input_schema
from riskml.export.seal import SIGNATURE
from riskml.serving.http.model import Model

TOLD = ("detector", "data", "train_from", "train_until", "created", "versions", "git_commit")
"""Of the manifest, where it has them."""


def about_model(model: Model) -> dict[str, Any]:
    """Which model it is, for people and for records."""
    bundle = model.bundle
    manifest = bundle.manifest
    return {
        "model_version": model.version,
        **{name: manifest[name] for name in TOLD if manifest.get(name) is not None},
        "format": manifest["format"],
        "graph": manifest.get("graph", {}).get("format", "torchscript"),
        "signed": SIGNATURE in manifest,
        "loaded": model.loaded.isoformat(timespec="seconds"),
        "features": len(model.spec),
        "alerting": bundle.alerting.kind,
        "threshold": bundle.threshold,
        "remembers": bundle.graph.remembers,
    }


def about_schema(model: Model) -> dict[str, Any]:
    """What the model reads: the schema of events, and the features of windows."""
    spec = model.spec
    features = [
        {
            "name": feature.name,
            "family": feature.family,
            "kind": str(feature.kind),
            "unit": feature.unit,
            "meaning": feature.meaning,
        }
        for feature in spec.features
    ]
    return {
        "model_version": model.version,
        "events": input_schema(model.bundle.extractor),
        "windows": {
            "features": features,
            "actions": list(spec.actions[2:]),
            "max_actions": model.bundle.extractor.max_tokens,
            "event_times": spec.event_times,
        },
    }
