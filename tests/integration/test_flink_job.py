"""The Flink job on a local cluster, killed in its course: what the native stream tells, it tells.

Needs an environment of its own, which `make test-flink` makes; RISKML_FLINK names it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from broker import Broker, running_broker
from confluent_kafka import Consumer
from stream_log import POISON, logins

from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import Bundle, load_bundle
from riskml.serving.standing import known_until, version_of
from riskml.streaming.buckets import bucket_of
from riskml.streaming.messages import EventReader, Messages, decoder
from riskml.streaming.scorer import PartitionScorer
from riskml.streaming.user_profiles import UserProfiles

ENVIRONMENT = os.environ.get("RISKML_FLINK")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ENVIRONMENT is None, reason="make test-flink prepares an environment"),
    pytest.mark.skipif(shutil.which("java") is None, reason="Flink needs Java 17 in the PATH"),
]

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "data" / "bundles" / "format_3" / "bundle"
EVENTS = int(os.environ.get("RISKML_FLINK_EVENTS", 6_000))
PARTITIONS, BUCKETS = 2, 3
JARS = (
    "flink-connector-kafka",
    "flink-connector-base",
    "kafka-clients",
    "lz4-java",
    "snappy-java",
    "zstd-jni",
)
PATIENCE_S = 600.0
Rows = dict[str, dict[str, object]]


@contextmanager
def running_job(broker: Broker, folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A local cluster of two slots; killed at the end, with all its processes."""
    environment = Path(ENVIRONMENT or "")
    jars = environment / "jars" / "pyflink" / "lib"
    settings = {
        "pipeline.jars": ";".join(f"file://{jars}/{name}.jar" for name in JARS),
        "parallelism.default": "2",
        "execution.checkpointing.dir": f"file://{folder}/checkpoints",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    }
    command = [
        *(str(environment / "bin" / "python"), str(ROOT / "deploy" / "flink" / "job.py")),
        *("--bundle", str(BUNDLE), "--buckets", str(BUCKETS), "--checkpoint", "1s"),
        *("--source", broker.url("logins"), "--sink", broker.url("risk")),
        *("--dead-letters", broker.url("dead"), *words),
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]
    quick = {"JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    with (folder / "job.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **quick},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Watch:
    """Reads what the job tells, told for good or not."""

    def __init__(self, broker: Broker, job: subprocess.Popen[bytes]) -> None:
        self._job = job
        self.rows: Rows = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.servers,
                "group.id": f"watch-{job.pid}",
                "group.instance.id": f"watch-{job.pid}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_uncommitted",
            }
        )
        self._consumer.subscribe(["risk"])

    def until(self, seen: Callable[[Rows], bool]) -> None:
        given_up = time.monotonic() + PATIENCE_S
        while not seen(self.rows):
            assert self._job.poll() is None, "the job ended"
            assert time.monotonic() < given_up, f"nothing came of {len(self.rows)} windows"
            for message in self._consumer.consume(500, 0.2):
                if message.error() is None:
                    row = json.loads(message.value())
                    self.rows[row["window_id"]] = row

    def close(self) -> None:
        self._consumer.close()


def told_last(rows: Rows) -> set[tuple[object, ...]]:
    return {(name, row["n_events"], row["open"]) for name, row in rows.items()}


def newest_checkpoint(folder: Path) -> Path | None:
    done = list((folder / "checkpoints").glob("*/chk-*/_metadata"))
    return max(done, key=lambda path: path.stat().st_mtime).parent if done else None


def messages_of(events: pl.DataFrame) -> list[tuple[str, bytes]]:
    times = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    rows = events.with_columns(times).iter_rows(named=True)
    return [(row["user_id"], json.dumps(row).encode()) for row in rows]


def native_rows(bundle: Bundle, broker: Broker, folder: Path) -> pl.DataFrame:
    """The last row of each window: every bucket of every partition by a scorer of its own."""
    mapping = EventMapping({}, max_rejected_share=1.0)
    reader = EventReader(mapping, bundle.extractor.reads(), decoder("json"))
    buckets: dict[tuple[int, int], list[bytes]] = {}
    for partition, _, value, _ in broker.all_of("logins"):
        bucket = partition, bucket_of(reader.user(value), BUCKETS)
        buckets.setdefault(bucket, []).append(value)
    assert len(buckets) == PARTITIONS * BUCKETS
    rows = []
    for name, values in buckets.items():
        profile = bundle.profile
        profiles = UserProfiles(folder / str(name), profile, watermark=profile.watermark)
        scorer = PartitionScorer(bundle, profiles, newest=known_until(bundle))
        for at in range(0, len(values), 700):
            some = values[at : at + 700]
            numbers = np.arange(at, at + len(some))
            events = reader.read(Messages("0", some, numbers, numbers), "native").events
            rows.append(scorer.step(events).rows)
    return pl.concat(rows).unique("window_id", keep="last").sort("window_id")


@pytest.mark.parametrize("exactly_once", [False, True])
def test_killed_and_restored_it_tells_what_the_native_stream_tells(
    exactly_once: bool, tmp_path: Path
) -> None:
    bundle, sent = load_bundle(BUNDLE), messages_of(logins(EVENTS))
    third = EVENTS // 3
    parts = [sent[:third], sent[third : 2 * third], sent[2 * third :]]
    parts[1] += [("user_0", poison) for poison in POISON]
    words = ("--exactly-once",) if exactly_once else ()
    with running_broker(tmp_path / "broker") as broker:
        for topic, count in (("logins", PARTITIONS), ("risk", 2), ("risk.alerts", 1), ("dead", 1)):
            broker.topic(topic, count)
        broker.send("logins", parts[0])
        with running_job(broker, tmp_path, *words) as job:
            watch = Watch(broker, job)
            watch.until(lambda rows: len(rows) > 100)
            before = newest_checkpoint(tmp_path)
            watch.until(lambda rows: newest_checkpoint(tmp_path) not in (None, before))
            told = set(watch.rows)
            broker.send("logins", parts[1])
            watch.until(lambda rows: bool(rows.keys() - told))
            watch.close()
        checkpoint = newest_checkpoint(tmp_path)
        assert checkpoint is not None
        broker.send("logins", parts[2])
        native = native_rows(bundle, broker, tmp_path / "native")
        expected = set(native.select("window_id", "n_events", "open").iter_rows())
        restored = ("--set", f"execution.state-recovery.path=file://{checkpoint}")
        with running_job(broker, tmp_path, *words, *restored) as job:
            watch = Watch(broker, job)
            watch.until(lambda rows: told_last(rows) == expected)
            watch.close()
            final = broker.all_of("risk")  # of transactions, what is told for good
        letters = broker.all_of("dead")

    rows = [json.loads(value) for _, _, value, _ in final]
    found = pl.DataFrame(rows, infer_schema_length=None).unique("window_id", keep="last")
    found = found.sort("window_id")
    same = ["window_id", "user_id", "n_events", "open", "alert"]
    assert found.select(same).equals(native.select(same))
    for name in ("score", "p_value", "risk"):
        np.testing.assert_allclose(found[name], native[name], rtol=1e-6, atol=1e-6)
    assert set(found["model_version"]) == {version_of(bundle.manifest)}
    assert found["alert"].any()
    assert sorted({value for _, _, value, _ in letters}) == sorted(POISON)
    assert all(headers["riskml.stream"] == b"logins" for *_, headers in letters)
    if exactly_once:
        told_once = [(row["window_id"], row["revision"]) for row in rows]
        assert len(set(told_once)) == len(told_once) and len(letters) == len(POISON)
