"""A quick run: some cells of a study are made again, and held to the committed table."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from experiments.cells import Maker
from experiments.study import Study
from experiments.tables import JSON, measured
from riskml.core.errors import ConfigError


def lacks(study: Study) -> str | None:
    """Why the study cannot be run here, or None."""
    if study.data is None:
        return None
    told = os.environ.get("RISKML_DATA")
    if told and (Path(told) / study.data).is_dir():
        return None
    return f"{study.name} reads {study.data}/ below RISKML_DATA, which is not there"


def differences(study: Study) -> list[str]:
    """Make the quick cells in a folder of their own, and say what lies too far from the table.

    Raises:
        ConfigError: the study has no quick cells, or the table lacks one of them.
    """
    cells = study.cells(quick=True)
    if not cells:
        raise ConfigError(f"{study.name}: study.yaml names no quick cells")
    table = json.loads((study.folder / JSON).read_text())["cases"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Path(folder))
        for cell in cells:
            maker.make(cell)
            kept = maker.read(cell)
            committed = table.get(cell.case, {}).get(cell.row)
            if committed is None or cell.seed not in committed["seeds"]:
                raise ConfigError(f"{study.name}: the table lacks {cell.folder}; run the study")
            assert kept is not None
            if kept.scores is None:
                found.append(f"{cell.folder}: refused: {kept.facts['refused']}")
                continue
            now, place = measured(kept, study), committed["seeds"].index(cell.seed)
            for metric, distance in study.quick[cell.case][cell.row].items():
                before, after = committed["values"][metric][place], now[metric]
                if after is None or not abs(after - before) <= distance:
                    found.append(
                        f"{cell.folder}: {metric} is {after}, the table has {before:.4f}, "
                        f"at most {distance:g} apart is allowed"
                    )
    return found
