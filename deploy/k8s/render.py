"""Write the plain manifest that the Helm chart makes of its own values: `make manifest`.

For whoever has kubectl and no Helm. Both are one source, so they cannot drift apart.
"""

from __future__ import annotations

from pathlib import Path

import helm_python

HERE = Path(__file__).parent
CHART = HERE.parent / "helm" / "riskml"
MANIFEST = HERE / "k8s_anomaly_manifest.yaml"
HEAD = """\
# Made by `make manifest` from deploy/helm/riskml: change it there, or a copy of this file.
# Put in your secrets and addresses (*.example, CHANGE-ME), then:
#   kubectl apply -n riskml -f k8s_anomaly_manifest.yaml
# docs/deployment.md explains what is here and what to put on the volume with bundles.
"""


def manifest() -> str:
    """All objects of the chart but its tests, settings first."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(name="riskml", namespace="riskml")
    parts = {Path(name).relative_to("riskml/templates"): text for name, text in rendered.items()}
    objects = [
        parts[name].strip()
        for name in sorted(parts, key=lambda each: (each.name != "config.yaml", each.name))
        if name.suffix == ".yaml" and name.parent == Path(".")
    ]
    return HEAD + "".join(f"---\n{text}\n" for text in objects if text)


if __name__ == "__main__":
    MANIFEST.write_text(manifest(), encoding="utf-8")
