"""Does a sweep without labels choose well, and how fast is it? On simulated worlds.

python experiments/sweep/choice.py run [--seeds 0,1,2,3,4] [--trials 40] [override ...]
python experiments/sweep/choice.py show [--seeds 0,1,2,3,4] [--trials 40]
python experiments/sweep/choice.py speed [--seeds 0] [--trials 40] [override ...]

`run` sweeps each world (`data=simulated`, tier medium), then fits what every trial had drawn on the
whole train period, pruned ones too, and measures the test period: the oracle that a sweep must not
ask. Kept in outputs/sweep_choice, one file a world; what is there is not made again. `show` prints
the table of results.md. `speed` times sweeps with one and two workers, with and without pruning,
each from its start to its choice, refits left out; it wants an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from riskml.evaluation.choice import TERMS, borda
from riskml.features.preparation import PreparedWindows, labels_of, prepare
from riskml.runs.assembly import build_dataset, build_detector, build_extractor
from riskml.runs.sweeps.command import sweep
from riskml.runs.sweeps.space import read_space
from riskml.runs.sweeps.study import DEFAULT, open_storage

ROOT = Path(__file__).parents[2]
KEPT = Path("outputs/sweep_choice")
LESS = {
    "all terms": TERMS,
    "without likelihood": ("injected", "agreement", "labels"),
    "without injected": ("likelihood", "agreement", "labels"),
    "without agreement": ("likelihood", "injected", "labels"),
    "likelihood alone": ("likelihood",),
    "injected alone": ("injected",),
    "agreement alone": ("agreement",),
}
"""Objectives that are compared on the complete trials."""


def composed(folder: Path, *overrides: str) -> DictConfig:
    """A config as train.py would have it."""
    os.environ.setdefault("RISKML_ROOT", str(ROOT))
    quiet = ["logger=none", "callbacks=quiet", f"paths.run={folder}", "sweep.keep=0"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=["sweep=vae", *quiet, *overrides])


def run(seed: int, trials: int, overrides: list[str]) -> None:
    """Sweep one world and measure what every trial would have had in the test period."""
    path = kept(seed, trials)
    if path.is_file():
        return
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    cfg = composed(
        folder,
        f"data.source.seed={seed}",
        f"seed={seed}",
        f"sweep.n_trials={trials}",
        f"sweep.storage=sqlite:///{folder.resolve()}/study.db",
        *overrides,
    )
    sweep(cfg)
    chosen = json.loads((folder / "sweep.json").read_text())
    dataset = build_dataset(cfg.data, cfg.features)
    windows = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))
    space, rows = read_space(cfg), []
    import optuna

    storage = open_storage(cfg.sweep.storage)
    study = optuna.load_study(study_name=chosen["study"], storage=storage)
    for trial in study.get_trials(deepcopy=False):
        if not trial.params:
            continue
        ap = test_ap(space.applied(cfg, trial.params), windows)
        row = {
            "trial": trial.number,
            "state": trial.state.name,
            "test_ap": ap,
            "terms": trial.user_attrs.get("terms"),
            "default": bool(trial.user_attrs.get(DEFAULT)),
            "params": trial.params,
        }
        rows.append(row)
        print(seed, trial.number, trial.state.name, round(ap, 4), flush=True)
    found = {"objective": chosen["objective"], "best": chosen["best"][0]["trial"], "rows": rows}
    path.write_text(json.dumps(found, indent=1))


def test_ap(cfg: DictConfig, windows: PreparedWindows) -> float:
    """Average precision in the test period of a detector fitted on the train period."""
    node = cfg.model
    with open_dict(node.training):
        node.training.max_steps = 10**9  # as long as train.py's trainer goes on
    detector = build_detector(node, cfg).fit(windows.train, windows.calibration)
    assert windows.test_truth is not None
    scores = detector.score_after(windows.calibration, windows.test)
    return float(average_precision_score(labels_of(windows.test_truth), scores))


def show(seeds: list[int], trials: int) -> None:
    """Print the chosen beside the oracle and the default."""
    found = {seed: json.loads(kept(seed, trials).read_text()) for seed in seeds}
    print("| world | chosen | oracle's best | share | default | median trial | complete |")
    print("|---|---|---|---|---|---|---|")
    shares, above = [], []
    for seed, world in found.items():
        rows = world["rows"]
        ap = {row["trial"]: row["test_ap"] for row in rows}
        chosen, best = ap[world["best"]], max(ap.values())
        default = next((row["test_ap"] for row in rows if row["default"]), float("nan"))
        complete = sum(row["state"] == "COMPLETE" for row in rows)
        shares.append(chosen / best)
        above.append(chosen - default)
        print(
            f"| {seed} | {chosen:.3f} | {best:.3f} | {chosen / best:.0%} | {default:.3f} "
            f"| {np.median(list(ap.values())):.3f} | {complete} of {len(rows)} |"
        )
    print(f"\nmean share of the oracle's best {np.mean(shares):.1%}, least {min(shares):.1%}; ")
    print(f"above the default by {np.mean(above):+.3f} on average, least {min(above):+.3f}\n")
    print("| chosen by | mean share of the oracle's best complete trial | rank correlation |")
    print("|---|---|---|")
    for name, terms in LESS.items():
        cells = [_by(world, terms) for world in found.values()]
        share, correlation = (np.mean(values) for values in zip(*cells, strict=True))
        print(f"| {name} | {share:.1%} | {correlation:.2f} |")


def _by(world: dict[str, Any], terms: tuple[str, ...]) -> tuple[float, float]:
    """Share of the best test AP, and correlation with it, by other terms."""
    rows = [row for row in world["rows"] if row["state"] == "COMPLETE"]
    weights = {t: w for t, w in world["objective"].items() if t in terms}
    quality = borda([row["terms"] for row in rows], weights)
    ap = np.array([row["test_ap"] for row in rows])
    return float(ap[quality.argmax()] / ap.max()), float(spearmanr(quality, ap).statistic)


def speed(seed: int, trials: int, overrides: list[str]) -> None:
    """Seconds of a sweep with one and two workers, without pruning and with it."""
    for workers, pruner in ((1, "none"), (2, "none"), (1, "asha"), (2, "asha")):
        folder = KEPT / f"speed-{seed}-{trials}-{workers}-{pruner}-{time.time_ns()}"
        folder.mkdir(parents=True)
        cfg = composed(
            folder,
            f"data.source.seed={seed}",
            f"seed={seed}",
            f"sweep.n_trials={trials}",
            f"sweep.workers={workers}",
            f"sweep.pruner={pruner}",
            f"sweep.storage=sqlite:///{folder.resolve()}/study.db",
            *overrides,
        )
        start = time.perf_counter()
        sweep(cfg)
        print(
            f"workers {workers}, pruner {pruner}: {time.perf_counter() - start:.1f} s", flush=True
        )


def kept(seed: int, trials: int) -> Path:
    """File of a world."""
    return KEPT / f"world-{seed}-{trials}.json"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show", "speed"])
    parser.add_argument("overrides", nargs="*", help="further settings, as of train.py")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--trials", type=int, default=40)
    given = parser.parse_intermixed_args()
    chosen_seeds = [int(seed) for seed in given.seeds.split(",")]
    if given.what == "show":
        show(chosen_seeds, given.trials)
    for number in chosen_seeds if given.what == "run" else []:
        run(number, given.trials, given.overrides)
    for number in chosen_seeds if given.what == "speed" else []:
        speed(number, given.trials, given.overrides)
