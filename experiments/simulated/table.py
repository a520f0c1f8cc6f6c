"""Detectors on simulated organisations, each beside the best of PyOD and a supervised oracle.

python experiments/simulated/table.py run [--tier medium] [--seeds 0,1,2,3,4] [detector ...]
python experiments/simulated/table.py show [--tier medium] [--seeds 0,1,2,3,4]

`run` keeps the result of each world and detector in outputs/simulated and makes only those that
are missing; a detector is any `model=` of train.py. `show` prints the table of results.md. A
world is fitted on its train period without labels; the detector's seed is the world's.

Two forests know labels, on the same windows: `oracle` was shown those of three other worlds,
`oracle_users` those of other users of the same test period (five folds). `perfect` ranks by truth:
incidents that many accounts share on a day are more than a daily budget can hold.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from riskml.evaluation.evaluator import evaluate_detector
from riskml.features.preparation import PreparedWindows, prepare
from riskml.features.scaling import FeatureScaler
from riskml.runs.assembly import (
    build,
    build_dataset,
    build_detector,
    build_extractor,
    build_scoring,
    build_threshold,
    model_config,
)

ROOT = Path(__file__).parents[2]
KEPT = Path("outputs/simulated")
TEACHERS = (201, 202, 203)
PYOD = ("pyod_iforest", "pyod_hbos", "pyod_lof", "pyod_knn", "pyod_ecod")
OURS = ("counts", "neighbours", "quarantine", "persistence", "slow_leak", "ensemble", "vae")
SLOW = "slow_leak"


def prepared(tier: str, seed: int) -> tuple[DictConfig, PreparedWindows, pl.DataFrame]:
    """Config, windows and incidents of a world."""
    os.environ.setdefault("RISKML_ROOT", str(ROOT))
    overrides = [f"data.source.tier={tier}", f"data.source.seed={seed}", f"seed={seed}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    dataset = build_dataset(cfg.data, cfg.features)
    windows = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))
    return cfg, windows, pl.read_parquet(build(cfg.data.source).folder / "incidents.parquet")


def run(tier: str, seed: int, names: list[str]) -> None:
    """Evaluate the detectors that have no result yet on one world."""
    missing = [name for name in names if not _kept(tier, seed, name).is_file()]
    if not missing:
        return
    cfg, windows, incidents = prepared(tier, seed)
    rule, scoring = build_threshold(cfg.threshold), build_scoring(cfg.scoring)
    for name in missing:
        if name in KNOWING:
            scores = KNOWING[name](windows)
            table = windows.test.keys.with_columns(
                pl.Series("score", scores),
                pl.Series("within_budget", rule.top(scores, windows.test.keys)),
                windows.test_truth["label"],
                windows.test_truth["incidents"],
            )
        else:
            node = model_config(cfg, name)
            if "training" in node:
                node.training.max_steps = 10**9  # as long as train.py's trainer goes on
            detector = build_detector(node, cfg)
            detector.fit(windows.train, windows.calibration)
            table = evaluate_detector(name, detector, windows, rule, None, scoring).scores
        result = measured(table, incidents)
        _kept(tier, seed, name).parent.mkdir(parents=True, exist_ok=True)
        _kept(tier, seed, name).write_text(json.dumps(result))
        print(tier, seed, name, {k: round(v, 3) for k, v in result.items() if v is not None})


def measured(scores: pl.DataFrame, incidents: pl.DataFrame) -> dict[str, float | None]:
    """AP of windows, and what of the incidents is found within the budget."""
    found = (
        scores.explode("incidents")
        .rename({"incidents": "incident_id"})
        .drop_nulls("incident_id")
        .group_by("incident_id")
        .agg(
            pl.col("within_budget").any().alias("found"),
            pl.col("end").filter(pl.col("within_budget")).min().alias("at"),
        )
        .join(incidents, on="incident_id")
        .with_columns(((pl.col("at") - pl.col("start")).dt.total_seconds() / 86400).alias("days"))
    )
    slow, reserved = pl.col("scenario") == SLOW, pl.col("reserved")
    return {
        "ap": float(average_precision_score(scores["label"], scores["score"])),
        "incident_recall": _mean(found, "found"),
        "reserved_recall": _mean(found.filter(reserved), "found"),
        "other_recall": _mean(found.filter(~reserved), "found"),
        "slow_recall": _mean(found.filter(slow), "found"),
        "burst_days": _median(found.filter(~slow), "days"),
        "slow_days": _median(found.filter(slow), "days"),
    }


def _mean(table: pl.DataFrame, column: str) -> float | None:
    return float(table[column].to_numpy().mean()) if len(table) else None


def _median(table: pl.DataFrame, column: str) -> float | None:
    values = table[column].drop_nulls().to_numpy()
    return float(np.median(values)) if len(values) else None


def oracle(windows: PreparedWindows) -> np.ndarray:
    """Scores of a forest that knows the labels of other worlds."""
    global _teachers
    _teachers = _teachers or [prepared("medium", seed)[1] for seed in TEACHERS]
    names = windows.test.spec.names
    shared = [n for n in names if all(n in t.test.spec.names for t in _teachers)]
    x = np.vstack([_scaled(teacher, shared) for teacher in _teachers])
    labels = np.concatenate([_labels(teacher) for teacher in _teachers])
    return _forest().fit(x, labels).predict_proba(_scaled(windows, shared))[:, 1]


_teachers: list[PreparedWindows] = []


def oracle_users(windows: PreparedWindows) -> np.ndarray:
    """Scores of a forest that knows the labels of other users."""
    x, groups = _scaled(windows, windows.test.spec.names), windows.test.keys["user_id"].to_numpy()
    return cross_val_predict(
        _forest(), x, _labels(windows), groups=groups, cv=GroupKFold(5), method="predict_proba"
    )[:, 1]


def perfect(windows: PreparedWindows) -> np.ndarray:
    """The truth as a score."""
    return _labels(windows).astype(float)


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(400, min_samples_leaf=2, max_features=0.3, random_state=0)


def _scaled(windows: PreparedWindows, names: list[str]) -> np.ndarray:
    columns = [windows.test.spec.names.index(name) for name in names]
    return FeatureScaler.fit(windows.train).transform(windows.test.x)[:, columns]


def _labels(windows: PreparedWindows) -> np.ndarray:
    assert windows.test_truth is not None, "a simulated world has its truth"
    return windows.test_truth["label"].to_numpy()


def show(tier: str, seeds: list[int]) -> None:
    """Print the means, and how far each is from the best of PyOD to the oracle."""
    names = sorted({path.stem for path in KEPT.glob(f"{tier}-*/*.json")})
    results = {name: [_read(tier, seed, name) for seed in seeds] for name in names}
    complete = {name: rows for name, rows in results.items() if None not in rows}
    peers = [[row["ap"] for row in complete[name]] for name in PYOD if name in complete]
    best = np.max(peers, axis=0)
    top = np.array([_read(tier, seed, "oracle")["ap"] for seed in seeds])
    print(f"{tier}, seeds {seeds}: best of PyOD {_cell(best)}, oracle {_cell(top)}\n")
    columns = list(complete[names[0]][0])[1:]
    print(f"| detector | AP | × best PyOD | gap closed | {' | '.join(columns)} |")
    print("|---|---|---|---|" + "---|" * len(columns))
    for name, rows in sorted(complete.items(), key=lambda item: -_values(item[1], "ap").mean()):
        ap = _values(rows, "ap")
        closed = (ap.mean() - best.mean()) / (top.mean() - best.mean())
        ratio = ap / best
        cells = [_cell(_values(rows, column)) for column in columns]
        print(
            f"| {name} | {_cell(ap)} | {ratio.mean():.2f} (least {ratio.min():.2f}) "
            f"| {closed:.0%} | {' | '.join(cells)} |"
        )


KNOWING = {"oracle": oracle, "oracle_users": oracle_users, "perfect": perfect}


def _values(rows: list[dict[str, Any]], column: str) -> np.ndarray:
    return np.array([np.nan if row[column] is None else row[column] for row in rows])


def _cell(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return f"{known[0]:.3f} (one world)" if len(known) else "–"
    return f"{known.mean():.3f} ± {known.std(ddof=1):.3f}"


def _kept(tier: str, seed: int, name: str) -> Path:
    return KEPT / f"{tier}-{seed}" / f"{name}.json"


def _read(tier: str, seed: int, name: str) -> Any:
    path = _kept(tier, seed, name)
    return json.loads(path.read_text()) if path.is_file() else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("detectors", nargs="*", default=[*KNOWING, *PYOD, *OURS])
    parser.add_argument("--tier", default="medium")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    given = parser.parse_args()
    chosen = [int(seed) for seed in given.seeds.split(",")]
    if given.what == "show":
        show(given.tier, chosen)
    else:
        for number in chosen:
            run(given.tier, number, given.detectors)
