"""Writes and reads the exported folder: all that a serving job needs, and no pickle of ours."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from riskml.core.cards import card
from riskml.core.errors import BundleError, reading
from riskml.core.schema import TIMESTAMP
from riskml.core.types import PEER, UNKNOWN_ACTION, FloatArray, Windows
from riskml.export.checks import check_content
from riskml.export.contract import INPUT_SCHEMA, OUTPUT_SCHEMA, input_schema, output_schema
from riskml.export.given_events import read_events
from riskml.export.graphs import Graph, load_graph, save_graph
from riskml.export.manifest import about_now, check_place, read_manifest, write_manifest
from riskml.export.seal import KEY_VARIABLE, SIGNATURE, bundle_key
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.features.windows import WINDOW_ID
from riskml.models.base import Detector
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.alerting import Alerting, FixedThreshold, Mask
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer

CALIBRATION, THRESHOLD, MODEL_CARD = "calibration.json", "threshold.json", "model_card.md"

REQUIRED = (
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
"""Files that every bundle has, so each must have its hash."""

_ONCE = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: from raw events to scores, p-values, risk and alerts."""

    manifest: dict[str, Any]
    extractor: FeatureExtractor
    graph: Graph
    calibration: Calibration
    alerting: Alerting
    explainer: Explainer
    profile: Profile

    def __repr__(self) -> str:
        return f"Bundle({'; '.join(f'{name} {value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        return card("Bundle", self._facts())

    def _facts(self) -> dict[str, object]:
        """What it is, for people."""
        names = ["detector", "data"]
        facts: dict[str, object] = {n: self.manifest[n] for n in names if n in self.manifest}
        if {"train_from", "train_until"} <= self.manifest.keys():
            first, last = (self.manifest[f"train_{end}"][:10] for end in ("from", "until"))
            facts["trained on"] = f"{first} to {last}"
        return {
            **facts,
            "features": len(self.extractor.spec),
            "threshold": f"{self.threshold:.4g}",
        }

    @property
    def threshold(self) -> float:
        """The score from which on a window is an alert at present."""
        return self.alerting.threshold

    def score_windows(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores of windows made by this bundle's extractor."""
        return self.graph.score(windows)

    def closed(self, events: pl.DataFrame) -> tuple[Windows, FloatArray]:
        """Windows that can get no more events, in the order in which they end, and their scores.

        Args:
            events: later than those that the profile knows; all of them, where the detector
                remembers.
        """
        windows, _ = self.extractor.transform(events, self.profile)
        order = windows.keys.select(pl.arg_sort_by("end", WINDOW_ID)).to_series()
        windows = windows.take(order.to_numpy().astype(np.int64))
        return windows, self.score_windows(windows)

    def after(self, windows: Windows) -> Bundle:
        """The bundle once its detector has learnt from closed windows that it has scored.

        The same where the detector does not remember. What is known of users lies in the profile,
        what decides about alerts in `alerts`; both are carried on apart from this.
        """
        return replace(self, graph=self.graph.after(windows))

    def score(
        self,
        events: Any,
        profile: Profile | None = None,
        alerting: Alerting | None = None,
    ) -> pl.DataFrame:
        """Windows of the events with score, p_value, risk, alert and learning.

        Open windows are given as they stand, those that were open before the events as well.

        Args:
            events: later than those that the profile knows; a Polars or a pandas frame with
                user_id, timestamp (with a zone), action and whatever else the features read.
            profile: what is known of users; the one that training has left unless given.
            alerting: what decides about alerts, likewise; `alerts` gives the next one.

        Raises:
            DataError: no events, a column is missing, a value is not of its kind, no such zone.
        """
        events = read_events(events, self.extractor.reads())
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
    onnx: bool = False,
    further: Mapping[str, str] | None = None,
) -> Path:
    """Write a bundle in one step: the folder is either whole or not there.

    Args:
        folder: of the bundle; an older bundle there is replaced, and nothing else.
        detector: fitted; one that remembers, after the last closed window that the profile knows.
        extractor: fitted.
        calibration: score → risk; beside the graph, so that it can change without a new export.
        threshold: score from which on a window is an alert; likewise.
        explainer: usual ranges for reasons.
        profile: what is known of users when the bundle begins its work.
        about: plain values for the manifest (detector name, data, periods).
        alerting: a rule that goes on learning; None keeps the threshold fixed.
        model_card: what users of the model have to know, in Markdown; goes along where given.
        onnx: also write the graph for ONNX Runtime (needs `riskml[onnx]`; takes some seconds).
        further: files that it is not scored with, by name: their text.

    Raises:
        BundleError: the detector cannot be exported, or something else is in its place.
    """
    check_place(folder)
    key = bundle_key()
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    graph = save_graph(detector, draft, onnx)
    extractor.save(draft)
    explainer.save(draft)
    profile.save(draft)
    calibration.save(draft / CALIBRATION)
    _write(draft / THRESHOLD, alerting_state(alerting or FixedThreshold(threshold)))
    _write(draft / INPUT_SCHEMA, input_schema(extractor))
    _write(draft / OUTPUT_SCHEMA, output_schema())
    if model_card is not None:
        (draft / MODEL_CARD).write_text(model_card, encoding="utf-8")
    for name, text in (further or {}).items():
        (draft / name).write_text(text, encoding="utf-8")
    write_manifest(draft, {**about_now(), **about, "graph": graph}, key)
    shutil.rmtree(folder, ignore_errors=True)
    return draft.rename(folder)


