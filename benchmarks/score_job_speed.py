"""How fast `riskml score` goes from raw events to risk, and how soon it begins.

    python benchmarks/score_job_speed.py                      # 300 users, 120 days: some minutes
    python benchmarks/score_job_speed.py --users 60 --days 60 --folder /tmp/score-speed

A VAE with all feature families is trained on the first two thirds of a simulated world (briefly:
what it learns does not matter for speed) and exported. Each measurement is a process of its own
with one thread. Wall time is what a person waits for, CPU time what it costs on a busy machine;
events a second are by CPU time, without the start.
The bar: 50,000 events a second; a first score within 3 s of the start, with less than 600 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
FIRST_SCORE = """
import sys
import polars as pl
import riskml
bundle = riskml.load(sys.argv[1])
bundle.score(pl.read_parquet(sys.argv[2]).head(100))
"""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, seconds of CPU, and the most memory that was held."""

    wall: float
    cpu: float
    mib: float
    told: str


def prepare(folder: Path, users: int, days: int) -> None:
    """World, bundle and the events to score, unless they are there."""
    from riskml.data.simulator import WORLD_FILE, SimulationSettings, simulate
    from riskml.features.extractor import FAMILIES, FeatureExtractor
    from riskml.features.profile import Profile
    from riskml.features.windows import UserDayWindows

    if (folder / "new.parquet").is_file():
        return
    settings = SimulationSettings(users=users, days=days, test_days=days // 3)
    if not (folder / "world" / WORLD_FILE).is_file():
        simulate(settings, folder / "world")
    files = sorted((folder / "world" / "events").glob("day=*/events.parquet"))
    before, after = files[: -(days // 3)], files[-(days // 3) :]
    past = pl.read_parquet(before, hive_partitioning=False).sort("timestamp")
    extractor = FeatureExtractor(UserDayWindows(), {n: f() for n, f in FAMILIES.items()}).fit(past)
    windows, profile = extractor.transform(past, Profile())
    export(folder / "bundle", extractor, windows, profile)
    pl.read_parquet(after, hive_partitioning=False).write_parquet(folder / "new.parquet")


def export(folder: Path, extractor: Any, windows: Any, profile: Any) -> None:
    """A VAE that has seen little."""
    from riskml import TrainingSettings, VAEDetector
    from riskml.export.bundle import export_bundle
    from riskml.scoring.calibration import Calibration
    from riskml.scoring.explain import Explainer

    detector = VAEDetector(training=TrainingSettings(max_epochs=2))
    detector.fit(windows, windows)
    scores = detector.score(windows)
    export_bundle(
        folder,
        detector,
        extractor,
        Calibration.fit(scores),
        float(np.quantile(scores, 0.99)),
        Explainer.fit(windows, extractor.vocabulary.counts),
        profile,
        {"detector": "vae"},
    )


def measured(*words: object) -> Cost:
    """One process, alone with one thread."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        text=True,
    )
    told = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    assert status == 0, words
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * RSS_UNIT / 2**20, told)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--folder", type=Path, help="Keeps world and bundle.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="Only make world and bundle.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if given.prepare:
            prepare(folder, given.users, given.days)
            return
        # in another process: what is started from a large one counts its memory
        size = ("--users", str(given.users), "--days", str(given.days), "--folder", str(folder))
        subprocess.run([sys.executable, __file__, "--prepare", *size], check=True)
        report(folder, given.repeats)


def report(folder: Path, repeats: int) -> None:
    """A table."""
    new, bundle = folder / "new.parquet", folder / "bundle"
    start = cheapest(repeats, "-c", FIRST_SCORE, bundle, new)
    print("| | wall s | CPU s | MiB | events | events/s of CPU |")
    print("|---|---:|---:|---:|---:|---:|")
    print(f"| first score | {start.wall:.2f} | {start.cpu:.2f} | {start.mib:,.0f} | | |")
    for name in ("folder", "SQLite"):
        with tempfile.TemporaryDirectory() as place:
            outs = [f"{place}/{i}" for i in range(repeats)]
            if name == "SQLite":
                outs = [f"sqlite:///{out}.db" for out in outs]
            words = ("-m", "riskml.cli", "score", "--bundle", bundle, "--source", new, "--json")
            best = min((measured(*words, "--out", out) for out in outs), key=_cpu)
        n = json.loads(best.told)["champion"]["events_new"]
        rate = n / (best.cpu - start.cpu)
        print(
            f"| into {name} | {best.wall:.2f} | {best.cpu:.2f} | {best.mib:,.0f} | {n:,} "
            f"| {rate:,.0f} |"
        )


def cheapest(repeats: int, *words: object) -> Cost:
    """Of several processes the one that took least CPU."""
    return min((measured(*words) for _ in range(repeats)), key=_cpu)


def _cpu(cost: Cost) -> float:
    return cost.cpu


if __name__ == "__main__":
    main()
