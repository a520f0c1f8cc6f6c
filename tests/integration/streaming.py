"""The stream that the tests run, in a module that a new process imports quickly."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import load_bundle
from riskml.streaming.database_sink import DatabaseSink
from riskml.streaming.job import Pace, StreamJob
from riskml.streaming.kafka import KafkaTopic
from riskml.streaming.kafka_sinks import KafkaLetters
from riskml.streaming.kafka_source import KafkaSource
from riskml.streaming.messages import EventReader, decoder
from riskml.streaming.partition_state import FolderHome, StateHome
from riskml.streaming.redis_home import RedisHome


def consume(
    bundle: Path,
    url: str,
    sink: str,
    letters: str,
    state: str,
    instance: str | None,
    idle: float | None = None,
    session_ms: int = 6_000,
    most: int = 400,
    ready: Any = None,
) -> None:
    """The work of a process that somebody may kill; sets the event `ready` when it begins."""
    os.environ["RISKML_KAFKA_SESSION_TIMEOUT_MS"] = str(session_ms)
    loaded = load_bundle(bundle)
    topic = KafkaTopic.parse(url, "--source")

    def home(name: str) -> StateHome:
        if state.startswith("redis://"):
            return RedisHome(state, f"{topic.topic}:{name}")
        return FolderHome(Path(state) / name)

    job = StreamJob(
        loaded,
        KafkaSource(topic, "scorers", instance),
        EventReader(
            EventMapping({}, max_rejected_share=1.0), loaded.extractor.reads(), decoder("json")
        ),
        home,
        [DatabaseSink(sink)],
        KafkaLetters(KafkaTopic.parse(letters, "--dead-letters")),
        pace=Pace(
            most=most,
            checkpoint=timedelta(seconds=0.3),
            idle=None if idle is None else timedelta(seconds=idle),
        ),
    )
    signal.signal(signal.SIGTERM, lambda *_: job.stop())
    if ready is not None:
        ready.set()
    job.run()
