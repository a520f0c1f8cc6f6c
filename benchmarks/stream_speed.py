"""How fast `riskml stream` is: events a second through a broker, delay from event to score, memory.

    python benchmarks/stream_speed.py                     # broker, two processes: some minutes
    python benchmarks/stream_speed.py --users 60 --days 60 --events 50000 --seconds 10
    python benchmarks/stream_speed.py --million 1000000   # no broker: users without end

A VAE with all feature families is trained briefly on a simulated world (what it learns does not
matter for speed) and exported. The broker is noida-db, which speaks Kafka's protocol; scores go
back to it. Two partitions, a process with one thread for each. First all events lie there already:
from the first message to the last checkpoint, start-up left out. Then they come at a steady pace:
delay is from the producer's time stamp of a message to the time stamp of the row that it changed.
River's half-space trees learn and score the same messages, one by one in one thread.
The bar: 30,000 events a second on two cores; the delay's 99th percentile under 50 ms at 5,000
events a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import polars as pl
from score_job_speed import ONE_THREAD, prepare

PARTITIONS = 2
COMMAND = [sys.executable, "-c", "from riskml.cli import main; main()", "stream"]


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A broker on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = shutil.which("noida-db", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None, "pip install noida-db"
    words = ["start", "--only", "kafka", "--kafka-port", port, "--data-dir", str(folder)]
    process = subprocess.Popen(
        [program, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def messages_of(file: Path, count: int) -> list[tuple[str, bytes]]:
    """The first events of a log as JSON, by user."""
    events = pl.read_parquet(file).sort("timestamp").head(count)
    text = events.with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").name.keep()
    )
    return [(row["user_id"], orjson.dumps(row)) for row in text.iter_rows(named=True)]


def make_topics(servers: str, *names: str) -> None:
    """Topics with `PARTITIONS` partitions."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(n, PARTITIONS, 1) for n in names]).values():
        made.result(30)


