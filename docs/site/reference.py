"""Writes docs/reference/: settings, commands and Python, each from what it tells of."""

from __future__ import annotations

from pathlib import Path

import reference_commands as commands
import reference_python as python
import reference_settings as settings

RESULTS = """\
# Results

The tables behind every figure, each with the command that makes it again (`make experiments`).

:::{toctree}
:glob:
:maxdepth: 1

/experiments/README
/experiments/*/*
/benchmarks/results/*
:::
"""


def write(root: Path) -> None:
    """Write all pages that are made; those that stay the same keep their time."""
    reference = root / "docs" / "reference"
    made = {
        "settings": settings.pages(root / "conf"),
        "commands": commands.pages(root / "conf"),
        "python": python.pages(),
    }
    texts = {reference / part / name: text for part in made for name, text in made[part].items()}
    texts[reference / "results.md"] = RESULTS
    for path in [path for path in reference.rglob("*") if path.is_file() and path not in texts]:
        path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
