"""What an auditor's verdicts add, on simulated organisations.

python -m experiments.feedback.loop run [--seeds 0,1,2,3,4] [--detector persistence]
python -m experiments.feedback.loop show

Each day of the test period a simulated auditor judges the five windows that rank highest, and from
the next day on the ranking has learnt from it. A world's incidents are at most a few dozen, so at
most as many are ever confirmed. `alone` is the detector without verdicts, `truth` ranks by truth:
no ranking can do better at five a day. Results are kept in outputs/feedback.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from experiments.study import Cell
from riskml.evaluation.evaluator import evaluate_detector
from riskml.features.preparation import prepare
from riskml.runs.assembly import (
    build_dataset,
    build_detector,
    build_extractor,
    build_scoring,
    build_threshold,
    model_config,
)
from riskml.scoring.calibration import Calibration
from riskml.triage.blending import TriageSettings
from riskml.triage.loop import Shown, Stream, run_loop, simulated_auditor
from riskml.triage.matrix import triage_matrix

KEPT = Path("outputs/feedback")
PER_DAY = 5
BESIDE = ("counts", "pyod_iforest")
"""Further detectors whose evidence the triage sees."""


def stream_of(seed: int, name: str) -> tuple[Stream, pl.DataFrame, pl.DataFrame]:
    """The test period of a world as the triage sees it, its scores table and incidents."""
    cfg = Cell("simulated", "", "", seed, ("experiment=simulated_medium",)).config()
    dataset = build_dataset(cfg.data, cfg.features)
    windows = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))
    rule, scoring = build_threshold(cfg.threshold), build_scoring(cfg.scoring)
    evidence, before = {}, {}
    for each in (name, *BESIDE):
        detector = build_detector(model_config(cfg, each), cfg)
        detector.fit(windows.train, windows.calibration)
        calibration = Calibration.fit(past := detector.score(windows.calibration))
        scores = detector.score_after(windows.calibration, windows.test)
        evidence[each] = -np.log10(calibration.p_value(scores))
        before[each] = -np.log10(calibration.p_value(past))
        if each == name:
            table = evaluate_detector(name, detector, windows, rule, None, scoring).scores
            rows = np.arange(len(windows.test))
            shares = detector.contributions_after(windows.calibration, windows.test, rows)
            past_shares = detector.contributions(windows.calibration)
            topics = detector.topics()
    x, _ = triage_matrix(windows.test, evidence, shares, topics)
    background, _ = triage_matrix(windows.calibration, before, past_shares, topics)
    day = table["end"].dt.date().cast(pl.Int64).to_numpy()
    users = table["user_id"].to_numpy().astype(str)
    incidents = windows.incidents
    assert incidents is not None, "a simulated world has its truth"
    return Stream(x, evidence[name], day, users, background), table, incidents


def measured(shown: Shown, table: pl.DataFrame, incidents: pl.DataFrame) -> dict[str, Any]:
    """Of what the auditor was shown."""
    labels = table["label"].to_numpy()
    found = (
        table.with_columns(pl.Series("shown", shown.shown))
        .select("shown", pl.col("incidents").alias("incident_id"))
        .explode("incident_id")
        .drop_nulls()
        .group_by("incident_id")
        .agg(pl.col("shown").any())
        .join(incidents.select("incident_id", "scenario"), on="incident_id")
    )
    by_scenario = dict(found.group_by("scenario").agg(pl.col("shown").mean()).iter_rows())
    half = table["end"].to_numpy() > np.sort(table["end"].to_numpy())[len(table) // 2]
    return {
        "precision": float(labels[shown.shown].mean()),
        "precision_second_half": float(labels[shown.shown & half].mean()),
        "false_alarms": int((labels[shown.shown] == 0).sum()),
        "incident_recall": float(found["shown"].to_numpy().mean()),
        "by_scenario": dict(sorted(by_scenario.items())),
        "verdicts": shown.verdicts,
        "weight": shown.weight,
    }


def run(seed: int, name: str, noises: list[float], kinds: list[str]) -> None:
    """Keep the results of one world."""
    stream, table, incidents = stream_of(seed, name)
    labels = table["label"].to_numpy()
    never = TriageSettings(most=0.0, explore=0.0)
    truth = Stream(stream.x, labels.astype(float), stream.day, stream.users, stream.background)
    auditor = simulated_auditor(labels)
    results = {
        "alone": measured(run_loop(stream, auditor, never, PER_DAY), table, incidents),
        "truth": measured(run_loop(truth, auditor, never, PER_DAY), table, incidents),
    }
    for kind in kinds:
        for noise in noises:
            settings = TriageSettings(kind=kind, seed=seed)
            judge = simulated_auditor(labels, noise, seed=seed)
            shown = run_loop(stream, judge, settings, PER_DAY)
            results[f"{kind}, {noise:.0%} wrong"] = measured(shown, table, incidents)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}-{seed}.json").write_text(json.dumps(results, indent=1))
    for key, row in results.items():
        print(seed, key, {k: v for k, v in row.items() if k != "by_scenario"}, flush=True)


def show(seeds: list[int], name: str) -> None:
    """Print the means over worlds as a Markdown table."""
    worlds = [json.loads((KEPT / f"{name}-{seed}.json").read_text()) for seed in seeds]
    columns = [
        "precision", "precision_second_half", "false_alarms", "incident_recall", "verdicts",
    ]  # fmt: skip
    print(f"{name}, worlds {seeds}\n\n| ranking | {' | '.join(columns)} |")
    print("|---|" + "---|" * len(columns))
    for key in worlds[0]:
        cells = []
        for column in columns:
            values = np.array([world[key][column] for world in worlds], float)
            cells.append(f"{values.mean():.3f} ± {values.std(ddof=1):.3f}")
        print(f"| {key} | {' | '.join(cells)} |")
    scenarios = sorted({s for world in worlds for s in world["alone"]["by_scenario"]})
    print(f"\n| incidents found | {' | '.join(scenarios)} |\n|---|" + "---|" * len(scenarios))
    for key in worlds[0]:
        cells = []
        for scenario in scenarios:
            values = [w[key]["by_scenario"][scenario] for w in worlds
                      if scenario in w[key]["by_scenario"]]  # fmt: skip
            cells.append(f"{np.mean(values):.2f}")
        print(f"| {key} | {' | '.join(cells)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--detector", default="persistence")
    parser.add_argument("--noise", default="0,0.1")
    parser.add_argument("--kinds", default="forest,xgboost")
    given = parser.parse_args()
    chosen = [int(seed) for seed in given.seeds.split(",")]
    if given.what == "show":
        show(chosen, given.detector)
    else:
        for number in chosen:
            noises = [float(noise) for noise in given.noise.split(",")]
            run(number, given.detector, noises, given.kinds.split(","))
