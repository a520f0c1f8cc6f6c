"""The files that a run leaves for programs and people: metrics, scores, alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from riskml import __version__
from riskml.core.types import PEER, Explanations
from riskml.core.versions import versions
from riskml.evaluation.comparison import Comparison, Row
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.measures.breakdowns import BREAKDOWNS, break_down

SCHEMA_VERSION = 2
METRICS_SCHEMA = Path(__file__).with_name("metrics.schema.json")
"""JSON schema (draft 2020-12) of metrics.json."""
PERIODS = ("train", "calibration", "test")
MAX_EXPLAINED = 200


def metrics_document(comparison: Comparison) -> dict[str, Any]:
    """The content of metrics.json, see docs/outputs.md and `METRICS_SCHEMA`."""
    about, focus, rows = comparison.about, comparison.focus, comparison.rows
    return {
        "schema_version": SCHEMA_VERSION,
        "riskml_version": __version__,
        "data": about.data,
        "seed": about.seed,
        "budget": about.budget,
        "detector": focus.name,
        "windows": {
            name: sum(getattr(fold, name)[2] for fold in comparison.folds) for name in PERIODS
        },
        "features": about.features,
        "unknown_action_rate": about.unknown_action_rate,
        "about": {
            "created": about.created.isoformat(),
            "command": about.command,
            "data_fingerprint": about.data_fingerprint,
            "config_fingerprint": about.config_fingerprint,
            "versions": versions(),
        },
        "folds": [
            {"fold": fold.number, **{name: _period(*getattr(fold, name)) for name in PERIODS}}
            for fold in comparison.folds
        ],
        "metrics": focus.metrics,
        "detectors": {row.name: row.metrics for row in rows},
        "intervals": {
            row.name: {name: [found.low, found.high] for name, found in row.intervals.items()}
            for row in rows
        },
        "lead": {
            row.name: {
                name: {part: getattr(lead, part) for part in ("value", "low", "high", "p_value")}
                for name, lead in row.lead.items()
            }
            for row in rows
            if row is not focus
        },
        "seeds": {row.name: row.seeds for row in rows},
        "by_fold": {row.name: _each(row) for row in rows},
        "by_group": {row.name: _groups(row) for row in rows},
        "findings": [asdict(finding) for finding in comparison.findings],
        "notes": {row.name: row.note for row in rows if row.note},
        "refused": dict(comparison.refused),
    }


def _period(start: datetime, end: datetime, windows: int) -> dict[str, Any]:
    return {"start": start.isoformat(), "end": end.isoformat(), "windows": windows}


def _each(row: Row) -> list[dict[str, Any]]:
    return [
        {"fold": each.fold, "seed": each.seed, "metrics": each.metrics} for each in row.evaluations
    ]


def _groups(row: Row) -> dict[str, Any]:
    """By scenario, role and tenure; nothing without labels, or where a fold withholds them."""
    if not all("label" in each.scores.columns for each in row.evaluations):
        return {}
    return {
        by: {group.pop("group"): group for group in break_down(row, by).to_dicts()}
        for by in BREAKDOWNS
    }


def write_metrics(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write metrics.json; numbers that are not defined are null."""
    path = folder / "metrics.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False))
    return path


def write_detectors(folder: Path, comparison: Comparison) -> Path:
    """Write detectors.csv, for a spreadsheet: a row a detector, with its metrics and intervals."""
    rows = []
    for row in comparison.rows:
        intervals = [
            (f"{name}_{end}", getattr(interval, end))
            for name, interval in row.intervals.items()
            for end in ("low", "high")
        ]
        folds = len({each.fold for each in row.evaluations})
        counts = {"folds": folds, "seeds": len(row.seeds)}
        rows.append({"detector": row.name, **counts, **row.metrics, **dict(intervals)})
    path = folder / "detectors.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    return path


def alerts_table(evaluation: Evaluation, reasons: Explanations) -> pl.DataFrame:
    """The windows of `alert_rows` with their reasons as sentences."""
    return alert_rows(evaluation).with_columns(
        pl.Series("reasons", [[r.text for r in row] for row in reasons], dtype=pl.List(pl.String))
    )


def alert_rows(evaluation: Evaluation) -> pl.DataFrame:
    """Alerts, riskiest first, at most `MAX_EXPLAINED`; `row` points into the test windows."""
    scores = evaluation.scores
    evidence = evaluation.calibration.evidence(scores["score"].to_numpy(), scores[PEER])
    return (
        scores.with_row_index("row")
        .filter(pl.col("alert"))
        .sort(pl.Series(evidence).filter(scores["alert"]), "window_id", descending=[True, False])
        .head(MAX_EXPLAINED)
    )


def write_tables(folder: Path, row: Row, alerts: pl.DataFrame) -> None:
    """Write scores.parquet, alerts.parquet, and alerts.csv for a spreadsheet.

    Args:
        folder: where to.
        row: the detector in focus; its scores of all folds and seeds.
        alerts: its alerts, with reasons.
    """
    scores = [
        evaluation.scores.drop("within_budget").with_columns(
            pl.lit(evaluation.fold, pl.Int64).alias("fold"),
            pl.lit(evaluation.seed, pl.Int64).alias("seed"),
        )
        for evaluation in row.evaluations
    ]
    pl.concat(scores).write_parquet(folder / "scores.parquet")
    alerts = alerts.drop("within_budget", "row")
    alerts.write_parquet(folder / "alerts.parquet")
    lists = [name for name, kind in alerts.schema.items() if kind == pl.List(pl.String)]
    sheet = alerts.with_columns(pl.col(lists).list.join("; "))
    # names come from the log: none may be read as a formula by a spreadsheet
    texts = pl.col(pl.String).str.replace("^([=+\\-@\t\r])", "'$1")
    sheet.with_columns(texts).write_csv(folder / "alerts.csv")
