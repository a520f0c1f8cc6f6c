"""Versions that a number can depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from riskml import __version__

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "numpy",
    "polars",
    "scipy",
    "scikit-learn",
    "pyod",
    "gensim",
    "mlflow",
)


def versions() -> dict[str, str]:
    """Of riskml, Python and what numbers depend on, by name; what is not installed is left out."""
    found = {"riskml": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
