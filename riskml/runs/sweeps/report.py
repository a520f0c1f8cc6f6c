"""What a sweep tells: progress with the time left, the choice, sweep.json, a table and plots."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from sqlalchemy import make_url

from riskml import __version__
from riskml.core.errors import DataError
from riskml.evaluation.choice import LABELS, LIKELIHOOD
from riskml.runs.context import PLOTS, Run
from riskml.runs.sweeps.plots import save_sweep_plots
from riskml.runs.sweeps.sampler import qualities, ranked_study
from riskml.runs.sweeps.settings import SweepSettings
from riskml.runs.sweeps.space import Space
from riskml.runs.sweeps.study import (
    ABOUT,
    COUNTS,
    DEFAULT,
    GONE,
    OBJECTIVE,
    REASON,
    SCORE_SECONDS,
    SECONDS,
    TERMS,
    SweepStudy,
    counts,
    storage_url,
)

SWEEP_FILE = "sweep.json"
SHOWN, KEPT = 5, 20
"""Best trials in the table, and in sweep.json."""


class Watch(AbstractContextManager["Watch"]):
    """Shows how many trials are over, how good the best is, and how long the rest will take."""

    def __init__(self, run: Run, study: SweepStudy) -> None:
        self.run, self.study = run, study
        self.known = {trial.number for trial in study.counted()}
        self.before, self.start = len(self.known), time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(
            *columns,
            console=run.console,
            transient=True,
            speed_estimate_period=3600,
            disable=not run.console.is_terminal,
        )
        self.task = self.bar.add_task("trials", total=study.n_trials, completed=self.before)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def look(self, doing: str = "trials") -> None:
        """Tell of the trials that are over since the last look."""
        over = self.study.counted()
        for trial in over:
            if trial.number not in self.known:
                self.known.add(trial.number)
                self.run.say(f"{_line(trial)}{self._left(len(over))}")
        self.bar.update(self.task, completed=len(over), description=doing)

    def _left(self, over: int) -> str:
        """How long the rest will take at the pace so far; the bar says it on a terminal."""
        if self.run.console.is_terminal or over <= self.before:
            return ""
        pace = (time.monotonic() - self.start) / (over - self.before)
        minutes = pace * (self.study.n_trials - over) / 60
        return f" ({over} of {self.study.n_trials}, about {minutes:.1f} min left)"


def _line(trial: FrozenTrial) -> str:
    if trial.state == TrialState.COMPLETE:
        terms = trial.user_attrs[TERMS].items()
        return f"trial {trial.number}: " + ", ".join(f"{k} {v:.3f}" for k, v in terms)
    state = "pruned" if trial.state == TrialState.PRUNED else "failed"
    return f"trial {trial.number} {state}: {trial.user_attrs.get(REASON, '')}"


@dataclass(frozen=True)
class Choice:
    """What the finished trials come to.

    Args:
        weights: of the terms.
        quality: of each complete trial by its number: its weighted mean rank, 0 to 1.
        best: complete trials, best first; with two objectives those that no other is better than
            in both come before the rest.
        front: how many of them those are; 0 with one objective.
    """

    weights: dict[str, float]
    quality: dict[int, float]
    best: list[FrozenTrial]
    front: int = 0


def choose(study: SweepStudy, settings: SweepSettings) -> Choice:
    """Rank the complete trials.

    Raises:
        DataError: there is none.
    """
    trials = study.trials()
    weights: dict[str, float] = study.study.user_attrs.get(OBJECTIVE, {})
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        reasons = [t.user_attrs[REASON] for t in trials if t.user_attrs.get(COUNTS)]
        first = f"; the first failed with: {reasons[0]}" if reasons else ""
        raise DataError(f"none of the {len(study.counted())} trials came to an end{first}")
    quality = qualities(trials, weights)
    # of equals the earlier: it had fewer others to learn from
    best = sorted(complete, key=lambda trial: (-quality[trial.number], trial.number))
    if not settings.several_objectives:
        return Choice(weights, quality, best)
    front = [trial for trial in best if not any(_beats(o, trial, quality) for o in complete)]
    rest = [trial for trial in best if trial not in front]
    return Choice(weights, quality, front + rest, len(front))


def _beats(one: FrozenTrial, other: FrozenTrial, quality: Mapping[int, float]) -> bool:
    """Whether one is better in quality or time of scoring, and no worse in the other."""
    pairs = [(quality[t.number], -t.user_attrs[SCORE_SECONDS]) for t in (one, other)]
    return pairs[0] != pairs[1] and all(a >= b for a, b in zip(*pairs, strict=True))


def report(
    run: Run, study: SweepStudy, space: Space, settings: SweepSettings, choice: Choice
) -> None:
    """Write sweep.json and the plots, tell MLflow, and show the best."""
    write(run, document(study, space, settings, choice))
    with run.console.status("drawing plots"):
        ranked: Study = ranked_study(study, choice.weights)
        both = ranked_study(study, choice.weights, seconds=True)
        for line in save_sweep_plots(ranked, both, run.folder / PLOTS):
            run.say(line)
    best = choice.best[0]
    run.tracker.metrics({f"best/{name}": value for name, value in best.user_attrs[TERMS].items()})
    run.tracker.artifact(run.folder / PLOTS, PLOTS)
    run.console.print(table(study, choice))
    values = space.values(best.params)
    changed = " ".join(f"{name}={_typed(value)}" for name, value in values.items())
    run.say(f"best        trial {best.number}: {changed}")


def write(run: Run, found: Mapping[str, Any]) -> None:
    """Write sweep.json and give it to MLflow."""
    path = run.folder / SWEEP_FILE
    path.write_text(json.dumps(found, indent=1, allow_nan=False))
    run.tracker.artifact(path)


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote."""
    found: dict[str, Any] = json.loads((folder / SWEEP_FILE).read_text())
    return found


