"""What a chart or a manifest holds, and what of it refers to what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "riskml"
MANIFEST = ROOT / "deploy" / "k8s" / "k8s_anomaly_manifest.yaml"

Thing = dict[str, Any]


def rendered(values: Thing | None = None) -> list[Thing]:
    """All objects of the chart, its test included."""
    with helm_python.Chart.load(CHART) as chart:
        parts = chart.render(values, name="riskml", namespace="riskml")
    texts = [text for name, text in sorted(parts.items()) if name.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def of_kind(objects: list[Thing], *kinds: str) -> list[Thing]:
    return [found for found in objects if found["kind"] in kinds]


def pod_specs(objects: list[Thing]) -> Iterator[tuple[str, Thing, Thing]]:
    """Name of the object, labels of its pods, and their spec."""
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "Pod":
            yield found["metadata"]["name"], found["metadata"]["labels"], spec
            continue
        if found["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            pod = spec["template"]
            yield found["metadata"]["name"], pod["metadata"]["labels"], pod["spec"]


def containers(pod: Thing) -> list[Thing]:
    return [*pod.get("initContainers", []), *pod["containers"]]
