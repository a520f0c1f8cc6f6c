"""`riskml triage`: a run's windows ranked anew by what auditors said of its alerts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from riskml.alerting.feedback import FeedbackStore, Verdict
from riskml.core.errors import DataError
from riskml.core.types import FloatArray, Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector, load_detector
from riskml.runs.assembly import build_threshold
from riskml.runs.context import DETECTOR, FEATURES, Run, find_run, load_config
from riskml.runs.steps import make_windows, read_data
from riskml.runs.tracking import NoTracker
from riskml.scoring.calibration import Calibration
from riskml.triage.blending import Triage, TriageSettings
from riskml.triage.classifier import Examples
from riskml.triage.matrix import Float64, triage_matrix
from riskml.wrappers.parts import evidence_of

FOLDER = "triage"


def triage(outputs: Path, run: str, store: FeedbackStore, settings: TriageSettings) -> Path:
    """Learn from the verdicts on a run's windows and rank its test windows anew.

    Args:
        outputs: where runs are.
        run: folder of a train run, or `latest`.
        store: the verdicts.
        settings: how much they count.

    Returns:
        The folder with `ranking.parquet` (every test window), `alerts.csv` (those within the
        budget, best first) and `triage.json` (how many verdicts counted, and how much).

    Raises:
        ConfigError: no such run.
        DataError: the log of the run is no longer what it was.
    """
    folder = find_run(outputs, run)
    into = folder / FOLDER
    into.mkdir(exist_ok=True)
    made = Run(load_config(folder), into, Console(soft_wrap=True, stderr=True), NoTracker())
    dataset = read_data(made)
    _, windows = make_windows(made, dataset, FeatureExtractor.load(folder / FEATURES))
    detector = load_detector(folder / DETECTOR)
    with made.console.status("ranking by what auditors said"):
        evidence, x, examples = _evidence(made, detector, windows, store.latest())
        learnt = Triage(settings).fit(examples)
        table = _ranking(made, windows.test, evidence, x, learnt)
    table.write_parquet(into / "ranking.parquet")
    table.filter("within_budget").write_csv(into / "alerts.csv")
    about = {
        "true_incidents": int(examples.confirmed.sum()),
        "false_alarms": int((examples.confirmed == 0).sum()),
        "weight": learnt.weight,
        "reason": learnt.reason,
        "settings": asdict(settings),
    }
    (into / "triage.json").write_text(json.dumps(about, indent=1))
    made.say(learnt.reason or f"the triage weighs {learnt.weight:.0%} of the ranking")
    return into


def _evidence(
    run: Run, detector: Detector, windows: PreparedWindows, verdicts: pl.DataFrame
) -> tuple[Float64, FloatArray, Examples]:
    """Evidence and matrix of the test windows, and what was said of them and those before."""
    name, past, test = run.cfg.model.name, windows.calibration, windows.test
    past_scores = detector.score(past)
    calibration = Calibration.fit(past_scores)
    before = evidence_of(past_scores, calibration)
    after = evidence_of(detector.score_after(past, test), calibration)
    rows = np.arange(len(test), dtype=np.int64)
    shares = detector.contributions_after(past, test, rows)
    topics = detector.topics()
    background, _ = triage_matrix(past, {name: before}, detector.contributions(past), topics)
    x, _ = triage_matrix(test, {name: after}, shares, topics)
    parts = [(past, background), (test, x)]
    known = pl.concat([_verdicts(part.keys, verdicts) for part, _ in parts])
    judged = known["confirmed"].is_not_null().to_numpy()
    unjudged = ~judged[: len(past)]
    if not unjudged.any():
        raise DataError("every calibration window has a verdict: nothing is left to compare with")
    examples = Examples(
        np.vstack([x for _, x in parts])[judged],
        known["confirmed"].to_numpy()[judged].astype(np.int8),
        known["user_id"].to_numpy()[judged].astype(str),
        background[unjudged],
    )
    return after, x, examples


def _verdicts(keys: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """`user_id` and `confirmed` (1, 0, or null where nobody was sure) of each window."""
    confirmed = (
        pl.when(pl.col("verdict") == Verdict.TRUE_INCIDENT)
        .then(1)
        .when(pl.col("verdict") == Verdict.FALSE_ALARM)
        .then(0)
    )
    said = verdicts.select("window_id", confirmed.alias("confirmed"))
    return keys.select("window_id", "user_id").join(
        said, on="window_id", how="left", maintain_order="left"
    ).drop("window_id")  # fmt: skip


def _ranking(
    run: Run, test: Windows, evidence: Float64, x: FloatArray, learnt: Triage
) -> pl.DataFrame:
    blended = learnt.blend(evidence, x)
    probability = learnt.probability(x)
    rule = build_threshold(run.cfg.threshold)
    return test.keys.with_columns(
        pl.Series("evidence", evidence),
        pl.Series("confirm_probability", probability, dtype=pl.Float64)
        if probability is not None
        else pl.lit(None, pl.Float64).alias("confirm_probability"),
        pl.Series("blended", blended),
        pl.Series("within_budget", rule.top(blended, test.keys)),
    ).sort("blended", "window_id", descending=[True, False])
