"""Makes the cells of a study and keeps them, so that only what is missing is made."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from experiments.study import ROOT, Cell
from riskml import __version__
from riskml.core.errors import DataError
from riskml.core.versions import git_commit
from riskml.evaluation.checks.auditor import STANDARD
from riskml.evaluation.evaluator import evaluate_detector
from riskml.features.preparation import PreparedWindows, prepare
from riskml.runs.assembly import (
    build_dataset,
    build_detector,
    build_extractor,
    build_scoring,
    build_threshold,
)
from riskml.runs.context import Run
from riskml.runs.fitting import fit
from riskml.runs.tracking import NoTracker
from riskml.scoring.calibration import Calibration

KEPT = ROOT / "outputs" / "studies"
FACTS, SCORES, INCIDENTS = "facts.json", "scores.parquet", "incidents.parquet"


@dataclass(frozen=True)
class Result:
    """A kept cell.

    Args:
        scores: see `riskml.evaluation.evaluator.Evaluation`; None where the windows do not suit the
            detector.
        incidents: see `PreparedWindows`.
        facts: normal_weight, promised, fit_seconds, score_seconds, seconds (in all, with the
            windows where they were made for it), note, refused, version, commit.
    """

    scores: pl.DataFrame | None
    incidents: pl.DataFrame | None
    facts: dict[str, Any]


class Maker:
    """Makes cells; windows that the next cell needs too are kept until then.

    Args:
        folder: where cells are kept.
    """

    def __init__(self, folder: Path = KEPT) -> None:
        self.folder = folder
        self._key, self._windows = "", None

    def is_made(self, cell: Cell) -> bool:
        """Whether it is kept, and its settings are still these."""
        facts = self.folder / cell.folder / FACTS
        if not facts.is_file():
            return False
        return bool(json.loads(facts.read_text())["fingerprint"] == cell.fingerprint())

    def make(self, cell: Cell) -> None:
        """Fit, score and keep; a detector that refuses the windows is kept with the reason."""
        began = time.perf_counter()
        cfg = cell.config()
        windows = self.prepared(cfg)
        incidents = windows.incidents
        try:
            scores, facts = _measured(cell, cfg, windows)
        except DataError as error:
            scores, facts = None, {"refused": str(error)}
        facts |= {
            "normal_weight": windows.normal_weight,
            "seconds": time.perf_counter() - began,
            "version": __version__,
            "commit": (git_commit() or "")[:7] or None,
            "fingerprint": cell.fingerprint(),
        }
        folder = self.folder / cell.folder
        folder.mkdir(parents=True, exist_ok=True)
        if scores is not None:
            scores.write_parquet(folder / SCORES)
        if incidents is not None:
            incidents.write_parquet(folder / INCIDENTS)
        (folder / FACTS).write_text(json.dumps(facts, indent=1))  # last: now it is made

    def read(self, cell: Cell) -> Result | None:
        """A kept cell, None where it was not made or with other settings."""
        if not self.is_made(cell):
            return None
        folder = self.folder / cell.folder
        facts = json.loads((folder / FACTS).read_text())
        tables = [
            pl.read_parquet(folder / name) if (folder / name).is_file() else None
            for name in (SCORES, INCIDENTS)
        ]
        return Result(None if "refused" in facts else tables[0], tables[1], facts)

    def prepared(self, cfg: DictConfig) -> PreparedWindows:
        """The windows of a config; those of the last one are kept."""
        nodes = (OmegaConf.to_yaml(cfg[name], resolve=True) for name in ("data", "features"))
        key = "\n".join((*nodes, str(cfg.seed)))
        if self._windows is None or key != self._key:
            self._windows = None  # two worlds at once would need the memory of both
            dataset = build_dataset(cfg.data, cfg.features)
            extractor = build_extractor(cfg.features).fit(dataset.train_events)
            self._key, self._windows = key, prepare(dataset, extractor)
        return self._windows


def _measured(
    cell: Cell, cfg: DictConfig, windows: PreparedWindows
) -> tuple[pl.DataFrame, dict[str, Any]]:
    rule, keys = build_threshold(cfg.threshold), windows.test.keys
    facts: dict[str, Any] = {"promised": rule.promised(keys)}
    if cell.scores is not None:
        scores: np.ndarray = resolve_name(cell.scores)(windows)
        within = pl.Series(rule.top(scores, keys))
        p_value = Calibration.fit(scores).p_value(scores)
        truth = windows.test_truth
        assert truth is not None, "a function that gives scores is for data with truth"
        told = keys.with_columns(
            pl.Series("score", scores),
            pl.Series("p_value", p_value),
            alert=within,
            within_budget=within,
        ).with_columns(truth["label"], truth["incidents"])
        return told, facts
    with tempfile.TemporaryDirectory() as folder:
        cfg.paths.run = folder
        run = Run(cfg, Path(folder), Console(quiet=True), NoTracker())
        detector = build_detector(cfg.model, cfg)
        seconds = fit(run, detector, windows)
        scoring, audit = build_scoring(cfg.scoring), cfg.get("audit") or STANDARD
        found = evaluate_detector(cell.row, detector, windows, rule, seconds, scoring, audit)
    if found.refused:
        raise DataError(found.refused)
    facts |= {name: found.metrics[name] for name in ("fit_seconds", "score_seconds")}
    return found.scores, facts | {"note": found.note}
