"""How fast the Flink job is: events a second through a broker, and the delay from event to score.

    make test-flink                                       # once: makes .venv-flink
    RISKML_FLINK=.venv-flink python benchmarks/flink_speed.py
    RISKML_FLINK=.venv-flink python benchmarks/flink_speed.py --users 60 --days 60 --events 30000

World, bundle, broker and messages are those of `stream_speed.py`. A local cluster of two slots, a
Python process with one thread for each, a checkpoint every 10 s. First all events lie there
already: from the first told row to the last, start-up left out. Then they come at a steady pace.
CPU is that of Flink and its workers over the same time; the broker's is not in it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from score_job_speed import ONE_THREAD, prepare
from stream_speed import broker, make_topics, messages_of, produce

ROOT = Path(__file__).parents[1]
JARS = (
    "flink-connector-kafka",
    "flink-connector-base",
    "kafka-clients",
    "lz4-java",
    "snappy-java",
    "zstd-jni",
)
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def flink(folder: Path, servers: str, topic: str, buckets: int) -> Iterator[int]:
    """The job on a cluster in one process; gives its process group."""
    made = Path(os.environ["RISKML_FLINK"]).absolute()
    settings = {
        "pipeline.jars": ";".join(f"file://{made}/jars/pyflink/lib/{name}.jar" for name in JARS),
        "parallelism.default": "2",
        "execution.checkpointing.dir": f"file://{folder}/checkpoints",
    }
    words = ["--bundle", folder / "bundle", "--buckets", buckets]
    words += ["--source", f"kafka://{servers}/{topic}", "--sink", f"kafka://{servers}/{topic}-risk"]
    words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [str(made / "bin" / "python"), str(ROOT / "deploy/flink/job.py"), *map(str, words)],
        env={**os.environ, **ONE_THREAD, "_python_worker_execution_mode": "process"},
        start_new_session=True,
    )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def used(group: int) -> float:
    """Seconds of CPU of the processes of a group so far."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        if int(fields[2]) == group:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


class Told:
    """What comes out: the events that rows tell of, and their delays."""

    def __init__(self, servers: str, topic: str) -> None:
        from confluent_kafka import Consumer

        settings = {"group.id": topic, "group.instance.id": topic, "auto.offset.reset": "earliest"}
        self._consumer: Any = Consumer({"bootstrap.servers": servers, **settings})
        self._consumer.subscribe([topic])
        self._windows: dict[str, int] = {}
        self.delays: list[tuple[int, int]] = []

    def look(self) -> int:
        """Events in windows that were told so far."""
        for message in self._consumer.consume(10_000, 0.05):
            row = orjson.loads(message.value())
            self._windows[row["window_id"]] = row["n_events"]
            came = int(np.datetime64(row["arrived_at"].rstrip("Z"), "ms").astype(int))
            self.delays.append((came, message.timestamp()[1] - came))
        return sum(self._windows.values())

    def until(self, events: int) -> int:
        """Wait."""
        while (seen := self.look()) < events:
            pass
        return seen


def bulk(folder: Path, servers: str, messages: list[tuple[str, bytes]], buckets: int) -> None:
    """All is there already."""
    make_topics(servers, "bulk", "bulk-risk", "bulk-risk.alerts")
    produce(servers, "bulk", messages, None)
    told = Told(servers, "bulk-risk")
    with flink(folder, servers, "bulk", buckets) as group:
        first = told.until(1)
        start, cpu = time.perf_counter(), used(group)
        told.until(len(messages))
        seconds, cpu = time.perf_counter() - start, used(group) - cpu
    done = len(messages) - first
    print(
        f"bulk, {buckets} buckets a partition: {done / seconds:,.0f} events/s, "
        f"{done / cpu:,.0f} events/s of CPU ({done:,} events after the first rows)",
        flush=True,
    )


def live(
    folder: Path, servers: str, messages: list[tuple[str, bytes]], rate: float, buckets: int
) -> None:
    """Messages at a steady pace, the first fifth to warm up."""
    make_topics(servers, "live", "live-risk", "live-risk.alerts")
    told = Told(servers, "live-risk")
    with flink(folder, servers, "live", buckets) as group:
        warm = len(messages) // 5
        produce(servers, "live", messages[:1], None)
        told.until(1)
        produce(servers, "live", messages[1:warm], rate)
        told.until(warm)
        after, cpu = time.time() * 1000, used(group)
        produce(servers, "live", messages[warm:], rate)
        told.until(len(messages))
        cpu = used(group) - cpu
    delays = np.array([delay for came, delay in told.delays if came > after])
    p50, p99 = np.quantile(delays, [0.5, 0.99])
    print(
        f"live at {rate:,.0f} events/s: event to score p50 {p50:,.0f} ms, p99 {p99:,.0f} ms "
        f"({len(delays):,} rows; {cpu:.1f} s of CPU for {len(messages) - warm:,} events)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--buckets", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="keep world and bundle here")
    given = parser.parse_args()
    if "RISKML_FLINK" not in os.environ:
        sys.exit("RISKML_FLINK: name the environment that make test-flink makes")
    with tempfile.TemporaryDirectory() as made:
        folder = (given.folder or Path(made)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, given.users, given.days)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        messages = messages_of(folder / "new.parquet", given.events)
        with broker(Path(made) / "broker") as servers:
            bulk(folder, servers, messages, given.buckets)
            some = messages[: int(given.seconds * given.rate)]
            live(folder, servers, some, given.rate, given.buckets)


if __name__ == "__main__":
    main()
