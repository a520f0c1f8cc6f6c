"""`python train.py`: data → windows → fit → evaluate → export, tracked from start to end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytorch_lightning
from omegaconf import DictConfig

from riskml.core.errors import DataError
from riskml.core.schema import time_span
from riskml.core.types import PEER, Windows
from riskml.core.versions import git_commit
from riskml.data.datasets import Dataset
from riskml.data.splits import PERIOD, TEST
from riskml.evaluation.backtest import Backtested
from riskml.evaluation.checks.auditor import STANDARD
from riskml.evaluation.comparison import Comparison
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.evaluation.explained import alerts_and_events
from riskml.evaluation.reporting.model_card import MODEL_CARD, model_card
from riskml.export.bundle import export_bundle
from riskml.export.leaving import after_closed, check_parity
from riskml.export.registry import CHALLENGER
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.features.profile import Profile
from riskml.models.base import Detector
from riskml.monitoring.drift_reference import FILE as DRIFT_FILE
from riskml.monitoring.drift_reference import DriftReference
from riskml.runs.assembly import (
    build_detector,
    build_scoring,
    build_threshold,
    chosen_parameters,
)
from riskml.runs.context import BUNDLE, DETECTOR, FEATURES, Run, remember_latest, start_run
from riskml.runs.fitting import check_device, check_resumable, fit
from riskml.runs.steps import compare, hashes, make_windows, read_data, report
from riskml.runs.top_settings import BEFORE_TEST, EVERYTHING, check_top
from riskml.scoring.alerting import Alerting
from riskml.scoring.explain import Explainer

NEW_WORLD = timedelta(days=14)
"""After a shift; what is shorter does not have every weekday twice."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves in memory.

    Args:
        cfg: of the run.
        folder: of the run.
        dataset: that was read.
        extractor: fitted on its train period.
        windows: by period.
        detector: fitted.
    """

    cfg: DictConfig
    folder: Path
    dataset: Dataset
    extractor: FeatureExtractor
    windows: PreparedWindows
    detector: Detector


def train(cfg: DictConfig) -> Path:
    """Run the whole path.

    Returns:
        The run folder: metrics.json, scores, alerts, plots, detector, features and bundle.
    """
    check_top(cfg)
    pytorch_lightning.seed_everything(cfg.seed, verbose=False)
    with start_run(cfg, f"{cfg.model.name} on {cfg.data.name}") as run:
        train_in(run)
        remember_latest(Path(cfg.paths.outputs), run.folder)
        run.say(f"run folder  {run.folder}\nMLflow page {run.tracker.page()}")
    return run.folder


def train_in(
    run: Run, read_already: Trained | None = None, fitted: Detector | None = None
) -> Trained:
    """Fit, evaluate and export within a run.

    Args:
        run: that has begun.
        read_already: a training on the same data and features, whose windows are taken.
        fitted: a detector that is fitted on these windows already.
    """
    cfg = run.cfg
    run.tracker.parameters(chosen_parameters(cfg))
    # settings that are wrong should say so before the work, not after it
    rule = build_threshold(cfg.threshold)
    detector = fitted or build_detector(cfg.model, cfg)
    scoring = build_scoring(cfg.get("scoring"))
    check_resumable(run, detector)
    check_device(cfg, detector)
    if read_already is None:
        dataset = read_data(run)
        extractor, windows = make_windows(run, dataset)
    else:
        dataset, extractor = read_already.dataset, read_already.extractor
        windows = read_already.windows
    extractor.save(run.folder / FEATURES)
    seconds = fit(run, detector, windows) if fitted is None else None
    detector.save(run.folder / DETECTOR)
    audit = cfg.get("audit") or STANDARD  # of presets alone, see conf/experiment/adbench.yaml
    evaluation = replace(
        evaluate_detector(cfg.model.name, detector, windows, rule, seconds, scoring, audit),
        seed=cfg.seed,
    )
    explainer = Explainer.fit(windows.train, extractor.vocabulary.counts, scoring.learning_windows)
    alerts, events = alerts_and_events(evaluation, detector, explainer, windows, dataset, extractor)
    found = Backtested.of_one(evaluation, windows, alerts, events)
    comparison = compare(run, found, dataset)
    report(run, comparison)
    card = write_card(run, comparison, windows)
    begin = start_of_bundle(run, detector, extractor, evaluation, windows, dataset)
    watched = drift_reference(run, detector, windows)
    origin = comparison.origin(windows)
    export(run, begin, extractor, evaluation, explainer, windows, origin, card, watched)
    return Trained(cfg, run.folder, dataset, extractor, windows, detector)


def write_card(run: Run, comparison: Comparison, windows: PreparedWindows) -> str:
    """Write the model card to the run folder, and give it."""
    files = hashes(run.folder / DETECTOR)
    card = model_card(comparison, windows.train, files)
    path = run.folder / MODEL_CARD
    path.write_text(card, encoding="utf-8")
    run.tracker.artifact(path)
    return card


@dataclass(frozen=True)
class Start:
    """What a bundle knows when it begins its work.

    Args:
        detector: having learnt from the windows that are closed by then.
        profile: of users.
        alerting: what decides about the next window.
    """

    detector: Detector
    profile: Profile
    alerting: Alerting


def start_of_bundle(
    run: Run,
    detector: Detector,
    extractor: FeatureExtractor,
    evaluation: Evaluation,
    windows: PreparedWindows,
    dataset: Dataset,
) -> Start:
    """After the whole log, or where `bundle_knows=before_test` at the start of the test period.

    Windows that may still grow then are not learnt from; the bundle comes across them again.
    """
    past, profile, alerting = windows.before_test, windows.profile, evaluation.alerting
    later: Windows | None = windows.test
    if run.cfg.get("bundle_knows", EVERYTHING) == BEFORE_TEST:
        _, profile = extractor.transform(
            dataset.events.filter(pl.col(PERIOD) != TEST).drop(PERIOD), Profile()
        )
        keys = windows.calibration.keys
        scores = detector.score(windows.calibration)
        evidence = evaluation.calibration.evidence(scores, keys[PEER])
        alerting = build_threshold(run.cfg.threshold).start(evidence, keys)
        later = None
    return Start(after_closed(detector, profile, (past, later)), profile, alerting)


def drift_reference(run: Run, detector: Detector, windows: PreparedWindows) -> dict[str, str]:
    """The file that `riskml drift` holds later windows to; none where they are too few.

    Of the world after `drift_since`, once it has gone on for `NEW_WORLD`.
    """
    if not windows.over_time:
        return {}
    scored, parts = windows.calibration, [windows.train, windows.calibration]
    since = run.cfg.get("drift_since")
    if since is not None:
        begin = datetime.fromisoformat(since)
        begin = begin.replace(tzinfo=UTC) if begin.tzinfo is None else begin
        if time_span(scored.keys["start"], scored.keys["end"])[1] - begin >= NEW_WORLD:
            parts = [part.take((part.keys["start"] >= begin).to_numpy()) for part in parts]
    try:
        reference = DriftReference.of(parts, scored, detector.score(scored))
    except DataError as error:
        run.say(f"drift       not watched: {error}")
        return {}
    return {DRIFT_FILE: reference.text()}


def export(
    run: Run,
    begin: Start,
    extractor: FeatureExtractor,
    evaluation: Evaluation,
    explainer: Explainer,
    windows: PreparedWindows,
    origin: dict[str, Any],
    card: str,
    further: dict[str, str],
) -> None:
    """Write the bundle and check that it scores the whole test set as the detector does.

    Raises:
        BundleError: the bundle differs by more than `riskml.export.leaving.PARITY`.
    """
    leaving = begin.detector
    folder = export_bundle(
        run.folder / BUNDLE,
        leaving,
        extractor,
        evaluation.calibration,
        begin.alerting.threshold,
        explainer,
        begin.profile,
        {**origin, "git_commit": git_commit()},
        begin.alerting,
        card,
        run.cfg.get("onnx", False),
        further,
    )
    difference = check_parity(folder, leaving, windows.test)
    run.tracker.metrics({"export/largest_difference": difference})
    run.tracker.artifact(folder, BUNDLE)
    run.say(f"bundle      {folder} (largest score difference {difference:.1e})")
    name = run.cfg.get("register")
    if name is not None:
        version = run.tracker.register(folder, name, CHALLENGER)
        run.say(f"registered  models:/{name}/{version} as {CHALLENGER}")
