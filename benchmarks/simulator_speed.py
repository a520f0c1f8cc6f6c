"""Measure the simulator's speed and peak memory, each world in a fresh process.

    POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/simulator_speed.py
    POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/simulator_speed.py --worlds 5000x365

The bar: 1,000,000 events a minute on one core; 5,000 users × 365 days within 4 GiB; memory that
does not grow with the number of days.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from riskml.data.simulator import SimulationSettings, simulate

# ru_maxrss is in KiB on Linux and in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run(users: int, days: int) -> tuple[int, float, float, int]:
    """Make one world; return events, seconds, peak MiB and bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        settings = SimulationSettings(users=users, days=days, test_days=days // 3)
        world = simulate(settings, Path(folder) / "world")
        seconds = time.perf_counter() - begin
        events = json.loads((world / "world.json").read_text())["counts"]["events"]
        size = sum(path.stat().st_size for path in world.rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / 2**20
    return events, seconds, peak, size


def main() -> None:
    """Print a Markdown table, one row per world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", default="300x120,1000x60,1000x240")
    arguments = parser.parse_args()
    print("| users | days | events | seconds | million events a minute | peak MiB | MB on disk |")
    print("|" + "---|" * 7)
    context = multiprocessing.get_context("spawn")
    for world in arguments.worlds.split(","):
        users, days = (int(number) for number in world.split("x"))
        with ProcessPoolExecutor(1, context) as pool:
            events, seconds, peak, size = pool.submit(run, users, days).result()
        print(
            f"| {users:,} | {days} | {events:,} | {seconds:.1f} | {events / seconds * 6e-5:.1f} "
            f"| {peak:.0f} | {size / 1e6:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
