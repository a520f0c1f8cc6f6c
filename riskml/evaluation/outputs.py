"""What a run leaves for programs and people: metrics, scores, alerts, and a readable table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from riskml import __version__
from riskml.core.types import PEER, Explanations
from riskml.evaluation.comparison import Comparison, Row
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.metrics import Metrics

SCHEMA_VERSION = 1
PERIODS = ("train", "calibration", "test")
MAX_EXPLAINED = 200

COLUMNS = {
    "average_precision": "AP",
    "roc_auc": "ROC-AUC",
    "precision_at_budget": "prec.",
    "recall_at_budget": "recall",
    "f1_at_budget": "F1",
    "fit_seconds": "fit s",
    "score_seconds": "score s",
}


def metrics_document(comparison: Comparison) -> dict[str, Any]:
    """The content of metrics.json: the detector in focus first, then every detector by name."""
    about, rows = comparison.about, comparison.rows
    return {
        "schema_version": SCHEMA_VERSION,
        "riskml_version": __version__,
        "data": about.data,
        "seed": about.seed,
        "budget": about.budget,
        "detector": comparison.focus.name,
        "windows": {
            name: sum(getattr(fold, name)[2] for fold in comparison.folds) for name in PERIODS
        },
        "features": about.features,
        "unknown_action_rate": about.unknown_action_rate,
        "metrics": comparison.focus.metrics,
        "detectors": {row.name: row.metrics for row in rows},
        "notes": {row.name: row.note for row in rows if row.note},
        "refused": dict(comparison.refused),
    }


def write_metrics(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write metrics.json; numbers that are not defined are null."""
    path = folder / "metrics.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False))
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


def print_table(console: Console, comparison: Comparison) -> None:
    """The comparison for people, best average precision first, with its footnotes.

    Args:
        console: where to.
        comparison: what was measured; detectors that were refused come last.
    """
    evaluations, refused, budget = comparison.rows, comparison.refused, comparison.about.budget
    if evaluations[0].metrics.get("average_precision") is None:
        console.print("Nothing known to be risky in the test period: no measures, alerts below.")
        return
    notes: dict[str, int] = {}

    def marked(name: str, note: str) -> str:
        return f"{name} [{notes.setdefault(note, len(notes) + 1)}]" if note else name

    positives, total = (
        evaluations[0].metrics[name] for name in ("positive_windows", "test_windows")
    )
    table = Table(
        title=f"Test period: {positives:,} risky of {total:,} windows\n"
        f"precision, recall, F1 within the budget: {budget}",
        title_justify="left",
    )
    table.add_column("detector", no_wrap=True)
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for evaluation in sorted(evaluations, key=_by_average_precision):
        style = "bold" if evaluation is evaluations[0] else ""
        table.add_row(
            escape(marked(evaluation.name, evaluation.note)),
            *(_cell(evaluation.metrics, name) for name in COLUMNS),
            style=style,
        )
    for name, reason in refused.items():
        table.add_row(escape(marked(name, reason)), *("–" for _ in COLUMNS))
    console.print(table)
    for note, number in notes.items():
        console.print(f"[{number}] {_printable(note)}", highlight=False, markup=False)


def print_alerts(console: Console, alerts: pl.DataFrame, total: int, top: int = 5) -> None:
    """The riskiest alerts and why.

    Args:
        console: where to.
        alerts: of `alerts_table`.
        total: how many windows passed the threshold.
        top: how many are shown.
    """
    if alerts.is_empty():
        console.print("No alerts.")
        return
    kept = "" if len(alerts) == total else f" ({len(alerts):,} kept in the files)"
    console.print(f"[bold]{total:,} alerts{kept}; the riskiest:[/bold]")
    for alert in alerts.head(top).iter_rows(named=True):
        truth = {1: "  (truly risky)", 0: "  (normal in truth)"}.get(alert.get("label", -1), "")
        console.print(
            f"  risk {alert['risk']:5.1f}  [bold]{escape(_printable(alert['user_id']))}[/bold]  "
            f"{alert['start']:%Y-%m-%d %H:%M} to {alert['end']:%Y-%m-%d %H:%M} UTC, "
            f"{alert['n_events']:,} events{truth}",
            highlight=False,
        )
        for reason in alert["reasons"][:4]:
            console.print(f"        - {_printable(reason)}", highlight=False, markup=False)


def _printable(text: str) -> str:
    """Names come from the log: none may steer the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _by_average_precision(evaluation: Row) -> float:
    return -(evaluation.metrics.get("average_precision") or 0.0)


def _cell(metrics: Metrics, name: str) -> str:
    value = metrics.get(name)
    if value is None:
        return "–"
    return f"{value:.2f}" if name.endswith("seconds") else f"{value:.3f}"
