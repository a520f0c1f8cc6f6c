"""An evaluation in the tracker: a run inside it for each detector, in that one for each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from riskml.evaluation.comparison import Comparison, Row
from riskml.evaluation.evaluator import Evaluation
from riskml.runs.tracking import Tracker

FOCUS, BASELINE = "focus", "baseline"
ALL = "all"
"""Of a run that stands for several folds or seeds."""
MAIN = ("average_precision", "roc_auc", "precision_at_budget", "recall_at_budget")
"""What MLflow's page shows first is what it was told first."""


def track(
    tracker: Tracker, comparison: Comparison, settings: Mapping[str, Mapping[str, Any]]
) -> None:
    """Tell all that was measured.

    The run itself has the metrics of the detector in focus. Where there is more to tell, it holds
    a run for each detector with its metrics over all folds and seeds; and that one, where there
    are several of them, a run for each.

    Args:
        tracker: of the evaluation's run.
        comparison: what was measured.
        settings: of each detector, by its name.
    """
    about = comparison.about
    tracker.parameters(
        {
            "budget": about.budget,
            "data_fingerprint": about.data_fingerprint,
            "config_fingerprint": about.config_fingerprint,
        }
    )
    tracker.metrics(row_metrics(comparison.focus))
    tracker.describe(description(comparison))
    if len(comparison.rows) == len(comparison.focus.evaluations) == 1:
        return
    # the page lists the newest first: the focus, then the best of the others
    ranked = sorted(comparison.rows[1:], key=lambda row: row.metrics.get(MAIN[0]) or 0.0)
    for row in (*ranked, comparison.focus):
        role = FOCUS if row is comparison.focus else BASELINE
        with tracker.child(row.name, _tags(row.name, role, row.evaluations)) as one:
            one.parameters(settings.get(row.name, {}))
            one.metrics(row_metrics(row))
            if row.note:
                one.describe(row.note)
            if len(row.evaluations) > 1:
                _track_each(one, row, role)


def _track_each(tracker: Tracker, row: Row, role: str) -> None:
    for evaluation in reversed(row.evaluations):
        tags = _tags(row.name, role, [evaluation])
        varying = [
            f"{kind} {tags[kind]}"
            for kind in ("fold", "seed")
            if len({getattr(each, kind) for each in row.evaluations}) > 1
        ]
        with tracker.child(f"{row.name}, {', '.join(varying)}", tags) as one:
            one.metrics({f"test/{name}": value for name, value in evaluation.metrics.items()})


def row_metrics(row: Row) -> dict[str, float | None]:
    """Metrics with the ends of their intervals, and how far the detector in focus is above."""
    found: dict[str, float | None] = {}
    for name in (*MAIN, *(name for name in row.metrics if name not in MAIN)):
        found[f"test/{name}"] = row.metrics.get(name)
        if name in row.intervals:
            interval = row.intervals[name]
            found |= {f"test/{name}_low": interval.low, f"test/{name}_high": interval.high}
    for name, lead in row.lead.items():
        found |= {
            f"lead/{name}": lead.value,
            f"lead/{name}_low": lead.low,
            f"lead/{name}_high": lead.high,
        }
    return found


def description(comparison: Comparison) -> str:
    """What was evaluated, in Markdown; what could not be, and what the checks found."""
    about, tests = comparison.about, [fold.test for fold in comparison.folds]
    first, last = min(test[0] for test in tests), max(test[1] for test in tests)
    lines = [
        f"**{comparison.focus.name}** on **{about.data}**, tested on "
        f"{sum(test[2] for test in tests):,} windows from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        + (f" in {len(tests)} folds" if len(tests) > 1 else "")
        + f". Budget: {about.budget}."
    ]
    found = [f for f in comparison.findings if f.verdict != "ok"]
    lines += [f"- {f.verdict}{f' ({f.detector})' if f.detector else ''}: {f.text}" for f in found]
    lines += [f"- no {name}: {reason}" for name, reason in comparison.refused.items()]
    return "\n".join([lines[0], "", *lines[1:]]).strip()


def _tags(name: str, role: str, evaluations: Sequence[Evaluation]) -> dict[str, str]:
    folds, seeds = (
        sorted({getattr(each, kind) for each in evaluations}) for kind in ("fold", "seed")
    )
    return {
        "detector": name,
        "role": role,
        "fold": str(folds[0]) if len(folds) == 1 else ALL,
        "seed": str(seeds[0]) if len(seeds) == 1 else ALL,
    }
