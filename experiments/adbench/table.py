"""ROC-AUC on seven ADBench sets, unsupervised: every row is fitted and scored, no label is seen.

RISKML_DATA=... python experiments/adbench/table.py run [method ...]   # outputs/adbench/*.json
RISKML_DATA=... python experiments/adbench/table.py show               # the table of results.md

`run` keeps each measurement in a file of its own and makes only those that are missing. All
methods have the defaults of their constructors on all sets. PyOD's get standardised columns, as
in PyOD's own benchmark; ours scale by themselves.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

SEEDS = 5
KEPT = Path("outputs/adbench")
OURS = ("AutoencoderDetector", "VAEDetector")
PYOD = {
    "IForest": "iforest",
    "ECOD": "ecod",
    "KNN": "knn",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
}
SEEDED = ("IForest", "AutoEncoder", "VAE")


def ours(name: str, x: np.ndarray, seed: int) -> np.ndarray:
    """Scores of one of ours with the defaults."""
    import riskml

    detector = getattr(riskml, name)().set_params(training__seed=seed)
    scores: np.ndarray = detector.fit(x).decision_scores_
    return scores


def pyod(name: str, x: np.ndarray, seed: int) -> np.ndarray:
    """Scores of a PyOD detector with its defaults on standardised columns."""
    deviation = x.std(0)
    x = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    kind = getattr(import_module(f"pyod.models.{PYOD[name]}"), name)
    random.seed(seed)
    np.random.seed(seed)
    arguments: dict[str, Any] = {"random_state": seed} if name in SEEDED else {}
    detector = kind(**arguments)
    detector.fit(x)
    scores: np.ndarray = detector.decision_scores_
    return scores


def measure(method: Callable[..., np.ndarray], name: str, path: Path, seed: int) -> dict[str, Any]:
    """ROC-AUC and seconds of fitting and scoring one set once."""
    table = pl.read_parquet(path)
    x = table.drop("label").to_numpy().astype(np.float64)
    start = time.perf_counter()
    scores = method(name, x, seed)
    seconds = time.perf_counter() - start
    auc = float(roc_auc_score(table["label"].to_numpy(), scores))
    return {"set": path.stem, "method": name, "seed": seed, "roc_auc": auc, "seconds": seconds}


def run(names: list[str]) -> None:
    """Measure what is missing, one seed of everything after the other."""
    KEPT.mkdir(parents=True, exist_ok=True)
    folder = Path(os.environ["RISKML_DATA"]) / "adbench"
    for seed in range(SEEDS):
        for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_size):
            for name in names:
                kept = KEPT / f"{path.stem}-{name}-{seed}.json"
                random_too = seed == 0 or name in (*OURS, *SEEDED)
                if random_too and not kept.exists():
                    method = ours if name in OURS else pyod
                    kept.write_text(json.dumps(measure(method, name, path, seed)))


def show() -> str:
    """The Markdown table: mean ROC-AUC over the seeds, mean rank, seconds."""
    rows = pl.DataFrame([json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))])
    cells = rows.group_by("set", "method").agg(
        pl.col("roc_auc").mean(), pl.col("seconds").mean(), pl.len().alias("runs")
    )
    methods = [name for name in (*OURS, *PYOD) if name in cells["method"]]
    everywhere = cells["set"].unique().len()
    complete = cells.group_by("method").len().filter(pl.col("len") == everywhere)["method"]
    auc = cells.pivot("method", index="set", values="roc_auc").sort("set")
    ranked = cells.filter(pl.col("method").is_in(complete.implode())).with_columns(
        pl.col("roc_auc").rank(descending=True).over("set").alias("rank")
    )
    ranks = dict(ranked.group_by("method").agg(pl.col("rank").mean()).iter_rows())
    seconds = dict(cells.group_by("method").agg(pl.col("seconds").sum()).iter_rows())
    lines = [f"| set | {' | '.join(methods)} |", "|---|" + "---|" * len(methods)]
    for row in auc.iter_rows(named=True):
        lines.append(f"| {row['set']} | {' | '.join(_number(row[m]) for m in methods)} |")
    means = [_number(auc[m].mean() if m in complete else None) for m in methods]
    lines.append(f"| **mean** | {' | '.join(means)} |")
    lines.append(f"| **mean rank** | {' | '.join(_number(ranks.get(m), 2) for m in methods)} |")
    spent = [_number(seconds[m], 1) for m in methods]
    lines.append(f"| seconds, all sets once | {' | '.join(spent)} |")
    few = cells.filter((pl.col("runs") < SEEDS) & pl.col("method").is_in([*OURS, *SEEDED])).sort(
        "set", "method"
    )
    if len(few):
        told = (f"{name} on {path}: {runs}" for path, name, _, _, runs in few.iter_rows())
        lines += ["", f"Means over fewer than {SEEDS} seeds: {'; '.join(told)}."]
    return "\n".join(lines)


def _number(value: Any, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    command = sys.argv[1:2]
    if command == ["run"]:
        run(sys.argv[2:] or [*OURS, *PYOD])
    elif command == ["show"]:
        print(show())
    else:
        raise SystemExit(__doc__)
