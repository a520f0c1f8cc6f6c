"""`python evaluate.py`: a trained run, or a model fitted afresh, beside the baselines."""

from __future__ import annotations

import json
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from riskml.core.errors import DataError
from riskml.core.targets import check_targets
from riskml.data.batch_reference import BatchReference
from riskml.evaluation.evaluator import Evaluation, evaluate_detector
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector, load_detector
from riskml.runs.assembly import (
    build_detector,
    build_scoring,
    build_threshold,
    chosen_parameters,
    model_config,
)
from riskml.runs.context import (
    DETECTOR,
    FEATURES,
    REFERENCE,
    Run,
    find_run,
    load_config,
    start_run,
)
from riskml.runs.fitting import fit
from riskml.runs.steps import compare, explain_alerts, make_windows, read_data, report
from riskml.scoring.explain import Explainer

FROM_RUN = ("data", "features", "threshold", "scoring", "seed")
"""Settings that come from the run unless they are given."""


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate the detector in focus and the baselines on the same windows.

    Returns:
        The folder with metrics.json, scores, alerts and plots.
    """
    cfg, trained = complete(cfg)
    with start_run(cfg, f"evaluate {cfg.model.name} on {cfg.data.name}") as run:
        run.tracker.parameters(chosen_parameters(cfg))
        dataset = read_data(run, earlier_log(cfg, trained))
        extractor = None if trained is None else FeatureExtractor.load(trained / FEATURES)
        extractor, windows = make_windows(run, dataset, extractor)
        detector, focus = _focus(run, trained, windows)
        others, refused = fit_baselines(run, windows)
        new = build_scoring(cfg.get("scoring")).learning_windows
        explainer = Explainer.fit(windows.train, extractor.vocabulary.counts, new)
        reasons = explain_alerts(focus, detector, explainer, windows)
        comparison = compare(run, [focus, *others], dataset, extractor, windows, reasons, refused)
        report(run, comparison)
        run.say(
            f"results     {run.folder}\nplots       {run.folder / 'plots'}"
            f"\nMLflow page {run.tracker.page()}"
        )
    return run.folder


def complete(cfg: DictConfig) -> tuple[DictConfig, Path | None]:
    """Fill in from a train run what the command line does not say.

    Returns:
        The whole config, and the run whose detector is evaluated, or None where `model=` asks for
        one that is fitted afresh.

    Raises:
        ConfigError: neither a run nor model and data are given.
    """
    fresh = cfg.model is not None
    if fresh and cfg.data is not None:
        cfg.seed = 0 if cfg.seed is None else cfg.seed
        return cfg, None
    folder = find_run(Path(cfg.paths.outputs), cfg.run)
    past = load_config(folder)
    whole = OmegaConf.create({str(key): cfg._get_node(key) for key in cfg})
    for key in FROM_RUN:
        if whole.get(key) is None:
            whole[key] = past.get(key)  # older runs have no scoring
    if not fresh:
        whole.model = past.model
        whole.features = past.features
    assert isinstance(whole, DictConfig)
    check_targets(whole)
    return whole, None if fresh else folder


def earlier_log(cfg: DictConfig, trained: Path | None) -> BatchReference | None:
    """The columns of the log that the detector learnt from, if this is the same again.

    Its days are likely to be in this log once more, so their volumes are left out.
    """
    if trained is None or load_config(trained).data.name != cfg.data.name:
        return None
    reference = BatchReference.load(trained / REFERENCE)
    return None if reference is None else reference.without_volumes()


def _focus(run: Run, trained: Path | None, windows: PreparedWindows) -> tuple[Detector, Evaluation]:
    seconds: float | None = None
    if trained is None:
        detector = build_detector(run.cfg.model, run.cfg)
        seconds = fit(run, detector, windows)
    else:
        detector = load_detector(trained / DETECTOR)
        seconds = _fit_seconds(trained)
    return detector, _evaluated(run, run.cfg.model.name, detector, windows, seconds)


def _evaluated(
    run: Run, name: str, detector: Detector, windows: PreparedWindows, seconds: float | None
) -> Evaluation:
    rule, scoring = build_threshold(run.cfg.threshold), build_scoring(run.cfg.get("scoring"))
    return evaluate_detector(name, detector, windows, rule, seconds, scoring)


def _fit_seconds(trained: Path) -> float | None:
    """As measured when the run was trained."""
    try:
        seconds: float | None = json.loads((trained / "metrics.json").read_text())["metrics"][
            "fit_seconds"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # only a time for the table is lost
    return seconds


def fit_baselines(run: Run, windows: PreparedWindows) -> tuple[list[Evaluation], dict[str, str]]:
    """Fit and evaluate each baseline on the same windows.

    Returns:
        Their evaluations, and the reasons of those that these windows do not suit.
    """
    names = [name for name in run.cfg.baselines if name != run.cfg.model.name]
    evaluations: list[Evaluation] = []
    refused: dict[str, str] = {}
    with Progress(console=run.console, transient=True) as progress:
        task = progress.add_task("baselines", total=len(names))
        for name in names:
            progress.update(task, description=f"baseline {name}")
            detector = build_detector(model_config(run.cfg, name), run.cfg)
            start = time.perf_counter()
            try:
                detector.fit(windows.train, windows.calibration)
                seconds = time.perf_counter() - start
                evaluations.append(_evaluated(run, name, detector, windows, seconds))
            except DataError as error:
                refused[name] = str(error)  # the others are still worth a table
            progress.advance(task)
    return evaluations, refused