def load_bundle(folder: Path | str, runtime: str | None = None) -> Bundle:
    """Check the signature where `RISKML_BUNDLE_KEY` is set, every hash and every form, then read.

    Args:
        folder: that `export_bundle` wrote.
        runtime: what runs the graph, one of those that the manifest names; None: its first.

    Raises:
        BundleError: a file is missing, changed, not listed, not what it seems, or of a format that
            is not known; or the bundle cannot be run by `runtime`.
        ConfigError: the key is too short.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, REQUIRED, bundle_key())
    for name in manifest["files"]:
        check_content(folder / name)
    with reading(folder):
        extractor = FeatureExtractor.load(folder)
        bundle = Bundle(
            manifest,
            extractor,
            load_graph(folder, manifest, runtime),
            Calibration.load(folder / CALIBRATION),
            read_alerting(json.loads((folder / THRESHOLD).read_text())),
            Explainer.load(folder, extractor.spec),
            Profile.load(folder),
        )
        _try(bundle)
    return bundle


def change_threshold(folder: Path, threshold: float) -> None:
    """Set another threshold in a bundle, without exporting again; from then on it is fixed.

    Raises:
        BundleError: the bundle is damaged, or signed and there is no key to sign it anew with.
    """
    manifest = read_manifest(folder, REQUIRED, bundle_key())
    _write(folder / THRESHOLD, FixedThreshold(threshold).state())
    reseal(folder, manifest)


def reseal(folder: Path, manifest: dict[str, Any]) -> None:
    """Describe all files anew after some were changed on purpose, as format 3.

    Args:
        folder: of the bundle.
        manifest: as it was read before.

    Raises:
        BundleError: it was signed, and there is no key to sign it anew with.
    """
    key = bundle_key()
    if SIGNATURE in manifest and key is None:
        raise BundleError(f"{folder} is signed: set {KEY_VARIABLE} to change it")
    write_manifest(folder, manifest, key)


def _try(bundle: Bundle) -> None:
    """Score a window that never was, so that parts that do not fit together are found now.

    Raises:
        ValueError: what comes out is no score, no p-value or no threshold.
    """
    spec = bundle.extractor.spec
    keys = pl.DataFrame(
        {"window_id": [""], "user_id": [""], "start": [_ONCE], "end": [_ONCE], "n_events": [1]},
        schema_overrides={"start": TIMESTAMP, "end": TIMESTAMP},
    )
    tokens, length = np.full((1, 1), UNKNOWN_ACTION, np.int32), np.ones(1, np.int32)
    times = np.zeros((1, 1 if spec.event_times else 0, 2), np.float32)
    window = Windows(keys, np.zeros((1, len(spec)), np.float32), spec, tokens, length, times)
    scores = bundle.score_windows(window)
    if scores.shape != (1,) or scores.dtype != np.float32 or not np.isfinite(scores).all():
        raise ValueError(f"the graph gives {scores!r} for a window, which is no score")
    p_value = bundle.calibration.p_value(scores, window.keys[PEER])
    if not 0 < float(p_value[0]) <= 1 or not math.isfinite(bundle.threshold):
        raise ValueError(f"a p-value of {p_value[0]} and a threshold of {bundle.threshold}")
    bundle.explainer.explain(window, np.zeros((1, 0), np.float32), [])


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
