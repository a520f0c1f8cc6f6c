"""How much faster `riskml score` is with two workers: processes, or a local Ray.

    python benchmarks/score_engines_speed.py                     # 5 million events: some minutes
    python benchmarks/score_engines_speed.py --events 1e6 --folder /tmp/score-engines

A VAE that has seen little, with all feature families but numbers, over a generated log; the last
five sixths of it are scored, in batches of two million. Each run is a process of its own that
writes into a folder of its own, and must come to the same number of windows and alerts. With one
process every library has one thread, as a worker has; `all threads` is what a person gets who asks
for nothing. It wants an idle machine with two cores. The bar: 1.6 times with two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from features_scale import make_log
from score_job_speed import ONE_THREAD, export

COMMAND = [sys.executable, "-c", "from riskml.cli import main; main()", "score"]
RUNS = {
    "one process, one thread": (["--batch", "2000000"], ONE_THREAD),
    "one process, all threads": (["--batch", "2000000"], {}),
    "two processes": (["--engine", "processes", "--workers", "2"], {}),
    "Ray, two workers": (["--engine", "ray", "--workers", "2"], {}),
}


def prepare(folder: Path, events: int) -> None:
    """Log and bundle, unless they are there."""
    from riskml.features.extractor import FAMILIES, FeatureExtractor
    from riskml.features.profile import Profile
    from riskml.features.windows import UserDayWindows

    if (folder / "bundle").is_dir():
        return
    make_log(folder / "log", events * 6 // 5)
    files = sorted((folder / "log").glob("part-*.parquet"))
    cut = max(len(files) // 6, 1)
    past = pl.read_parquet(files[:cut])
    families = {name: made() for name, made in FAMILIES.items() if name != "numbers"}
    extractor = FeatureExtractor(UserDayWindows(), families).fit(past)
    windows, profile = extractor.transform(past, Profile())
    export(folder / "bundle", extractor, windows, profile)
    (folder / "new").mkdir(exist_ok=True)
    for file in files[cut:]:
        shutil.move(file, folder / "new" / file.name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=float, default=5e6)
    parser.add_argument("--folder", type=Path, help="keep log and bundle here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, int(given.events))
        first, told = 0.0, None
        print("| | seconds | events/s | times as fast |\n|---|---:|---:|---:|")
        for name, (words, environment) in RUNS.items():
            out = Path(made) / name.replace(" ", "-")
            where = ["--bundle", folder / "bundle", "--source", f"{folder}/new/*.parquet"]
            start = time.perf_counter()
            done = subprocess.run(
                [*COMMAND, *map(str, where), "--out", str(out), "--json", *words],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                check=True,
            )
            seconds = time.perf_counter() - start
            summary = json.loads(done.stdout)["champion"]
            counts = [summary[n] for n in ("events_new", "windows_closed", "alerts")]
            assert told in (None, counts), (told, counts)
            told, first = counts, first or seconds
            rate = counts[0] / seconds
            print(f"| {name} | {seconds:.1f} | {rate:,.0f} | {first / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
