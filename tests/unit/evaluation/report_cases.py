"""Whole comparisons for the tests of reports, some of them hostile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from evaluation_cases import MakeWindows, evaluated, prepared

from riskml.core.types import PEER, FloatArray, Reason
from riskml.evaluation.comparison import (
    About,
    Comparison,
    Difference,
    Finding,
    Fold,
    Interval,
    Row,
    rows_of,
)
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.explained import FOLD
from riskml.evaluation.outputs import alerts_table
from riskml.scoring.thresholds import DailyBudget

INCIDENTS = {3: ["one"], 4: ["one"], 20: ["two"], 41: ["three"]}
SCENARIOS = {"one": "theft", "two": "theft", "three": "takeover"}

HOSTILE = (
    "</td></script><script>alert(1)</script><img src=http://x.invalid/i.png onerror=alert(1)>"
    "|`a`\n# b\n- c\u202e\x00\"' &lt; [d](javascript:alert(1)) ![e](http://x.invalid/e.png) "
    "http://x.invalid www.x.invalid {{ 7 * 7 }} $f$ ~~g~~ __h__ **i**"
)
"""A name that tries everything; it must be seen as it stands."""


def comparison(
    make_windows: MakeWindows,
    incidents: dict[int, list[str]] | None = INCIDENTS,
    others: Sequence[str] = ("good", "bad"),
    folds: int = 1,
    seeds: int = 1,
    normal_weight: float = 1.0,
    tail: float = 8.0,
) -> Comparison:
    """Three users over six test days a fold; the focus finds most of what there is.

    Args:
        make_windows: the fixture.
        incidents: of test windows by place; None where the truth is not known.
        others: names of the detectors beside the focus; `good` ranks all right.
        folds: each with windows of its own.
        seeds: of the focus.
        normal_weight: how many normal windows each stands for.
        tail: how far risky windows of the focus score above normal ones.
    """
    evaluations: list[Evaluation] = []
    parts = []
    for number in range(folds):
        windows = prepared(make_windows, incidents, normal_weight=normal_weight)
        windows = replace(windows, incidents=incident_table(windows.test.keys, incidents))
        parts.append(Fold.of(number, windows))
        for name in ("focus", *others):
            for seed in range(seeds if name == "focus" else 1):
                scores = scores_of(name, incidents or {}, number + 10 * seed, tail)
                made = evaluated(windows, scores, rule=DailyBudget(2, max_share=1), name=name)
                note = "drawn by lot" if name == "bad" else ""
                evaluations.append(replace(made, fold=number, seed=seed, note=note))
    focus = [e for e in evaluations if e.name == "focus" and e.seed == 0]
    alerts = pl.concat([alerts_of(evaluation) for evaluation in focus])
    return Comparison(
        About(
            "log",
            "2 alerts a day",
            0,
            "d" * 64,
            "c" * 64,
            datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            features=5,
            window="user_day",
        ),
        tuple(parts),
        rows_of(evaluations),
        alerts,
        events_of(alerts),
    )


def scores_of(name: str, incidents: Mapping[int, object], seed: int, tail: float) -> FloatArray:
    """`good` ranks all right, `bad` knows nothing, the others are between."""
    rng = np.random.default_rng([seed, *name.encode()])
    scores = rng.normal(25, 6, 60)
    if name != "bad":
        scores[list(incidents)] += 60 if name == "good" else tail
    return scores.astype(np.float32)


def incident_table(
    keys: pl.DataFrame, incidents: Mapping[int, Sequence[str]] | None
) -> pl.DataFrame | None:
    """As `PreparedWindows.incidents`: each begins a minute after its first window."""
    if incidents is None:
        return None
    first: dict[str, int] = {}
    for row, names in sorted(incidents.items()):
        for name in names:
            first.setdefault(name, row)
    rows = [keys.row(row, named=True) for row in first.values()]
    minute = timedelta(minutes=1)
    return pl.DataFrame(
        {
            "incident_id": list(first),
            "scenario": [SCENARIOS.get(name) for name in first],
            "user_id": [row["user_id"] for row in rows],
            "start": [row["start"] + minute for row in rows],
            "end": [row["end"] for row in rows],
            "n_events": [row["n_events"] for row in rows],
        },
        schema={
            "incident_id": pl.String,
            "scenario": pl.String,
            "user_id": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
            "n_events": pl.Int64,
        },
    )


def alerts_of(evaluation: Evaluation) -> pl.DataFrame:
    """Alerts with one reason each."""
    reason = Reason("events", 1.0, "events: 9, usually 2")
    count = int(evaluation.scores["alert"].sum())
    table = alerts_table(evaluation, [[reason]] * count)
    return table.with_columns(pl.lit(evaluation.fold, pl.Int64).alias(FOLD))


def events_of(alerts: pl.DataFrame, each: int = 35) -> pl.DataFrame:
    """So many events behind each alert."""
    rows: list[dict[str, Any]] = []
    for alert in alerts.iter_rows(named=True):
        for i in range(each):
            rows.append(
                {
                    "event_id": f"{alert['window_id']}-{i}",
                    "user_id": alert["user_id"],
                    "timestamp": alert["start"] + timedelta(seconds=i),
                    "action": f"action{i}",
                    "resource": None if i % 2 else "file",
                    "source": "10.0.0.1",
                    "success": i % 3 > 0,
                    "bytes": i,
                    "window_id": alert["window_id"],
                    FOLD: alert[FOLD],
                }
            )
    return pl.DataFrame(rows, schema_overrides={FOLD: pl.Int64})


def with_intervals(made: Comparison, leads: Mapping[str, tuple[float, float]]) -> Comparison:
    """Intervals of average precision for all, and the given ones of the focus's lead."""
    rows = []
    for row in made.rows:
        value = row.metrics["average_precision"] or 0.0
        lead = {}
        if row.name in leads:
            low, high = leads[row.name]
            lead = {"average_precision": Difference((low + high) / 2, low, high, 0.04)}
        between = {"average_precision": Interval(value - 0.1, value + 0.05)}
        rows.append(replace(row, intervals=between, lead=lead))
    return replace(made, rows=tuple(rows))


