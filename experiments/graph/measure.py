"""What the family of graph features adds to the average precision on simulated organisations.

    OMP_NUM_THREADS=1 python -m experiments.graph.measure [--seeds 0,1,2] [--detectors vae]

Medium tier, 300 users, 120 days, the last 40 of them the test period. The same detectors on the
same windows, without the family and with it; AP of all attacks and of single scenarios (their
windows against the normal ones). Intervals are of 2,000 resamples of users, the same for both.
Prints Markdown, and writes it to `--out` beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from omegaconf import DictConfig

from experiments.__main__ import quiet
from experiments.study import Cell
from riskml.core.types import FeatureSpec, Windows
from riskml.data.datasets import Dataset
from riskml.evaluation.evaluator import evaluate_detector
from riskml.evaluation.measures.bootstrap import Resamples, resample
from riskml.features.preparation import PreparedWindows, prepare
from riskml.runs.assembly import (
    build_dataset,
    build_detector,
    build_extractor,
    build_threshold,
    model_config,
)

HERE = Path(__file__).parent
SCENARIOS = ("lateral_movement", "privilege_abuse", "hoarding_before_resignation")
ALL, AP, FAMILY = "all attacks", "average_precision", "graph"
WITHOUT, WITH = "without", "with"


def config(seed: int, *words: str) -> DictConfig:
    """Of a world."""
    return Cell(FAMILY, "", "", seed, ("experiment=simulated_medium", *words)).config()


def world(seed: int) -> tuple[PreparedWindows, DictConfig]:
    """Windows with the family, beside those that are usual."""
    cfg = config(seed)
    cfg.features.use = [*cfg.features.use, FAMILY]
    dataset = build_dataset(cfg.data, cfg.features)
    return prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events)), cfg


def seconds_of(cfg: DictConfig, dataset: Dataset, use: list[str]) -> tuple[float, float]:
    """CPU seconds to fit, and to make windows of the train period."""
    cfg = cfg.copy()
    cfg.features.use = use
    extractor = build_extractor(cfg.features)
    begin = time.process_time()
    extractor.fit(dataset.train_events)
    fitted = time.process_time()
    extractor.windows(dataset.train_events)
    return fitted - begin, time.process_time() - fitted


def only(windows: PreparedWindows, wanted: str) -> PreparedWindows:
    """The same with the family's columns or without."""

    def part(whole: Windows) -> Windows:
        columns = [
            i
            for i, feature in enumerate(whole.spec.features)
            if feature.family != FAMILY or wanted == WITH
        ]
        spec = whole.spec
        features = tuple(spec.features[i] for i in columns)
        kept = FeatureSpec(features, spec.actions, spec.action_vectors, spec.event_times)
        return replace(whole, x=whole.x[:, columns], spec=kept)

    parts = {name: part(getattr(windows, name)) for name in ("train", "calibration", "test")}
    return replace(windows, **parts)


def of_scenarios(table: pl.DataFrame, incidents: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Scores of all test windows; and by scenario, without the windows of others."""
    found = {ALL: table}
    for scenario in SCENARIOS:
        ids = incidents.filter(pl.col("scenario") == scenario)["incident_id"].implode()
        own = pl.col("incidents").list.eval(pl.element().is_in(ids)).list.any()
        found[scenario] = table.filter((pl.col("label") == 0) | own)
    return found


def over_worlds(several: list[Resamples]) -> Resamples:
    """The mean of worlds that are drawn apart from each other.

    Those in which a scenario has fewer than two users have no interval, and are left out.
    """
    there = [one for one in several if not np.isnan(one.resampled[AP]).all()]
    if not there:
        return several[0]
    return Resamples(
        {AP: float(np.mean([one.values[AP] for one in there]))},
        {AP: np.mean([one.resampled[AP] for one in there], axis=0)},
        tuple(one.drawn_from for one in there),
        sum(one.attacked for one in there),
    )


Measured = Mapping[tuple[str, str, str], list[Resamples]]
"""By detector, columns and scenario, one a world."""


def measure(seeds: list[int], detectors: list[str]) -> Measured:
    """Fit, score and draw."""
    measured = defaultdict(list)
    for seed in seeds:
        windows, cfg = world(seed)
        assert windows.incidents is not None, "a simulated world has its incidents"
        rule = build_threshold(cfg.threshold)
        for wanted in (WITHOUT, WITH):
            shown = only(windows, wanted)
            for name in detectors:
                begin = time.process_time()
                detector = build_detector(model_config(cfg, name), cfg)
                detector.fit(shown.train, shown.calibration)
                table = evaluate_detector(name, detector, shown, rule, audit="off").scores
                for what, part in of_scenarios(table, windows.incidents).items():
                    drawn = resample([part], resamples=2_000, seed=seed)
                    measured[name, wanted, what].append(drawn)
                last = measured[name, wanted, ALL][-1].values[AP]
                spent = time.process_time() - begin
                print(f"{seed}, {name}, {wanted}: AP {last:.3f}, {spent:.0f} s", flush=True)
    return measured


def told(measured: Measured, detectors: list[str]) -> list[str]:
    """Markdown."""
    lines = [
        f"| detector | attacks | {WITHOUT} | {WITH} | it adds |",
        "|---|---|---:|---:|---|",
    ]
    for name in detectors:
        for what in (ALL, *SCENARIOS):
            sets = {w: over_worlds(measured[name, w, what]) for w in (WITHOUT, WITH)}
            cells = " | ".join(f"{sets[w].values[AP]:.3f}" for w in sets)
            gain = "–"
            if ahead := sets[WITH].above(sets[WITHOUT]).get(AP):
                sure = " *" if ahead.low > 0 or ahead.high < 0 else ""
                gain = f"{ahead.value:+.3f} ({ahead.low:+.3f} to {ahead.high:+.3f}){sure}"
            lines.append(f"| {name} | {what.replace('_', ' ')} | {cells} | {gain} |")
    return lines


def times(seed: int) -> list[str]:
    """Markdown: what the family costs."""
    cfg = config(seed)
    dataset, use = build_dataset(cfg.data, cfg.features), list(cfg.features.use)
    lines = ["| | CPU s to fit | CPU s for windows |", "|---|---:|---:|"]
    for what, families in ((WITHOUT, use), (WITH, [*use, FAMILY])):
        fit, make = min(seconds_of(cfg, dataset, families) for _ in range(3))
        lines.append(f"| {what} | {fit:.1f} | {make:.1f} |")
    return [f"Features of the {len(dataset.train_events):,} train events of one world:", "", *lines]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--detectors", default="vae,neighbours,pyod_iforest")
    parser.add_argument("--out", default="results.md")
    given = parser.parse_args()
    quiet()
    detectors, seeds = given.detectors.split(","), [int(s) for s in given.seeds.split(",")]
    lines = [
        "# What graph features add",
        "",
        f"Average precision, user's days, mean over simulated worlds {given.seeds}, medium tier,",
        "with 95 % intervals of 2,000 resamples of users. Made by",
        "",
        f"    OMP_NUM_THREADS=1 python -m experiments.graph.measure --seeds {given.seeds}",
        "",
        *told(measure(seeds, detectors), detectors),
        "",
        *times(seeds[0]),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (HERE / given.out).write_text(text)


if __name__ == "__main__":
    main()
