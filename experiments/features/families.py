"""Which feature families help which detector on the simulated organisation.

    python experiments/features/families.py [--seeds 0,1] [--tier medium]

Prints a Markdown table of average precision on user-days of the test period and writes it to
families.md beside this file. Takes some ten minutes on two free cores. The choice of `features.use`
in conf/features/base.yaml rests on it.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
from rich.progress import track
from sklearn.metrics import average_precision_score

from riskml.baselines.pyod import PyODDetector
from riskml.data.datasets import load_dataset
from riskml.data.simulated import SimulatedSource
from riskml.data.splits import TimeSplit
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FAMILIES, FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.preparation import labels_of, prepare
from riskml.features.windows import UserDayWindows
from riskml.models.base import Detector
from riskml.models.vae import VAEDetector

HERE = Path(__file__).parent
COMMAND = "python experiments/features/families.py"
PLAIN = ("volume", "time_of_day")
SETS = {
    "volume, time of day": PLAIN,
    "+ mean embedding": (*PLAIN, "action_embedding"),
    "+ first times": (*PLAIN, "novelty"),
    "+ first times, mean embedding": (*PLAIN, "novelty", "action_embedding"),
    "+ first times, history": (*PLAIN, "novelty", "history"),
    "+ first times, history, peers": (*PLAIN, "novelty", "history", "peer"),
    "+ first times, graph": (*PLAIN, "novelty", "graph"),
}
NAMES = ("action", "resource", "source", "place", "host")


def detectors(seed: int) -> dict[str, Detector]:
    """One of each sort."""
    return {
        "IForest": PyODDetector("IForest", seed),
        "KNN": PyODDetector("KNN", seed),
        "LOF": PyODDetector("LOF", seed),
        "VAE": VAEDetector(population_weight=0.5),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--tier", default="medium")
    parser.add_argument("--cache", default=tempfile.gettempdir())
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SETS}
    for seed in seeds:
        source = SimulatedSource(300, 120, arguments.tier, seed, arguments.cache, test_days=40)
        dataset = load_dataset(source, TimeSplit(40, 14))
        for name, use in track(SETS.items(), f"seed {seed}"):
            families = {family: FAMILIES[family]() for family in use}
            if "novelty" in use:
                families["novelty"] = NoveltyFeatures(NAMES)
            if "action_embedding" in use:
                families["action_embedding"] = ActionEmbeddingFeatures(poolings=["mean"])
            extractor = FeatureExtractor(UserDayWindows(), families, PeerGroups("role"))
            windows = prepare(dataset, extractor.fit(dataset.train_events))
            assert windows.test_truth is not None
            truth = labels_of(windows.test_truth)
            for model, detector in detectors(seed).items():
                scores = detector.fit(windows.train, windows.calibration).score(windows.test)
                found[name].setdefault(model, []).append(average_precision_score(truth, scores))
    models = list(detectors(0))
    lines = [
        "# Feature families",
        "",
        f"Average precision, user-days, tier {arguments.tier}, mean over seeds {seeds}. Made by",
        "",
        f"    {COMMAND} --seeds {arguments.seeds} --tier {arguments.tier}",
        "",
        f"| features | {' | '.join(models)} |",
        "|---|" + "---|" * len(models),
    ]
    for name, by_model in found.items():
        cells = [f"{np.mean(by_model[model]):.3f}" for model in models]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    (HERE / "families.md").write_text(text)


if __name__ == "__main__":
    main()
