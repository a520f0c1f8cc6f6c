"""The units of a backtest, and what its folder must have been begun with for its parts to count."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from riskml import __version__
from riskml.core.errors import ConfigError, require
from riskml.core.replacing import replace_text
from riskml.evaluation.backtesting.parts import DRAFT
from riskml.evaluation.backtesting.units import Job, Make, Unit, check_name
from riskml.models.base import Detector

PLAN = "plan.json"


def units_of(
    detectors: Mapping[str, Make | Detector], folds: int, seeds: Sequence[int], fitted_fits: bool
) -> list[Unit]:
    """All units, those of a fold one after the other, the detector in focus first."""
    require("detectors", list(detectors), len(detectors) > 0, "must name at least one")
    fits = len(seeds) > 0 and len(set(seeds)) == len(seeds) and min(seeds) >= 0
    require("seeds", list(seeds), fits, "must be different numbers of 0 or more")
    own_seeds: dict[str, Sequence[int]] = {}
    for name, given in detectors.items():
        check_name(name)
        if isinstance(given, Detector):
            if not fitted_fits:
                raise ConfigError(
                    f"{name} comes fitted, and folds fit detectors anew: give a function that "
                    "makes it, or choose the single split"
                )
            own_seeds[name] = seeds[:1]
        else:
            own_seeds[name] = seeds if given(seeds[0]).has_chance else seeds[:1]
    return [
        Unit(fold, place, name, seed)
        for fold in range(folds)
        for place, name in enumerate(detectors)
        for seed in own_seeds[name]
    ]


def described(job: Job, units: Sequence[Unit], settings: str) -> dict[str, Any]:
    """What a folder must have been begun with for its parts to count."""

    def about(given: Make | Detector) -> str:
        detector = given if isinstance(given, Detector) else given(job.explained)
        text = json.dumps([type(detector).__qualname__, detector.settings()], default=str)
        return sha256(text.encode()).hexdigest()

    return {
        "version": __version__,
        "data": job.dataset.fingerprint,
        "settings": settings,
        "audit": job.audit,
        "folds": [str(periods or "data.split") for periods in job.folds],
        "detectors": {name: about(given) for name, given in job.detectors.items()},
        "units": [str(unit) for unit in units],
    }


def begin(folder: Path, plan: dict[str, Any]) -> None:
    """Note what the folder is for, or see that it is for this.

    Raises:
        ConfigError: it is for something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / PLAN
    if note.is_file():
        try:
            before = json.loads(note.read_text())
        except ValueError as error:
            raise ConfigError(f"{note} is damaged: begin anew in another folder") from error
        differing = [name for name in plan if before.get(name) != plan[name]]
        if differing:
            raise ConfigError(
                f"{folder} was begun with other {', '.join(differing)}: begin anew in another "
                "folder, or give what it was begun with"
            )
    else:
        replace_text(note, json.dumps(plan, indent=1, ensure_ascii=False))
    for draft in folder.glob(f"fold-*/*{DRAFT}"):
        shutil.rmtree(draft)  # of a unit that was killed
