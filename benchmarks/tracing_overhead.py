"""What traces cost a scoring job: CPU with a receiver of OTLP beside it, and without.

    python -m benchmarks.tracing_overhead                    # 300 users, 120 days: some minutes
    python -m benchmarks.tracing_overhead --users 60 --days 60 --folder /tmp/score-speed

World and bundle are those of `score_job_speed.py`. The jobs run one after the other in one process,
with and without traces in turns; the least CPU of each counts, the sending of spans with it. The
bar: less than 2 %.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.score_job_speed import prepare
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import load_bundle
from riskml.monitoring.tracing import ENDPOINTS, recording
from riskml.serving.events import open_source
from riskml.serving.job import ScoreJob, open_store

BATCH = 50_000


def cpu_of_job(folder: Path, out: str) -> tuple[float, int]:
    """CPU seconds of one job into SQLite, and its events."""
    bundle = load_bundle(folder / "bundle")
    source = open_source(str(folder / "new.parquet"), "events", EventMapping(), BATCH)
    store = open_store(out)
    began = time.process_time()
    with recording():
        done = ScoreJob(bundle, source, store).run()
    return time.process_time() - began, done.events_new


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--folder", type=Path, help="Keeps world and bundle.")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, given.users, given.days)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "oteltap", "--port", str(port)]
        receiver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(2)
            report(folder, Path(scratch), f"http://127.0.0.1:{port}", given.repeats)
        finally:
            receiver.kill()


def report(folder: Path, scratch: Path, endpoint: str, repeats: int) -> None:
    """A table."""
    costs: dict[str, list[float]] = {"without traces": [], "traced": []}
    for turn in range(repeats + 1):
        for name in costs:
            os.environ.pop(ENDPOINTS[0], None)
            if name == "traced":
                os.environ[ENDPOINTS[0]] = endpoint
            seconds, events = cpu_of_job(folder, f"sqlite:///{scratch}/{turn}-{name[0]}.db")
            if turn:  # the first of each also imports
                costs[name].append(seconds)
    plain, traced = (min(each) for each in costs.values())
    print(f"| {events:,} events | CPU s |\n|---|---:|")
    print(f"| without traces | {plain:.3f} |\n| traced | {traced:.3f} |")
    print(f"\nTraces add {traced / plain - 1:.1%}.")


if __name__ == "__main__":
    main()
