"""`riskml triage`: a run's windows ranked anew by what auditors said of its alerts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from riskml.alerting.feedback import FeedbackStore, Verdict
from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector, load_detector
from riskml.runs.assembly import build_threshold
from riskml.runs.context import DETECTOR, FEATURES, Run, find_run, load_config
from riskml.runs.steps import make_windows, read_data
from riskml.runs.tracking import NoTracker
from riskml.scoring.calibration import Calibration
from riskml.triage.blending import Examples, Seen, Triage, TriageSettings
from riskml.triage.matrix import triage_matrix
from riskml.triage.memory import remembered
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
        verdicts = store.latest()
        seen, examples = _evidence(made, detector, windows, verdicts, settings.half_life)
        learnt = Triage(settings).fit(examples)
        table = _ranking(made, windows.test, seen, learnt).join(
            verdicts.select("window_id", "verdict"), on="window_id", how="left",
            maintain_order="left",
        )  # fmt: skip
    table.write_parquet(into / "ranking.parquet")
    table.filter("within_budget").write_csv(into / "alerts.csv")
    scored = pl.concat([windows.calibration.keys["window_id"], windows.test.keys["window_id"]])
    elsewhere = int((~verdicts["window_id"].is_in(scored.to_list())).sum())
    about = {
        "true_incidents": int(examples.confirmed.sum()),
        "false_alarms": int((examples.confirmed == 0).sum()),
        "on_other_windows": elsewhere,
        "learnt": learnt.learnt,
        "reason": learnt.reason,
        "coefficients": learnt.coefficients,
        "settings": asdict(settings),
    }
    (into / "triage.json").write_text(json.dumps(about, indent=1))
    _tell(made, about, table)
    return into


def _tell(run: Run, about: dict[str, Any], table: pl.DataFrame) -> None:
    if about["on_other_windows"]:
        run.say(
            f"{about['on_other_windows']:,} verdicts are on windows that this run has not scored"
        )
    if about["reason"]:
        run.say(about["reason"])
        return
    run.say(
        f"learnt from {about['true_incidents']:,} true incidents and {about['false_alarms']:,} "
        f"false alarms: {int(table['within_budget'].sum()):,} alerts"
    )


def _evidence(
    run: Run,
    detector: Detector,
    windows: PreparedWindows,
    verdicts: pl.DataFrame,
    half_life: float,
) -> tuple[Seen, Examples]:
    """The test windows as the triage sees them, and what was said of them and those before."""
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
    known = pl.concat([_verdicts(part.keys, verdicts) for part in (past, test)])
    judged = known["confirmed"].is_not_null().to_numpy()
    unjudged = ~judged[: len(past)]
    if not unjudged.any():
        raise DataError("every calibration window has a verdict: nothing is left to compare with")
    users, day = known["user_id"].to_numpy().astype(str), known["day"].to_numpy()
    confirmed = known["confirmed"].to_numpy()[judged].astype(np.int8)
    memory = remembered(users, day, users[judged], day[judged], confirmed, half_life)
    whole = Seen(np.vstack([background, x]), np.concatenate([before, after]), memory)
    examples = Examples(whole.take(judged), confirmed, users[judged], background[unjudged])
    return whole.take(np.arange(len(known)) >= len(past)), examples


def _verdicts(keys: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """`user_id`, `day` and `confirmed` (1, 0, or null where nobody was sure) of each window."""
    confirmed = (
        pl.when(pl.col("verdict") == Verdict.TRUE_INCIDENT)
        .then(1)
        .when(pl.col("verdict") == Verdict.FALSE_ALARM)
        .then(0)
    )
    said = verdicts.select("window_id", confirmed.alias("confirmed"))
    day = pl.col("end").dt.date().cast(pl.Int64).alias("day")
    return keys.select("window_id", "user_id", day).join(
        said, on="window_id", how="left", maintain_order="left"
    ).drop("window_id")  # fmt: skip


def _ranking(run: Run, test: Windows, seen: Seen, learnt: Triage) -> pl.DataFrame:
    log_odds, chance = learnt.log_odds(seen), learnt.chance(seen)
    rule = build_threshold(run.cfg.threshold)
    return test.keys.with_columns(
        pl.Series("evidence", seen.evidence),
        pl.Series("confirm_probability", chance, dtype=pl.Float64)
        if chance is not None
        else pl.lit(None, pl.Float64).alias("confirm_probability"),
        pl.Series("log_odds", log_odds),
        pl.Series("within_budget", rule.top(log_odds, test.keys) & learnt.worth_showing(log_odds)),
    ).sort("log_odds", "window_id", descending=[True, False])