def produce(
    servers: str, topic: str, messages: list[tuple[str, bytes]], rate: float | None
) -> None:
    """Send messages by user, at once or so many a second."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": servers, "linger.ms": 1})
    start = time.perf_counter()
    for number, (user, value) in enumerate(messages):
        if rate is not None:
            ahead = start + number / rate - time.perf_counter()
            if ahead > 0:
                producer.poll(0)
                time.sleep(ahead)
        while True:
            try:
                producer.produce(topic, value, key=user)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def kept(state: Path) -> int:
    """Messages whose scores and state are kept, over all partitions."""
    files = state.glob("*/*/*/state.json")
    return sum(int(json.loads(file.read_text())["position"] or 0) for file in files)


def scorers(folder: Path, servers: str, topic: str, sink: str) -> list[subprocess.Popen[bytes]]:
    """A process for each partition."""
    words = ["--bundle", folder / "bundle", "--state", folder / f"state-{topic}"]
    words += ["--source", f"kafka://{servers}/{topic}", "--sink", f"kafka://{servers}/{sink}"]
    return [
        subprocess.Popen(
            [*COMMAND, *map(str, words), "--group", topic, "--instance", str(i), "--json"],
            env={**os.environ, **ONE_THREAD},
        )
        for i in range(PARTITIONS)
    ]


def wait(processes: list[subprocess.Popen[bytes]]) -> None:
    """A moment, while all are alive."""
    time.sleep(0.05)
    if any(process.poll() is not None for process in processes):
        raise RuntimeError("a stream has ended")


def stop(processes: list[subprocess.Popen[bytes]]) -> float:
    """End them; gives the seconds of CPU that they took."""
    used = 0.0
    for process in processes:
        process.terminate()
    for process in processes:
        _, _, cost = os.wait4(process.pid, 0)
        used += cost.ru_utime + cost.ru_stime
    return used


def throughput(folder: Path, servers: str, messages: list[tuple[str, bytes]]) -> None:
    """All is there already."""
    make_topics(servers, "bulk", "bulk-risk", "bulk-risk.alerts")
    produce(servers, "bulk", messages, None)
    processes = scorers(folder, servers, "bulk", "bulk-risk")
    state = folder / "state-bulk"
    while not (first := kept(state)):
        wait(processes)
    start = time.perf_counter()
    while (now := kept(state)) < len(messages):
        wait(processes)
    seconds = time.perf_counter() - start
    print(
        f"bulk: {(now - first) / seconds:,.0f} events/s ({now - first:,} events after the first "
        f"checkpoints; {stop(processes):.1f} s of CPU in all)"
    )


def delay(folder: Path, servers: str, messages: list[tuple[str, bytes]], rate: float) -> None:
    """Messages at a steady pace."""
    from confluent_kafka import Consumer

    make_topics(servers, "live", "live-risk", "live-risk.alerts")
    processes = scorers(folder, servers, "live", "live-risk")
    warm = int(5 * rate)
    produce(servers, "live", messages[:warm], rate)
    while kept(folder / "state-live") < warm:
        wait(processes)
    after = time.time() * 1000 + 3_000  # the first moments at this pace fill pipes
    produce(servers, "live", messages[warm:], rate)
    while kept(folder / "state-live") < len(messages):
        wait(processes)
    cpu = stop(processes)
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "look",
            "group.instance.id": "look",
            "auto.offset.reset": "earliest",
            "receive.message.max.bytes": 1_000_000_000,
        }
    )
    consumer.subscribe(["live-risk"])
    found, quiet = [], time.monotonic() + 20
    while time.monotonic() < quiet:
        for message in consumer.consume(10_000, 0.5):
            row = orjson.loads(message.value())
            if row["arrived_at"] is not None:
                came = np.datetime64(row["arrived_at"].rstrip("Z"), "ms").astype(int)
                found.append((came, message.timestamp()[1] - came))
            quiet = time.monotonic() + 3
    consumer.close()
    times = np.array(found)
    steady = times[times[:, 0] > after, 1]
    p50, p99 = np.quantile(steady, [0.5, 0.99])
    print(
        f"live at {rate:,.0f} events/s: event to score p50 {p50:.0f} ms, p99 {p99:.0f} ms "
        f"({len(steady):,} rows; {cpu:.1f} s of CPU for {len(messages):,} events)"
    )


def river(messages: list[tuple[str, bytes]]) -> None:
    """Half-space trees over what a message says by itself."""
    try:
        from river.anomaly import HalfSpaceTrees
    except ImportError:
        print("River is not installed: pip install river==0.26.1")
        return
    trees = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=0)
    start = time.process_time()
    for _, value in messages:
        event = orjson.loads(value)
        moment = event["timestamp"]
        x = {"hour": int(moment[11:13]) / 24, "minute": int(moment[14:16]) / 60}
        for name in ("action", "resource", "source", "user_id"):
            x[name] = (hash(event[name]) % 1000) / 1000
        trees.score_one(x)
        trees.learn_one(x)
    seconds = time.process_time() - start
    print(f"River, 25 half-space trees, 6 features: {len(messages) / seconds:,.0f} events/s of CPU")


def million(folder: Path, users: int) -> None:
    """Users without end in one process, without a broker."""
    from riskml.export.bundle import load_bundle
    from riskml.streaming.scorer import ARRIVED, AT, PartitionScorer
    from riskml.streaming.user_profiles import UserProfiles

    bundle = load_bundle(folder / "bundle")
    state = folder / "state-million"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    profiles = UserProfiles(state, bundle.profile, watermark=bundle.profile.watermark)
    scorer = PartitionScorer(bundle, profiles)
    events = pl.read_parquet(folder / "new.parquet").sort("timestamp").drop(ARRIVED, strict=False)
    step, done, start, number = 20_000, 0, time.process_time(), 0
    rng = np.random.default_rng(0)
    while done < 3 * users:
        part = events[done % (len(events) - step) :][:step]
        who = rng.integers(0, users, len(part))
        day = pl.duration(days=done // users)
        part = part.with_columns(
            user_id=pl.format("m{}", pl.Series(who)),
            event_id=pl.format("m{}", pl.int_range(done, done + len(part))),
            timestamp=events["timestamp"][0] + day + pl.duration(seconds=pl.int_range(pl.len())),
        ).with_columns(pl.int_range(pl.len()).alias(AT))
        scorer.step(part)
        number += 1
        before = set(profiles.counted)
        profiles.flush(number)
        for name in before - set(profiles.counted):
            shutil.rmtree(state / name)
        done += len(part)
    seconds = time.process_time() - start
    known = sum(f.stat().st_size for f in state.rglob("*.arrow")) / 2**20
    status = Path("/proc/self/status").read_text().splitlines()
    anonymous = next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{users:,} users, three days: {done / seconds:,.0f} events/s of CPU, {known:,.0f} MiB on "
        f"disk, {anonymous:,.0f} MiB of own memory, {peak:,.0f} MiB at most with mapped files"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5_000)
    parser.add_argument("--million", type=int, help="users; then nothing else is measured")
    parser.add_argument("--folder", type=Path, help="keep world and bundle here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, given.users, given.days)
        if given.million:
            million(folder, given.million)
            return
        for state in folder.glob("state-*"):
            shutil.rmtree(state)
        messages = messages_of(folder / "new.parquet", given.events)
        with broker(Path(made) / "broker") as servers:
            throughput(folder, servers, messages)
            live = int((5 + given.seconds) * given.rate)
            delay(folder, servers, messages[:live], given.rate)
        river(messages[:20_000])


if __name__ == "__main__":
    main()
