"""A simulated organisation made ready for the loop, kept on disk: detectors take minutes to fit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from omegaconf import DictConfig

from experiments.study import Cell
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.features.preparation import prepare
from riskml.features.window_files import read_files, write_windows
from riskml.runs.assembly import (
    build_dataset,
    build_detector,
    build_extractor,
    model_config,
)
from riskml.scoring.calibration import Calibration
from riskml.wrappers.parts import evidence_of

Float64 = npt.NDArray[np.float64]

KEPT = Path("outputs/feedback/worlds")
BEFORE, AFTER = "before", "after"
TRUTH, INCIDENTS, ABOUT = "truth.parquet", "incidents.parquet", "about.json"


@dataclass(frozen=True)
class World:
    """Windows of a simulated organisation, what detectors say of them, and the truth.

    Args:
        train, calibration, test: windows of each period.
        before: by detector, evidence of the calibration windows, float64 [n].
        after: by detector, evidence of the test windows, float64 [m].
        shares_before, shares_after: of the score of the detector in focus, float32 [rows, parts].
        topics: what each part is about.
        truth: `label` and `incidents` of each test window.
        incidents: one row an incident.
    """

    train: Windows
    calibration: Windows
    test: Windows
    before: dict[str, Float64]
    after: dict[str, Float64]
    shares_before: FloatArray
    shares_after: FloatArray
    topics: list[str] | None
    truth: pl.DataFrame
    incidents: pl.DataFrame

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """1 where a test window is part of an incident [m]."""
        return self.truth["label"].to_numpy().astype(np.int8)


def config(seed: int) -> DictConfig:
    """Of the medium tier."""
    return Cell("simulated", "", "", seed, ("experiment=simulated_medium",)).config()


def world(seed: int, names: tuple[str, ...]) -> World:
    """A world with the evidence of some detectors, the first of them in focus.

    What was made before is read from outputs/feedback/worlds; delete it after a change of
    features or detectors.
    """
    folder = KEPT / str(seed)
    if not (folder / ABOUT).is_file():
        _keep_windows(seed, folder)
    missing = [name for name in names if not (folder / f"{name}.npz").is_file()]
    whole = _windows(folder)
    for name in missing:
        _keep_evidence(seed, name, whole, folder)
    told = {name: dict(np.load(folder / f"{name}.npz")) for name in names}
    focus = told[names[0]]
    topics = [str(topic) for topic in focus["topics"]] or None
    return World(
        *whole,
        {name: told[name][BEFORE] for name in names},
        {name: told[name][AFTER] for name in names},
        focus["shares_before"],
        focus["shares_after"],
        topics,
        pl.read_parquet(folder / TRUTH),
        pl.read_parquet(folder / INCIDENTS),
    )


def _keep_windows(seed: int, folder: Path) -> None:
    cfg = config(seed)
    dataset = build_dataset(cfg.data, cfg.features)
    made = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))
    assert made.test_truth is not None, "a simulated world has its truth"
    assert made.incidents is not None, "and its incidents"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "calibration", "test"):
        write_windows(getattr(made, name), folder / f"{name}.parquet")
    made.test_truth.write_parquet(folder / TRUTH)
    made.incidents.write_parquet(folder / INCIDENTS)
    np.savez(folder / "vectors.npz", vectors=made.test.spec.action_vectors)
    (folder / ABOUT).write_text(json.dumps(made.test.spec.to_dict()))


def _windows(folder: Path) -> tuple[Windows, Windows, Windows]:
    vectors = np.load(folder / "vectors.npz")["vectors"]
    spec = FeatureSpec.from_dict(json.loads((folder / ABOUT).read_text()), vectors)
    train, calibration, test = (
        read_files([folder / f"{name}.parquet"], spec) for name in ("train", "calibration", "test")
    )
    return train, calibration, test


def _keep_evidence(
    seed: int, name: str, windows: tuple[Windows, Windows, Windows], folder: Path
) -> None:
    cfg = config(seed)
    train, past, test = windows
    detector = build_detector(model_config(cfg, name), cfg)
    detector.fit(train, past)
    scores = detector.score(past)
    calibration = Calibration.fit(scores)
    after = detector.score_after(past, test)
    told = {
        BEFORE: evidence_of(scores, calibration),
        AFTER: evidence_of(after, calibration),
        "shares_before": detector.contributions(past),
        "shares_after": detector.contributions_after(past, test, np.arange(len(test))),
        "topics": np.array(detector.topics() or [], dtype=np.str_),
    }
    np.savez(folder / f"{name}.npz", **told)
