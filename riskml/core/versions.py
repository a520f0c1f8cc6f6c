"""Versions and code that a number can depend on."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "riskml",
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
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of riskml's own source tree, with a `+` where it was changed since; None: no tree.

    An installed package has none, even where its folder lies inside of somebody's repository.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + "+" if _git(root, "status", "--porcelain", "--", "riskml") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603  words of our own
        ["git", "-C", str(root), *words],  # noqa: S607  whichever git is found
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()
