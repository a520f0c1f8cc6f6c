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
from riskml.models.autoencoder import AutoencoderDetector
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
    """Windows of a simulated organisation, what a detector says of them, and the truth.

    Args:
        train, calibration, test: windows of each period.
        detector: its name.
        before: evidence of the calibration windows, float64 [n].
        after: evidence of the test windows, float64 [m].
        shares_before, shares_after: of their scores, float32 [rows, parts].
        topics: what each part is about.
        truth: `label` and `incidents` of each test window.
        incidents: one row an incident.
    """

    train: Windows
    calibration: Windows
    test: Windows
    detector: str
    before: Float64
    after: Float64
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


def world(seed: int, name: str) -> World:
    """A world with the evidence of a detector.

    What was made before is read from outputs/feedback/worlds; delete it after a change of
    features or detectors.
    """
    folder = KEPT / str(seed)
    whole = _windows(seed)
    if not (folder / f"{name}.npz").is_file():
        _keep_evidence(seed, name, whole, folder)
    told = dict(np.load(folder / f"{name}.npz"))
    return World(
        *whole,
        name,
        told[BEFORE],
        told[AFTER],
        told["shares_before"],
        told["shares_after"],
        [str(topic) for topic in told["topics"]] or None,
        pl.read_parquet(folder / TRUTH),
        pl.read_parquet(folder / INCIDENTS),
    )


def encoder(seed: int) -> AutoencoderDetector:
    """An autoencoder fitted on a world's train windows, without verdicts."""
    folder = KEPT / str(seed) / "autoencoder"
    if not folder.is_dir():
        cfg = config(seed)
        detector = build_detector(model_config(cfg, "autoencoder"), cfg)
        train, past, _ = _windows(seed)
        detector.fit(train, past)
        folder.mkdir()
        detector.save(folder)
    return AutoencoderDetector.load(folder)


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


def _windows(seed: int) -> tuple[Windows, Windows, Windows]:
    folder = KEPT / str(seed)
    if not (folder / ABOUT).is_file():
        _keep_windows(seed, folder)
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
