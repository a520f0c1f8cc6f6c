"""What an auditor's verdicts add, on simulated organisations.

python -m experiments.feedback.loop run [--seeds 0,1,2,3,4] [--detectors persistence,vae]
    [--learners forest,none]
python -m experiments.feedback.loop show [--seeds 0,1,2,3,4] [--detectors persistence,vae]

Each day of the test period a simulated auditor judges at most five windows, the highest, and from
the next day on the ranking has learnt from it. `alone` is the detector without verdicts, `truth`
ranks by truth: no ranking can do better at five a day. The triage sees what `riskml triage` sees:
features, one detector's evidence and its reasons. Worlds, once made ready, and results are kept in
outputs/feedback; `show` writes results.md, results.json and a picture for each detector.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure

from experiments.feedback.semi_supervised import LOSSES, TunedTriage
from experiments.feedback.worlds import World, encoder, world
from riskml.triage.blending import Triage, TriageSettings
from riskml.triage.classifier import KINDS
from riskml.triage.loop import Shown, Stream, run_loop, simulated_auditor
from riskml.triage.matrix import triage_matrix

HERE = Path(__file__).parent
KEPT = Path("outputs/feedback/results")
PER_DAY = 5
RETRAIN_DAYS = 2
FIRST_DAYS = 10
"""What comes after them is measured apart: by then there was something to learn from."""
NOISE = 0.1
ALONE, TRUTH = "alone", "truth"
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int8]


def stream_of(made: World) -> Stream:
    """The test period of a world as the triage sees it."""
    told = (
        (made.test, made.after, made.shares_after),
        (made.calibration, made.before, made.shares_before),
    )
    x, background = (
        triage_matrix(windows, {made.detector: evidence}, shares, made.topics)[0]
        for windows, evidence, shares in told
    )
    day = made.test.keys["end"].dt.date().cast(pl.Int64).to_numpy()
    users = made.test.keys["user_id"].to_numpy().astype(str)
    return Stream(x, made.after, day - day.min(), users, background)


def measured(made: World, stream: Stream, shown: Shown, alone: Mask, days: Mask) -> dict[str, Any]:
    """Of what the auditor was shown on some of the days.

    Args:
        made: the world.
        stream: its windows.
        shown: what came of the loop.
        alone: what the detector alone would have shown.
        days: windows of the days that are measured.
    """
    labels = made.labels
    seen, wanted = shown.shown & days, labels.astype(bool)
    hits, possible = int(labels[seen].sum()), int(labels[_truth(stream, labels) & days].sum())
    busy = np.isin(stream.day, np.unique(stream.day[wanted]))
    incidents = (
        made.truth.select(pl.col("incidents").alias("incident_id"))
        .with_columns(pl.Series("shown", seen), pl.Series("days", days))
        .filter("days")
        .explode("incident_id")
        .drop_nulls("incident_id")
        .group_by("incident_id")
        .agg(pl.col("shown").any())
        .join(made.incidents.select("incident_id", "scenario"), on="incident_id")
    )
    told = seen & shown.learnt
    chance = shown.chance
    return {
        "shown": int(seen.sum()),
        "hits": hits,
        "false_alarms": int(seen.sum()) - hits,
        "precision": hits / max(int(seen.sum()), 1),
        "precision_busy_days": float(labels[seen & busy].mean()),
        "of_truth": hits / possible,
        "window_recall": hits / int(labels[days].sum()),
        "incident_recall": float(incidents["shown"].to_numpy().mean()),
        "incident_labels": int(incidents["shown"].sum()),
        "scenarios": {
            name: [int(found), int(n)]
            for name, found, n in incidents.group_by("scenario")
            .agg(pl.col("shown").sum(), pl.len())
            .sort("scenario")
            .iter_rows()
        },
        "false_alarms_at_equal_recall": _false_alarms(
            shown.log_odds[days], labels[days], int(labels[alone & days].sum())
        ),
        "verdicts": shown.verdicts,
        "brier": float(np.mean((chance[told] - labels[told]) ** 2)) if told.any() else None,
        "calibration_error": calibration_error(chance[told], labels[told]) if told.any() else None,
    }


def calibration_error(chance: npt.NDArray[np.float64], labels: Labels) -> float:
    """Mean distance of promised and true share in five bins of equally many windows (ECE)."""
    bins = np.array_split(np.argsort(chance, kind="stable"), 5)
    apart = [
        len(rows) * abs(chance[rows].mean() - labels[rows].mean()) for rows in bins if len(rows)
    ]
    return float(np.sum(apart) / len(chance))


def _false_alarms(ranked: npt.NDArray[np.float64], labels: Labels, hits: int) -> int:
    """Above the threshold, the best in hindsight, that finds so many windows."""
    order = np.argsort(-ranked, kind="stable")
    return int(np.searchsorted(np.cumsum(labels[order]), hits)) + 1 - hits


def _truth(stream: Stream, labels: Labels) -> Mask:
    """The truth itself as a ranking."""
    return _without_verdicts(replace(stream, evidence=labels.astype(float)), labels).shown


def _without_verdicts(stream: Stream, labels: Labels) -> Shown:
    never = TriageSettings(kind="none", fewest=len(labels), explore=0.0)
    return run_loop(stream, simulated_auditor(labels), Triage(never), PER_DAY)


def rankings(
    stream: Stream, labels: Labels, seed: int, learners: list[str]
) -> Iterator[tuple[str, Shown]]:
    """By name, what the auditor was shown."""
    yield ALONE, _without_verdicts(stream, labels)
    yield TRUTH, _without_verdicts(replace(stream, evidence=labels.astype(float)), labels)
    usual = TriageSettings(seed=seed)
    for name, noise in product(learners, (0.0, NOISE)):
        judge = simulated_auditor(labels, noise, seed=seed)
        wrong = f", {noise:.0%} wrong" if noise else ""
        for least, told in ((0.0, "five a day"), (usual.least_chance, "at most five")):
            settings = replace(usual, least_chance=least)
            triage = (
                Triage(replace(settings, kind=name))
                if name in KINDS
                else TunedTriage(settings, name, encoder(seed))
            )
            shown = run_loop(stream, judge, triage, PER_DAY, RETRAIN_DAYS)
            yield f"{name}, {told}{wrong}", shown


def run(seed: int, detector: str, learners: list[str]) -> None:
    """Keep the results of one world."""
    made = world(seed, detector)
    stream, labels = stream_of(made), made.labels
    path = KEPT / detector / f"{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    alone = np.zeros(len(labels), np.bool_)
    start = time.perf_counter()
    for name, shown in rankings(stream, labels, seed, learners):
        alone = shown.shown if name == ALONE else alone
        every = np.ones(len(labels), np.bool_)
        hits = np.bincount(stream.day[shown.shown], labels[shown.shown], int(stream.day.max()) + 1)
        rows[name] = {
            "all days": measured(made, stream, shown, alone, every),
            f"after {FIRST_DAYS} days": measured(
                made, stream, shown, alone, stream.day >= FIRST_DAYS
            ),
            "hits_a_day": hits.tolist(),
            "shown_a_day": np.bincount(
                stream.day[shown.shown], minlength=int(stream.day.max()) + 1
            ).tolist(),
            "seconds": round(time.perf_counter() - start, 1),
        }
        start = time.perf_counter()
        told = rows[name]["all days"]
        print(
            f"world {seed}, {detector}, {name}: precision {told['precision']:.3f}, "
            f"{told['hits']} hits, {told['false_alarms']} false alarms",
            flush=True,
        )
    path.write_text(json.dumps(rows, indent=1))


COLUMNS = {
    "precision": "precision",
    "shown": "shown",
    "false_alarms": "false alarms",
    "window_recall": "windows found",
    "incident_recall": "incidents found",
    "incident_labels": "incidents confirmed",
    "of_truth": "of what truth finds",
    "precision_busy_days": "precision on days with an incident",
    "false_alarms_at_equal_recall": "false alarms at alone's recall, best threshold",
    "brier": "Brier",
    "calibration_error": "ECE",
}


def show(seeds: list[int], detectors: list[str]) -> None:
    """Write the means over worlds as a table, as JSON and as pictures."""
    found = {
        detector: {s: json.loads((KEPT / detector / f"{s}.json").read_text()) for s in seeds}
        for detector in detectors
    }
    every = [row for worlds in found.values() for rows in worlds.values() for row in rows.values()]
    lines = [
        "# What verdicts add, on simulated organisations",
        "",
        f"Worlds {', '.join(map(str, seeds))} of the medium tier, 40 test days each. "
        f"riskml {version('riskml')}. The loops took {sum(row['seconds'] for row in every):,.0f} "
        "seconds, beside making the worlds ready, on a machine busy with other work. Means over "
        "worlds ± standard deviation; times alone is the ratio of the means of precision.",
    ]
    for detector, worlds in found.items():
        learners = ",".join(dict.fromkeys(row.split(", ")[0] for row in _judged(worlds)))
        words = f"--seeds {','.join(map(str, seeds))} --detectors {detector}"
        lines += ["", f"## {detector}", ""]
        lines += [f'    python -m experiments.feedback.loop run {words} --learners "{learners}"']
        for days in ("all days", f"after {FIRST_DAYS} days"):
            lines += ["", f"### {detector}, {days}", "", _table(worlds, days)]
        lines += ["", f"### {detector}, incidents found by scenario", "", _scenarios(worlds)]
        draw(worlds, detector, HERE / f"precision-{detector}.png")
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    (HERE / "results.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")


def _judged(worlds: dict[int, Any]) -> list[str]:
    """Rows of those that learn."""
    return [row for row in next(iter(worlds.values())) if row not in (ALONE, TRUTH)]


def _table(worlds: dict[int, Any], days: str) -> str:
    head = ["ranking", "times alone", *COLUMNS.values()]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    alone = np.mean([made[ALONE][days]["precision"] for made in worlds.values()])
    for row in next(iter(worlds.values())):
        precision = np.mean([made[row][days]["precision"] for made in worlds.values()])
        cells = [f"{precision / alone:.2f}"]
        for column in COLUMNS:
            found = [made[row][days][column] for made in worlds.values()]
            if None in found:
                cells.append("–")
                continue
            values = np.array(found, float)
            digits = 1 if values.mean() > 1.5 else 3
            spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.{digits}f}{spread}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _scenarios(worlds: dict[int, Any]) -> str:
    """Of all worlds together: there are few of each in one."""
    names = sorted({n for made in worlds.values() for n in made[ALONE]["all days"]["scenarios"]})
    lines = [f"| ranking | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in next(iter(worlds.values())):
        cells = []
        for name in names:
            told = [
                made[row]["all days"]["scenarios"].get(name, [0, 0]) for made in worlds.values()
            ]
            found, of = np.sum(told, 0)
            cells.append(f"{found} of {of}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(worlds: dict[int, Any], detector: str, file: Path) -> None:
    """Precision of what was shown up to each day, over all worlds."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for row in (ALONE, "forest, five a day", "forest, at most five", TRUTH):
        told = [made[row] for made in worlds.values() if row in made]
        if not told:
            continue
        hits = np.cumsum(np.sum([one["hits_a_day"] for one in told], 0))
        shown = np.cumsum(np.sum([one["shown_a_day"] for one in told], 0))
        axes.plot(np.arange(1, len(hits) + 1), hits / np.maximum(shown, 1), label=row)
    axes.set(xlabel="day of the test period", ylabel="precision up to that day", ylim=(0, 1))
    axes.set_title(f"what an auditor was shown, {detector}", loc="left")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--detectors", default="persistence,vae")
    parser.add_argument("--learners", default=",".join([*KINDS, *LOSSES]))
    given = parser.parse_args()
    chosen, names = [int(seed) for seed in given.seeds.split(",")], given.detectors.split(",")
    if given.what == "show":
        show(chosen, names)
    for number, name in product(chosen, names) if given.what == "run" else []:
        run(number, name, given.learners.split(","))
