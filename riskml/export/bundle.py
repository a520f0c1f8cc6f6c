"""Writes and reads the exported folder; every file is hashed, none is a pickle."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import torch

from riskml import __version__
from riskml.core.errors import BundleError, DataError, reading
from riskml.core.types import PEER, FloatArray, Windows
from riskml.export.torchscript import GRAPH_FILE, load_graph, run_graph, save_graph
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.models.base import Detector
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.alerting import Alerting, FixedThreshold, Mask
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer

FORMAT = 2
MANIFEST, USERS, CALIBRATION, THRESHOLD, MODEL_CARD = (
    "manifest.json",
    "users.json",
    "calibration.json",
    "threshold.json",
    "model_card.md",
)

REQUIRED = (
    GRAPH_FILE,
    USERS,
    CALIBRATION,
    THRESHOLD,
    "features.json",
    "features.safetensors",
    "usual.safetensors",
    "usual.parquet",
    "profile.json",
    "profile.names.parquet",
    "profile.users.parquet",
)
"""Files that are read, so each must have its hash."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: from raw events to scores, p-values, risk and alerts."""

    manifest: dict[str, Any]
    extractor: FeatureExtractor
    graph: torch.jit.ScriptModule
    users: dict[str, int]
    calibration: Calibration
    alerting: Alerting
    explainer: Explainer
    profile: Profile

    @property
    def threshold(self) -> float:
        """The score from which on a window is an alert at present."""
        return self.alerting.threshold

    def score_windows(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores of windows made by this bundle's extractor."""
        return run_graph(self.graph, windows, self.users)

    def score(
        self,
        events: pl.DataFrame,
        profile: Profile | None = None,
        alerting: Alerting | None = None,
    ) -> pl.DataFrame:
        """Windows of the events with score, p_value, risk, alert and learning.

        Open windows are given as they stand.

        Args:
            events: later than those that the profile knows.
            profile: what is known of users; the one that training has left unless given.
            alerting: what decides about alerts, likewise; `alerts` gives the next one.

        Raises:
            DataError: there are no events, or a time zone is not known.
        """
        if events.is_empty():
            raise DataError("there are no events to score")
        known = self.profile if profile is None else profile
        windows, _ = self.extractor.transform(events, known, open_windows=True)
        scores = self.score_windows(windows)
        keys = windows.keys
        return keys.with_columns(
            pl.Series("score", scores),
            pl.Series("p_value", self.calibration.p_value(scores, keys[PEER])),
            pl.Series("risk", self.calibration.risk(scores, keys[PEER])),
            pl.Series("alert", self.alerts(scores, keys, alerting)[0]),
            pl.Series("learning", self.explainer.is_learning(keys["user_id"])),
        )

    def alerts(
        self, scores: FloatArray, keys: pl.DataFrame, alerting: Alerting | None = None
    ) -> tuple[Mask, Alerting]:
        """Which windows are alerts.

        Args:
            scores: of closed windows [n]; what is carried on learns from each window once.
            keys: of the windows.
            alerting: what an earlier call gave; the one that training has left unless given.

        Returns:
            Mask [n], and what decides about the windows that come next.
        """
        deciding = self.alerting if alerting is None else alerting
        return deciding.decide(self.calibration.evidence(scores, keys[PEER]), keys)


def export_bundle(
    folder: Path,
    detector: Detector,
    extractor: FeatureExtractor,
    calibration: Calibration,
    threshold: float,
    explainer: Explainer,
    profile: Profile,
    about: dict[str, Any],
    alerting: Alerting | None = None,
    model_card: str | None = None,
) -> Path:
    """Write a bundle in one step: the folder is either whole or not there.

    Args:
        folder: of the bundle; an older one there is replaced.
        detector: fitted, with a graph.
        extractor: fitted.
        calibration: score → risk; beside the graph, so that it can change without a new export.
        threshold: score from which on a window is an alert; likewise.
        explainer: usual ranges for reasons.
        profile: what is known of users when the bundle begins its work.
        about: plain values for the manifest (detector name, data, periods).
        alerting: a rule that goes on learning; None keeps the threshold fixed.
        model_card: what users of the model have to know, in Markdown; goes along where given.

    Raises:
        BundleError: the detector has no graph.
    """
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_graph(detector, draft)
    extractor.save(draft)
    explainer.save(draft)
    profile.save(draft)
    calibration.save(draft / CALIBRATION)
    _write(draft / THRESHOLD, alerting_state(alerting or FixedThreshold(threshold)))
    _write(draft / USERS, detector.users())
    if model_card is not None:
        (draft / MODEL_CARD).write_text(model_card, encoding="utf-8")
    files = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    manifest = {
        "format": FORMAT,
        "riskml": __version__,
        "torch": torch.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "inputs": [
            "x float32 [n, d]",
            "tokens int64 [n, L]",
            f"times float32 [n, {'L' if extractor.event_times else 0}, 2]",
            "lengths int64 [n]",
            "user int64 [n]",
        ],
        "output": "score float32 [n]",
        "files": files,
    }
    _write(draft / MANIFEST, manifest)
    shutil.rmtree(folder, ignore_errors=True)
    return draft.rename(folder)


def load_bundle(folder: Path | str) -> Bundle:
    """Check every hash, then read.

    Raises:
        BundleError: a file is missing, changed, or of a format that is not known.
    """
    folder = Path(folder)
    manifest = _checked_manifest(folder)
    extractor = FeatureExtractor.load(folder)
    with reading(folder):
        return Bundle(
            manifest,
            extractor,
            load_graph(folder / GRAPH_FILE),
            json.loads((folder / USERS).read_text()),
            Calibration.load(folder / CALIBRATION),
            read_alerting(json.loads((folder / THRESHOLD).read_text())),
            Explainer.load(folder, extractor.spec),
            Profile.load(folder),
        )


def change_threshold(folder: Path, threshold: float) -> None:
    """Set another threshold in a bundle, without exporting again; from then on it is fixed."""
    manifest = _checked_manifest(folder)
    _write(folder / THRESHOLD, {"score": threshold})
    manifest["files"][THRESHOLD] = _sha256(folder / THRESHOLD)
    _write(folder / MANIFEST, manifest)


def _checked_manifest(folder: Path) -> dict[str, Any]:
    with reading(folder / MANIFEST):
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        files = dict(manifest["files"])
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has bundle format {manifest.get('format')}; this riskml reads {FORMAT}"
        )
    unlisted = sorted(set(REQUIRED) - set(files))
    if unlisted:
        raise BundleError(f"{folder / MANIFEST} lists no hash for {unlisted[0]}")
    for name, digest in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file() or path.is_symlink():
            raise BundleError(f"{folder} is incomplete: {name} is missing or not a plain file")
        if _sha256(path) != digest:
            raise BundleError(f"{path} was changed after export: its SHA-256 is not the manifest's")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False))
