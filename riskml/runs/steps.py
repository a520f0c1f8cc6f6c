"""The steps that training and evaluating share: windows, results, alerts, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path

import polars as pl
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape

from riskml.core.redaction import printable
from riskml.core.schema import time_span
from riskml.core.types import Explanations
from riskml.data.batch_reference import BatchReference
from riskml.data.datasets import Dataset
from riskml.data.quality import summarise, write_quarantine
from riskml.data.splits import PERIOD
from riskml.evaluation.comparison import About, Comparison, Fold, rows_of
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.outputs import (
    alert_rows,
    alerts_table,
    metrics_document,
    print_alerts,
    print_table,
    write_metrics,
    write_tables,
)
from riskml.evaluation.report import HTML, MARKDOWN, write_report
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows, prepare
from riskml.features.windows import WINDOW_ID
from riskml.models.attribution import split_rest
from riskml.models.base import Detector
from riskml.runs.assembly import build_dataset, build_extractor, build_threshold
from riskml.runs.context import PLOTS, REFERENCE, Run
from riskml.scoring.explain import Explainer

SHOWN_ALERTS = 20
"""How many alerts the report shows with their events."""


def read_data(run: Run, reference: BatchReference | None = None) -> Dataset:
    """The data set of the config; bad rows go to quarantine in the run folder.

    What the log was like is written to `reference.json`.

    Args:
        run: says which data, and where to.
        reference: what the log of an earlier run was like.
    """
    data = run.cfg.data
    with run.console.status(f"reading {data.name}"):
        dataset = build_dataset(data, run.cfg.features, reference)
    events = dataset.events
    first, last = time_span(events["timestamp"], events["timestamp"])
    run.say(
        f"{data.name}: {len(events):,} events of {events['user_id'].n_unique():,} users, "
        f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    )
    quarantine = write_quarantine(dataset.rejected, run.folder)
    if quarantine is not None:
        run.say(f"{summarise(dataset.rejected)}: {quarantine}")
    for warning in dataset.warnings:
        run.say(f"look at {escape(printable(warning))}")
    BatchReference().updated(events.drop(PERIOD)).save(run.folder / REFERENCE)
    return dataset


def make_windows(
    run: Run, dataset: Dataset, extractor: FeatureExtractor | None = None
) -> tuple[FeatureExtractor, PreparedWindows]:
    """Windows of every period; features are fitted on the train period unless given fitted."""
    with run.console.status("learning actions and computing features"):
        if extractor is None:
            extractor = build_extractor(run.cfg.features).fit(dataset.train_events)
        windows = prepare(dataset, extractor)
    run.say(
        f"{extractor.window.kind} windows with {len(windows.train.spec)} features: "
        f"train {len(windows.train):,}, calibration {len(windows.calibration):,}, "
        f"test {len(windows.test):,}; unknown actions in test {windows.unknown_action_rate:.2%}"
    )
    return extractor, windows


def explain_alerts(
    evaluation: Evaluation, detector: Detector, explainer: Explainer, windows: PreparedWindows
) -> Explanations:
    """Reasons of each alert, riskiest first.

    From exact shares; what they leave without a feature by gradients; else, where the detector has
    neither, from the distance to the usual range.
    """
    rows = alert_rows(evaluation)["row"].to_numpy().astype("int64")
    alerts = windows.test.take(rows)
    exact = detector.contributions_after(windows.calibration, windows.test, rows)
    shares, topics = split_rest(detector, alerts, exact, explainer.usual(alerts))
    return explainer.explain(alerts, shares, topics)


def compare(
    run: Run,
    evaluations: Sequence[Evaluation],
    dataset: Dataset,
    extractor: FeatureExtractor,
    windows: PreparedWindows,
    reasons: Explanations,
    refused: Mapping[str, str] | None = None,
) -> Comparison:
    """All that was measured on these windows, the detector in focus first.

    Args:
        run: whose settings they are.
        evaluations: the detector in focus first.
        dataset: whose events are behind the windows.
        extractor: that made the windows.
        windows: by period.
        reasons: of the alerts of the detector in focus.
        refused: baselines that these windows do not suit, with the reason.
    """
    alerts = alerts_table(evaluations[0], reasons)
    about = About(
        data=run.cfg.data.name,
        budget=build_threshold(run.cfg.threshold).describe(),
        seed=run.cfg.seed,
        data_fingerprint=dataset.fingerprint,
        config_fingerprint=config_fingerprint(run.cfg),
        created=datetime.now(UTC),
        features=len(windows.train.spec),
        unknown_action_rate=windows.unknown_action_rate,
        window=extractor.window.kind,
    )
    return Comparison(
        about,
        (Fold.of(0, windows),),
        rows_of(evaluations),
        alerts,
        events_behind(alerts.head(SHOWN_ALERTS), dataset, extractor),
        dict(refused or {}),
    )


def config_fingerprint(cfg: DictConfig) -> str:
    """SHA-256 of the settings that can change a number: all but places and names of places."""
    kept = {name: cfg[name] for name in cfg if name not in ("paths", "logger", "run", "ckpt_path")}
    text = OmegaConf.to_yaml(OmegaConf.create(kept), resolve=False, sort_keys=True)
    return sha256(text.encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by its name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[str(path.relative_to(folder))] = file_digest(file, "sha256").hexdigest()
    return found


def events_behind(
    alerts: pl.DataFrame, dataset: Dataset, extractor: FeatureExtractor
) -> pl.DataFrame:
    """The events of these windows in order of time, with their `window_id`."""
    own = dataset.events.drop(PERIOD).filter(
        pl.col("user_id").is_in(alerts["user_id"].unique().to_list())
    )
    if alerts.is_empty():
        return own.with_columns(pl.lit(None, pl.String).alias(WINDOW_ID))
    assigned = extractor.assign(own)
    return assigned.join(alerts.select(WINDOW_ID), on=WINDOW_ID, how="semi").sort("timestamp")


def report(run: Run, comparison: Comparison, windows: PreparedWindows) -> None:
    """Write metrics.json, scores, alerts, plots and the report; show the table and some alerts.

    Args:
        run: where to.
        comparison: what was measured.
        windows: by period.
    """
    evaluations = [row.evaluations[0] for row in comparison.rows]
    focus, refused = evaluations[0], comparison.refused
    about = {name: getattr(comparison.about, name) for name in ("data", "seed", "budget")}
    write_metrics(run.folder, metrics_document(evaluations, windows, about, refused))
    write_tables(run.folder, focus, comparison.alerts)
    with run.console.status("writing the report"):
        write_report(run.folder, comparison, PLOTS)
    run.tracker.metrics({f"test/{name}": value for name, value in focus.metrics.items()})
    for name in ("metrics.json", "alerts.csv", HTML, MARKDOWN, PLOTS):
        run.tracker.artifact(run.folder / name, PLOTS if name == PLOTS else None)
    print_table(run.console, evaluations, comparison.about.budget, refused)
    print_alerts(run.console, comparison.alerts, int(focus.scores["alert"].sum()))
    warn_if_over_budget(run, focus)


def warn_if_over_budget(run: Run, evaluation: Evaluation) -> None:
    """Say so where the threshold of the calibration period gave far more alerts than planned."""
    planned, raised = (
        int(evaluation.metrics[name] or 0) for name in ("alerts_at_budget", "alerts_at_threshold")
    )
    if raised > 2 * planned + 10:
        run.say(
            f"{raised:,} alerts where the budget plans {planned:,}: the test period is unlike the "
            "calibration period; follow the scores (threshold=daily_budget threshold.adapt=true) "
            "or lengthen it (data.split.calibration)"
        )
