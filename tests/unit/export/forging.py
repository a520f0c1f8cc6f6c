"""What somebody can do to a bundle who can write its files, and its manifest too."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from riskml.export.manifest import MANIFEST, describe
from riskml.export.seal import SEAL, SIGNATURE, rendered, sealed

FILES = (
    "calibration.json",
    "features.json",
    "features.safetensors",
    "input.schema.json",
    "model.ts",
    "output.schema.json",
    "profile.json",
    "profile.names.parquet",
    "profile.users.parquet",
    "threshold.json",
    "users.json",
    "usual.parquet",
    "usual.safetensors",
)
"""Of a bundle with a TorchScript graph, beside its manifest."""


def forge(
    folder: Path,
    change: Callable[[dict[str, Any]], object] = lambda manifest: None,
    signature: str | None = None,
) -> None:
    """Make the manifest fit the files as they are now, change it, and seal it anew.

    Args:
        folder: of the bundle.
        change: of what the manifest says.
        signature: to put under it.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, entry in manifest["files"].items():
        if (folder / name).is_file():
            entry.update(describe(folder / name))
    change(manifest)
    made = sealed(manifest)
    if signature is not None:
        del made[SEAL]
        made[SIGNATURE] = signature
        made[SEAL] = sha256(rendered(made).encode()).hexdigest()
    (folder / MANIFEST).write_text(rendered(made))