def hostile(make_windows: MakeWindows) -> Comparison:
    """Everything that a log or a config could name is called `HOSTILE`; twenty detectors."""
    bad = {20: [HOSTILE], 3: [HOSTILE]}
    made = comparison(make_windows, bad, others=[f"{i}" for i in range(20)])
    rows: list[Row] = []
    for row in made.rows:
        parts = []
        for evaluation in row.evaluations:
            known = evaluation.incidents
            assert known is not None
            parts.append(
                replace(
                    evaluation,
                    name=f"{HOSTILE}{row.name}",
                    note=HOSTILE,
                    scores=evaluation.scores.with_columns(
                        user_id=HOSTILE + pl.col("user_id"),
                        window_id=HOSTILE + pl.col("window_id"),
                        **{PEER: pl.lit(HOSTILE)},
                    ),
                    incidents=known.with_columns(scenario=pl.lit(HOSTILE)),
                )
            )
        rows.append(Row(tuple(parts), row.metrics))
    names = {name: HOSTILE + pl.col(name) for name in ("user_id", "window_id")}
    alerts = made.alerts.with_columns(**names, reasons=pl.lit([HOSTILE]), **{PEER: pl.lit(HOSTILE)})
    events = made.events.with_columns(
        **names, action=pl.lit(HOSTILE), resource=pl.lit(HOSTILE), source=pl.lit(HOSTILE)
    ).rename({"bytes": HOSTILE})
    about = replace(made.about, data=HOSTILE, budget=HOSTILE, command=HOSTILE)
    return replace(
        made,
        about=about,
        rows=tuple(rows),
        alerts=alerts,
        events=events,
        refused={HOSTILE: HOSTILE},
        findings=(Finding(HOSTILE, "refused", HOSTILE, HOSTILE), Finding(HOSTILE, "ok", HOSTILE)),
    )
