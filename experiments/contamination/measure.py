"""What attacks among the train windows cost each detector, on simulated organisations.

    OMP_NUM_THREADS=1 python -m experiments.contamination.measure [--seeds 0,1,2]

As `python evaluate.py contamination=SHARE` does it: half of the incidents leave the test period,
the same for every share, and some of them go into the train period. So that there are enough, the
worlds are shorter, with many attacks in the test period and none before. Writes results.md and a
figure beside this file.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

from experiments.cells import Maker
from experiments.study import Cell
from riskml.evaluation.checks.controls import contaminated
from riskml.evaluation.evaluator import evaluate_detector
from riskml.runs.assembly import build_detector, build_scoring, build_threshold, model_config

matplotlib.use("agg")
HERE = Path(__file__).parent
SHARES = (0.0, 0.005, 0.01, 0.05)
DETECTORS = (
    "quarantine",
    "neighbours",
    "counts",
    "vae",
    "autoencoder",
    "pyod_iforest",
    "pyod_knn",
    "pyod_ecod",
)
WORLD = (
    "experiment=simulated_medium",
    "data.source.days=80",
    "+data.source.positive_rate=0.12",
    "+data.source.train_contamination=0",
)
MEASURES = {"average_precision": "AP", "roc_auc": "ROC-AUC"}

Found = dict[tuple[str, float], dict[str, float]]
"""Measures by detector and share."""


def measure(seed: int) -> Found:
    """Of one world."""
    cfg = Cell("contamination", "", "", seed, WORLD).config()
    windows, found = Maker().prepared(cfg), {}
    rule, scoring = build_threshold(cfg.threshold), build_scoring(cfg.scoring)
    for share in SHARES:
        other = contaminated(windows, share, seed)
        for name in track(DETECTORS, f"world {seed}, {share:.1%}", transient=True):
            detector = build_detector(model_config(cfg, name), cfg)
            detector.fit(other.train, other.calibration)
            # the audit looks for cheats, and is asked in tests
            judged = evaluate_detector(name, detector, other, rule, None, scoring, "off").metrics
            values = {measure: judged[measure] for measure in MEASURES}
            found[name, share] = {key: float(v) for key, v in values.items() if v is not None}
    return found


def results(worlds: list[Found], seeds: str, seconds: float) -> str:
    """The tables in Markdown."""
    lines = [
        "# Attacks among what is learnt",
        "",
        f"Simulated organisations of the medium tier, worlds {seeds}, 300 users, 80 days: mean",
        "over the worlds, by the share of attacks among the train windows, and how much is lost.",
        f"Took {seconds:,.0f} seconds on one core of a busy machine. Made by",
        "",
        f"    OMP_NUM_THREADS=1 python -m experiments.contamination.measure --seeds {seeds}",
        "",
        "So that there are attacks enough, the train period is short and a twelfth of the test",
        "period is under attack: these figures are not to be compared with those of other tables.",
    ]
    for measured, title in MEASURES.items():
        heads = " | ".join(f"{share:.1%}" for share in SHARES)
        lines += ["", f"## {title}", "", f"| detector | {heads} | lost at {SHARES[-1]:.0%} |"]
        lines.append("|---|" + "---|" * (len(SHARES) + 1))
        for name in DETECTORS:
            means = [mean(worlds, name, share, measured) for share in SHARES]
            cells = " | ".join(f"{value:.3f}" for value in means)
            lines.append(f"| {name} | {cells} | {1 - means[-1] / means[0]:.0%} |")
    return "\n".join(lines) + "\n"


def mean(worlds: list[Found], name: str, share: float, measured: str) -> float:
    """Over the worlds."""
    return float(np.mean([found[name, share][measured] for found in worlds]))


def draw(worlds: list[Found]) -> None:
    """Average precision by share, a line a detector."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in DETECTORS:
        values = [mean(worlds, name, share, "average_precision") for share in SHARES]
        style = "--" if name.startswith("pyod") else "-"
        axes.plot([100 * share for share in SHARES], values, style, marker="o", label=name)
    axes.set_xlabel("attacks among the train windows, %")
    axes.set_ylabel("AP, mean of the worlds")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(HERE / "average_precision.png", dpi=90, metadata={"Software": None})


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0,1,2", help="worlds, 0,1,2 unless given")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    began = time.perf_counter()
    worlds = [measure(int(seed)) for seed in given.seeds.split(",")]
    text = results(worlds, given.seeds, time.perf_counter() - began)
    (HERE / "results.md").write_text(text)
    draw(worlds)
    print(text)


if __name__ == "__main__":
    main()
