"""What `riskml drift --json` has said, as far as a report tells it (docs/drift.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskml.core.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True)
class Quantity:
    """One quantity in the last period that was judged.

    Args:
        name: of it.
        psi: how far its shares have moved.
        drifts: whether that is more than chance.
    """

    name: str
    psi: float
    drifts: bool


@dataclass(frozen=True)
class DriftFile:
    """What was found.

    Args:
        model_version: that was looked at.
        periods: how many were judged.
        wakes: quantities that somebody should look at, the furthest first.
        latest: of the last period, the furthest first.
    """

    model_version: str
    periods: int
    wakes: tuple[str, ...]
    latest: tuple[Quantity, ...]


def read_drift(path: Path) -> DriftFile:
    """Read it.

    Raises:
        ConfigError: no such file, or it is not what `riskml drift --json` writes.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ConfigError(f"--drift {path}: this riskml reads format {FORMAT}")
        periods = found["periods"]
        latest = [
            Quantity(str(each["quantity"]), float(each["psi"]), bool(each["drifts"]))
            for each in found["latest"]
        ]
        return DriftFile(
            str(found["model_version"]),
            periods if isinstance(periods, int) else len(periods),
            tuple(_name(each) for each in found["wakes"]),
            tuple(sorted(latest, key=lambda each: -each.psi)),
        )
    except OSError as error:
        raise ConfigError(f"--drift {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        told = f"it is not what `riskml drift --json` writes ({type(error).__name__}: {error})"
        raise ConfigError(f"--drift {path}: {told}") from error


def _name(waking: Any) -> str:
    return str(waking["quantity"]) if isinstance(waking, dict) else str(waking)