def document(
    study: SweepStudy, space: Space, settings: SweepSettings, choice: Choice
) -> dict[str, Any]:
    """The content of sweep.json."""
    trials = study.trials()
    failed = [t for t in trials if t.state == TrialState.FAIL]
    return {
        "schema_version": 1,
        "riskml_version": __version__,
        "study": study.name,
        "storage": make_url(storage_url(settings)).render_as_string(hide_password=True),
        "log": study.study.user_attrs.get(ABOUT),
        "objective": choice.weights,
        "objectives": list(settings.objectives),
        "trials": {
            "wanted": study.n_trials,
            "complete": len(choice.best),
            "pruned": sum(t.state == TrialState.PRUNED for t in trials),
            "failed": sum(counts(t) for t in failed),
            "died_or_interrupted": sum(not counts(t) for t in failed),
        },
        "best": [
            {
                "place": place,
                "trial": trial.number,
                "quality": choice.quality[trial.number],
                "terms": trial.user_attrs[TERMS],
                "fit_seconds": trial.user_attrs[SECONDS],
                "score_seconds_per_1000": trial.user_attrs[SCORE_SECONDS],
                "default": bool(trial.user_attrs.get(DEFAULT)),
                "not_beaten_in_both": place <= choice.front if choice.front else None,
                "settings": space.values(trial.params),
            }
            for place, trial in enumerate(choice.best[:KEPT], 1)
        ],
        "failures": [
            {"trial": t.number, "reason": t.user_attrs.get(REASON, GONE), "counts": counts(t)}
            for t in failed
        ],
    }


def table(study: SweepStudy, choice: Choice) -> Table:
    """The best trials for people, with their terms."""
    made = Table(
        title=f"Best of {len(study.counted())} trials ({len(choice.best)} complete) of "
        f"{study.name}\nquality: mean rank among them by {_weighed(choice.weights)}",
        title_justify="left",
    )
    for column in ("trial", "quality", *choice.weights, "s/1000"):
        made.add_column(column, justify="right")
    made.add_column("", no_wrap=True)
    for trial in choice.best[:SHOWN]:
        is_default = trial.user_attrs.get(DEFAULT)
        made.add_row(
            str(trial.number),
            f"{choice.quality[trial.number]:.3f}",
            *(f"{trial.user_attrs[TERMS].get(term, float('nan')):.3f}" for term in choice.weights),
            f"{trial.user_attrs[SCORE_SECONDS]:.3f}",
            "as configured" if is_default else "",
        )
    return made


def _weighed(weights: Mapping[str, float]) -> str:
    names = {LIKELIHOOD: "held-out likelihood", LABELS: "incidents found"}
    return ", ".join(f"{names.get(term, term)} ({weight:g})" for term, weight in weights.items())


def _typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
