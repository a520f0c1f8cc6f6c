"""What a unit of a backtest has found, on disk: Parquet and JSON, whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import BundleError, reading
from riskml.evaluation.comparison import Finding, Fold
from riskml.evaluation.evaluator import Evaluation
from riskml.scoring.alert_state import alerting_state, read_alerting
from riskml.scoring.calibration import Calibration

PART, SCORES, INCIDENTS = "part.json", "scores.parquet", "incidents.parquet"
ALERTS, EVENTS = "alerts.parquet", "events.parquet"
FORMAT = 1
DRAFT = ".draft"


@dataclass(frozen=True)
class Part:
    """What was found of one detector in one fold.

    Args:
        evaluation: scores and metrics.
        fold: as it came out.
        features: number of them.
        unknown_action_rate: share of test events whose action was not seen in training.
        alerts, events: of the detector in focus; None for the others.
        epochs: numbers of each epoch of its training.
    """

    evaluation: Evaluation
    fold: Fold
    features: int
    unknown_action_rate: float
    alerts: pl.DataFrame | None = None
    events: pl.DataFrame | None = None
    epochs: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Refused:
    """A detector that the windows of a fold do not suit, or whose numbers would mislead."""

    name: str
    fold: int
    seed: int
    reason: str
    findings: tuple[Finding, ...] = ()


def part_folder(folder: Path, place: int, name: str, fold: int, seed: int) -> Path:
    """Where a unit is kept; `place` tells apart names that differ in odd characters alone."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return folder / f"fold-{fold}" / f"{place:02d}-{plain}-seed-{seed}"


def write_part(folder: Path, place: int, found: Part | Refused) -> None:
    """Keep what a unit has found: after a kill it is there whole or not at all."""
    about = found.evaluation if isinstance(found, Part) else found
    target = part_folder(folder, place, about.name, about.fold, about.seed)
    draft = target.with_name(target.name + DRAFT)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    if isinstance(found, Part):
        state = _state(found)
        for name, table in _tables(found).items():
            table.write_parquet(draft / name)
    else:
        state = asdict(found)
    text = json.dumps({"format": FORMAT, **state}, indent=1, ensure_ascii=False, allow_nan=False)
    (draft / PART).write_text(text)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


def read_part(target: Path) -> Part | Refused:
    """Read what `write_part` wrote.

    Raises:
        BundleError: names the file that is damaged or of another version, and the folder to
            delete so that its unit is worked on again.
    """
    with _reading(target / PART):
        state = json.loads((target / PART).read_text())
        if state.pop("format") != FORMAT:
            raise ValueError("of another version of riskml")
        if "reason" in state:
            return Refused(**state | {"findings": _findings(state)})
    tables = {}
    for name in (SCORES, INCIDENTS, ALERTS, EVENTS):
        if name == SCORES or (target / name).is_file():
            with _reading(target / name):
                tables[name] = pl.read_parquet(target / name)
    with _reading(target / PART):
        evaluation = Evaluation(
            state["name"],
            tables[SCORES],
            Calibration.from_dict(state["calibration"]),
            read_alerting(state["alerting"]),
            state["metrics"],
            state["note"],
            state["fold"],
            state["seed"],
            tables.get(INCIDENTS),
            state["normal_weight"],
            _findings(state),
        )
        return Part(
            evaluation,
            Fold(state["fold"], *(_span(span) for span in state["periods"])),
            state["features"],
            state["unknown_action_rate"],
            tables.get(ALERTS),
            tables.get(EVENTS),
            tuple(state["epochs"]),
        )


def check_parts(folder: Path) -> None:
    """See that all finished units in a folder can be read, before any work goes on from them.

    Raises:
        BundleError: see `read_part`.
    """
    for target in sorted(folder.glob("fold-*/*")):
        if target.is_dir() and target.suffix != DRAFT:
            read_part(target)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """As `reading`, with the remedy: a part that is not there is made again."""
    try:
        with reading(path):
            try:
                yield
            except KeyError as error:
                raise ValueError(f"it has no {error}") from error
    except Exception as error:  # what a part says of itself can be wrong in any way
        named = str(error) if str(path) in str(error) else f"{path} is damaged ({error})"
        raise BundleError(
            f"{named}; delete the folder {path.parent}: that part is made again"
        ) from error


def _state(part: Part) -> dict[str, Any]:
    evaluation, fold = part.evaluation, part.fold
    return {
        "name": evaluation.name,
        "fold": evaluation.fold,
        "seed": evaluation.seed,
        "note": evaluation.note,
        "normal_weight": evaluation.normal_weight,
        "metrics": evaluation.metrics,
        "calibration": evaluation.calibration.to_dict(),
        "alerting": alerting_state(evaluation.alerting),
        "periods": [
            (start.isoformat(), end.isoformat(), windows)
            for start, end, windows in (fold.train, fold.calibration, fold.test)
        ],
        "features": part.features,
        "unknown_action_rate": part.unknown_action_rate,
        "findings": [asdict(finding) for finding in evaluation.findings],
        "epochs": [dict(epoch) for epoch in part.epochs],
    }


def _findings(state: Mapping[str, Any]) -> tuple[Finding, ...]:
    return tuple(Finding(**finding) for finding in state["findings"])


def _tables(part: Part) -> dict[str, pl.DataFrame]:
    tables = {
        SCORES: part.evaluation.scores,
        INCIDENTS: part.evaluation.incidents,
        ALERTS: part.alerts,
        EVENTS: part.events,
    }
    return {name: table for name, table in tables.items() if table is not None}


def _span(span: list[Any]) -> tuple[datetime, datetime, int]:
    start, end, windows = span
    return datetime.fromisoformat(start), datetime.fromisoformat(end), int(windows)
