"""The steps that training and evaluating share: windows, results, alerts, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.markup import escape

from riskml.core.redaction import printable
from riskml.core.schema import time_span
from riskml.data.batch_reference import BatchReference
from riskml.data.datasets import Dataset
from riskml.data.quarantine import summarise, write_quarantine
from riskml.data.splits import PERIOD
from riskml.evaluation.backtest import Backtested
from riskml.evaluation.comparison import About, Comparison
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.measures.intervals import with_intervals
from riskml.evaluation.outputs import (
    metrics_document,
    write_detectors,
    write_metrics,
    write_tables,
)
from riskml.evaluation.reporting.printed import print_alerts, print_findings, print_table
from riskml.evaluation.reporting.report import HTML, MARKDOWN, write_report
from riskml.export.manifest import describe
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows, prepare
from riskml.runs.assembly import (
    build_dataset,
    build_extractor,
    build_threshold,
    detector_parameters,
)
from riskml.runs.context import PLOTS, REFERENCE, Run, command_of
from riskml.runs.tracked_comparison import track

RESAMPLES = 2_000
"""Of runs from before there was a setting for it."""

TOLD = ("model", "threshold", "scoring", "backtest", "trainer")
"""Settings that a report lists beside those of features."""

PLACES = ("paths", "logger", "run", "resume", "ckpt_path")
"""Settings that say where things are and change no number."""


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
    run.tracker.dataset(data.name, events.drop(PERIOD), dataset.fingerprint)
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


def compare(
    run: Run, found: Backtested, dataset: Dataset, fingerprint: str | None = None
) -> Comparison:
    """All that was measured, the detector in focus first.

    Args:
        run: whose settings they are.
        found: by detector, fold and seed.
        dataset: the log.
        fingerprint: of the settings, where the run has it from an earlier one.
    """
    rule, extractor = build_threshold(run.cfg.threshold), build_extractor(run.cfg.features)
    about = About(
        data=run.cfg.data.name,
        budget=rule.describe(),
        seed=run.cfg.seed,
        data_fingerprint=dataset.fingerprint,
        config_fingerprint=fingerprint or config_fingerprint(run.cfg),
        created=datetime.now(UTC),
        command=command_of(run.cfg),
        features=found.features,
        unknown_action_rate=found.unknown_action_rate,
        window=extractor.window.kind,
        rule=rule,
        time_zone=extractor.time_zone,
        settings=settings_of(run.cfg),
    )
    with run.console.status("resampling users for the intervals"):
        rows = with_intervals(found.rows, run.cfg.get("resamples", RESAMPLES))
    return Comparison(
        about,
        found.folds,
        rows,
        found.alerts,
        found.events,
        dict(found.refused),
        found.findings,
    )


def settings_of(cfg: DictConfig) -> dict[str, str]:
    """What made the detector in focus, a name a setting; families that are not used are left out.

    Absolute paths are left out: a report may be read elsewhere.
    """
    whole = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(whole, dict)
    features = dict(whole["features"])
    used = features.get("use") or ()
    families = features.get("families") or {}
    features["families"] = {name: families[name] for name in used if name in families}
    parts = {name: whole.get(name) for name in TOLD} | {"features": features}
    return dict(_flat(parts, ""))


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{place}")
    elif value is not None and not (isinstance(value, str) and Path(value).is_absolute()):
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def config_fingerprint(cfg: DictConfig) -> str:
    """SHA-256 of the settings that can change a number: all but places and names of places."""
    kept = OmegaConf.create({str(name): cfg._get_node(name) for name in cfg if name not in PLACES})
    if "backtest" in kept:
        kept.backtest.pop("workers", None)
    text = OmegaConf.to_yaml(kept, resolve=False, sort_keys=True)
    return sha256(text.encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): describe(path)["sha256"] for path in files}


def report(run: Run, comparison: Comparison) -> None:
    """Write metrics.json, scores, alerts, plots and the report; show the table and some alerts.

    Args:
        run: where to.
        comparison: what was measured.
    """
    focus = comparison.focus
    write_metrics(run.folder, metrics_document(comparison))
    write_detectors(run.folder, comparison)
    write_tables(run.folder, focus, comparison.alerts)
    with run.console.status("writing the report"):
        write_report(run.folder, comparison, PLOTS)
    track(run.tracker, comparison, detector_parameters(run.cfg))
    for name in ("metrics.json", "detectors.csv", "alerts.csv", HTML, MARKDOWN, PLOTS):
        run.tracker.artifact(run.folder / name, PLOTS if name == PLOTS else None)
    print_table(run.console, comparison)
    print_findings(run.console, comparison)
    explained = focus.evaluations[0].seed
    alerts = sum(
        int(each.scores["alert"].sum()) for each in focus.evaluations if each.seed == explained
    )
    print_alerts(run.console, comparison.alerts, alerts)
    for evaluation in focus.evaluations:
        warn_if_over_budget(run, evaluation)


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
