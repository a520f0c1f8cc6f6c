"""Measure `extract` on logs of growing size: seconds, memory, and what a second worker brings.

    python benchmarks/features_scale.py                      # 1, 10 and 100 million events
    python benchmarks/features_scale.py --sizes 1e6,1e7 --folder /mnt/scratch --keep

Logs are made in chunks of bounded memory, users in proportion to events (2,000 events each, over
60 days). Each run is a process of its own. Two memories are shown: the largest single process
(as the kernel counts it, RUSAGE), and the most that all processes of the run held together
(proportional set size, sampled; Linux only). The bar: time grows no faster than events, memory
with the largest bucket and not with the log.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

EVENTS_A_USER = 2_000
DAYS = 60
CHUNK = 1_000_000
FIRST = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
FITTED_ON = 200_000
# ru_maxrss is in KiB on Linux and in bytes on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def make_log(folder: Path, events: int, seed: int = 0) -> None:
    """Chunks in order of time: working hours, users' own resources, a few habits each."""
    folder.mkdir(parents=True, exist_ok=True)
    users = max(events // EVENTS_A_USER, 10)
    chunks = -(-events // CHUNK)
    span = DAYS * 86_400_000_000 // chunks
    for number in range(chunks):
        file = folder / f"part-{number:05d}.parquet"
        if file.is_file():
            continue
        rng = np.random.default_rng([seed, number])
        n = min(CHUNK, events - number * CHUNK)
        user = rng.integers(0, users, n)
        own = np.minimum(rng.geometric(0.05, n), 400) + user * 37
        shared = rng.integers(0, 5_000, n)
        resource_number = np.where(rng.random(n) < 0.7, own + 5_000, shared)
        time_stamp = np.sort(FIRST + number * span + rng.integers(0, span, n))
        chunk = pl.DataFrame(
            {
                "id": np.arange(n) + number * CHUNK,
                "user": user,
                "timestamp": time_stamp,
                "action": np.minimum(rng.geometric(0.15, n), 40),
                "resource": resource_number,
                "source": user % 9_973 + (rng.random(n) < 0.02) * rng.integers(0, 500, n),
                "success": rng.random(n) < 0.97,
            }
        )
        draft = file.with_suffix(".part")
        chunk.select(
            event_id=pl.format("e{}", "id"),
            user_id=pl.format("user{}", "user"),
            timestamp=pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
            action=pl.format("action{}", "action"),
            resource=pl.format("/files/{}", "resource"),
            source=pl.format("host{}", "source"),
            success="success",
        ).write_parquet(draft)
        draft.rename(file)


def fit(log: Path, folder: Path) -> None:
    """Every family at its default, learnt from a few events."""
    from riskml.features.extractor import FAMILIES, FeatureExtractor
    from riskml.features.windows import UserDayWindows

    events = pl.read_parquet(log / "part-00000.parquet", n_rows=FITTED_ON)
    families = {name: family() for name, family in FAMILIES.items()}
    FeatureExtractor(UserDayWindows(), families).fit(events).save(folder)


def work(log: Path, extractor: Path, out: Path, settings: argparse.Namespace) -> None:
    """One run; prints seconds, windows and the largest process as JSON."""
    from riskml.features.engines import Processes, RayTasks
    from riskml.features.scale import extract

    ray = settings.engine == "ray"
    with RayTasks(workers=settings.workers) if ray else Processes(settings.workers) as engine:
        steps: dict[str, float] = {}
        begin = time.perf_counter()

        def tell(step: str, done: int, of: int) -> None:
            steps[step] = time.perf_counter() - begin  # when it was last heard of

        arguments = (str(log), out, settings.buckets, settings.memory)
        result = extract(extractor, *arguments, engine=engine, progress=tell)
        seconds = time.perf_counter() - begin
    peaks = [
        resource.getrusage(who).ru_maxrss * RSS_UNIT / 2**20
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    found = {"seconds": seconds, "windows": result.total("windows"), "rss": max(peaks)}
    print(json.dumps(found | {"split": steps["split by user"]}))


def measure(arguments: Sequence[str], threads: int | None = None) -> dict[str, float]:
    """Run `work` in a process of its own and watch the memory of its whole tree."""
    environment = dict(os.environ)
    if threads is not None:
        environment |= {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, __file__, "--work", *arguments],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    most = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, sum(map(_pss, _tree(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"a run failed with code {process.returncode}")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found | {"all": most}


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def _pss(process: int) -> float:
    """MiB that a process holds, shared pages by its share."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # it has just ended, or is no Linux
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1e6,1e7,1e8", help="events, e.g. 1e6,1e7")
    parser.add_argument("--folder", type=Path, help="where logs and results go")
    parser.add_argument("--keep", action="store_true", help="keep the logs, to use them again")
    parser.add_argument("--memory", default="1GB", help="for the splitting")
    parser.add_argument("--workers", type=int, default=2, help="of the runs by size")
    parser.add_argument(
        "--buckets", type=int, help="default: one for half a million events, at least 16"
    )
    parser.add_argument("--engine", default="processes", choices=["processes", "ray"])
    parser.add_argument("--no-speed-up", action="store_true", help="leave the second table out")
    parser.add_argument("--work", nargs=3, type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.work:
        work(*settings.work, settings)
        return
    if settings.folder is not None:
        settings.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.folder) as scratch:
        logs = settings.folder if settings.keep and settings.folder else Path(scratch)
        compare(settings, logs, Path(scratch))


def compare(settings: argparse.Namespace, logs: Path, scratch: Path) -> None:
    """Sizes one after the other, then one worker against two on the smallest."""
    sizes = [int(float(size)) for size in settings.sizes.split(",")]
    seconds = []
    print(
        "| events | users | buckets | seconds | of it splitting | events/s "
        "| largest process MiB | all MiB |"
    )
    print("|" + "---:|" * 8)
    for size in sizes:
        arguments = prepare(settings, logs, scratch, size)
        engine = ["--workers", str(settings.workers), "--engine", settings.engine]
        found = measure([*arguments, *engine], threads=None if settings.workers == 1 else 1)
        seconds.append(found["seconds"])
        row = (f"{size:,}", f"{size // EVENTS_A_USER:,}", arguments[-3], f"{seconds[-1]:.1f}")
        rest = (
            f"{found['split']:.1f}",
            f"{size / seconds[-1]:,.0f}",
            f"{found['rss']:,.0f}",
            f"{found['all']:,.0f}",
        )
        print("| " + " | ".join((*row, *rest)) + " |", flush=True)
    if len(sizes) > 1:
        exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"\nseconds grow as events to the power of {exponent:.2f}", flush=True)
    if settings.no_speed_up:
        return
    print(f"\n{min(sizes):,} events, each worker with one thread:\n")
    print("| engine | 1 worker, s | 2 workers, s | speed-up |\n|---|---:|---:|---:|")
    for engine in ("processes", "ray"):
        times = []
        for workers in ("1", "2"):
            arguments = prepare(settings, logs, scratch, min(sizes))
            words = ["--workers", workers, "--engine", engine]
            times.append(measure([*arguments, *words], threads=1)["seconds"])
        row = f"| {engine} | {times[0]:.1f} | {times[1]:.1f} | {times[0] / times[1]:.2f} |"
        print(row, flush=True)


def prepare(settings: argparse.Namespace, logs: Path, scratch: Path, size: int) -> list[str]:
    """Log and extractor of a size, an empty folder for the result: the words for `work`."""
    log, extractor = logs / f"log-{size}", logs / f"features-{size}"
    make_log(log, size)
    if not (extractor / "features.safetensors").is_file():
        fit(log, extractor)
    out = Path(tempfile.mkdtemp(dir=scratch))
    buckets = settings.buckets or max(16, size // 500_000)
    return [
        str(log),
        str(extractor),
        str(out),
        "--buckets",
        str(buckets),
        "--memory",
        settings.memory,
    ]


if __name__ == "__main__":
    main()
