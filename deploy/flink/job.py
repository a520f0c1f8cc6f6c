"""The scorer of `riskml stream` as a Flink job: Kafka in, Kafka out (docs/streaming.md).

    python deploy/flink/job.py --bundle bundle --source kafka://broker/logins \\
        --sink kafka://broker/risk --dead-letters kafka://broker/logins.dlq \\
        --set pipeline.jars='file:///jars/flink-connector-kafka.jar;...'

Messages are keyed by partition and by a bucket of users, wait in keyed state until the next tick,
and are scored together; profiles are keyed state, too, so Flink's checkpoints hold everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pyflink.common import Configuration, Row, Types
from pyflink.datastream import (
    KeyedProcessFunction,
    KeySelector,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor
from pyflink.table import StreamTableEnvironment

from riskml.cli_types import DURATION, PAIR
from riskml.core.errors import ConfigError, RiskmlError
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import load_bundle
from riskml.serving.standing import version_of
from riskml.streaming.buckets import Buckets, Came, bucket_of
from riskml.streaming.kafka import KafkaTopic
from riskml.streaming.messages import FORMATS, EventReader, decoder
from riskml.streaming.scorer import StreamSettings
from riskml.streaming.topic_messages import ALERTS, letter_message, row_messages

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
CAME = Types.ROW_NAMED(
    ["partition", "offset", "arrived", "key", "value"],
    [Types.INT(), Types.LONG(), Types.INSTANT(), BYTES, BYTES],
)
TOLD = Types.ROW_NAMED(
    ["topic", "key", "value", "headers"],
    [Types.STRING(), BYTES, BYTES, Types.MAP(Types.STRING(), BYTES)],
)
MESSAGES = {
    "connector": "kafka",
    "key.format": "raw",
    "key.fields": "key",
    "value.format": "raw",
    "value.fields-include": "EXCEPT_KEY",
}
SOURCE = """
CREATE TEMPORARY TABLE source (
    `partition` INT METADATA VIRTUAL,
    `offset` BIGINT METADATA VIRTUAL,
    `arrived` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    `key` BYTES,
    `value` BYTES
) WITH ({})"""
SINK = """
CREATE TEMPORARY TABLE sink (
    `topic` STRING NOT NULL METADATA,
    `key` BYTES,
    `value` BYTES,
    `headers` MAP<STRING NOT NULL, BYTES> METADATA
) WITH ({})"""
WRONG_INPUT = 2
TRANSACTION_MS = 15 * 60 * 1000
"""As long as brokers allow by default; a checkpoint has to come more often."""


@dataclass(frozen=True)
class Work:
    """What every worker is told, in values that travel."""

    bundle: str
    stream: str
    sink: str
    letters: str | None
    form: str
    schema: Path | None
    message: str | None
    columns: dict[str, str]
    time_zone: str | None
    default_action: str | None
    lateness: timedelta | None
    early_alerts: bool
    runtime: str | None
    buckets: int
    shuffle: bool
    tick_ms: int

    def reader(self, reads: list[str]) -> EventReader:
        mapping = EventMapping(
            self.columns,
            self.time_zone,
            default_action=self.default_action,
            max_rejected_share=1.0,
        )
        return EventReader(mapping, reads, decoder(self.form, self.schema, self.message))

    def opened(self) -> Buckets:
        bundle = load_bundle(self.bundle, self.runtime)
        if self.lateness is not None:
            bundle.extractor.lateness = self.lateness
        settings = StreamSettings(early_alerts=self.early_alerts)
        return Buckets(bundle, self.reader(bundle.extractor.reads()), self.stream, settings)


class BucketOf(KeySelector):
    """Partition and bucket of a message's user; of all partitions together where users roam."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._reader: EventReader | None = None  # made by the worker: not all decoders travel

    def get_key(self, row: Row) -> str:
        if self._reader is None:
            self._reader = self._work.reader([])
        bucket = bucket_of(self._reader.user(row[4]), self._work.buckets)
        return f"{'all' if self._work.shuffle else row[0]}/{bucket}"


class Scoring(KeyedProcessFunction):
    """Messages of a bucket, a tick's worth at a time → what topics get."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, context: RuntimeContext) -> None:
        self._waiting = context.get_list_state(ListStateDescriptor("waiting", CAME))
        self._kept = context.get_map_state(MapStateDescriptor("kept", Types.STRING(), BYTES))
        self._buckets = self._work.opened()
        self._metrics = context.get_metrics_group().add_group("riskml")
        self._counters: dict[str, Any] = {}

    def close(self) -> None:
        self._buckets.close()

    def process_element(self, row: Row, context: KeyedProcessFunction.Context) -> None:
        self._waiting.add(row)
        timers, tick = context.timer_service(), self._work.tick_ms
        timers.register_processing_time_timer((timers.current_processing_time() // tick + 1) * tick)

    def on_timer(
        self, timestamp: int, context: KeyedProcessFunction.OnTimerContext
    ) -> Iterator[Row]:
        came = [came_of(row) for row in self._waiting.get() or ()]
        if not came:
            return
        self._waiting.clear()
        rows, letters, counts = self._buckets.work(context.get_current_key(), came, self._kept)
        for name, count in asdict(counts).items():
            if name not in self._counters:
                self._counters[name] = self._metrics.counter(name)
            self._counters[name].inc(count)
        for topic, key, value in row_messages(self._work.sink, rows):
            yield Row(topic, key.encode(), value, {})
        if self._work.letters is not None:
            for letter in letters:
                key, headers = letter_message(letter)
                yield Row(self._work.letters, key.encode(), letter.value, headers)


def came_of(row: Row) -> Came:
    partition, offset, arrived, key, value = row
    return Came(partition, offset, arrived.to_epoch_milli(), key, value or b"")


def options(topic: KafkaTopic, names: list[str], more: dict[str, str]) -> str:
    """Options of a table, as SQL has them."""
    own = {"topic": ";".join(names), "properties.bootstrap.servers": topic.servers}
    given = {f"properties.{name}": value for name, value in topic.settings.items()}
    texts = {**MESSAGES, **own, **more, **given}
    quoted = {name: value.replace("'", "''") for name, value in texts.items()}
    return ", ".join(f"'{name}' = '{value}'" for name, value in quoted.items())


def configured(set_: dict[str, str], checkpoint: timedelta, tick_ms: int) -> Configuration:
    """Settings of Flink."""
    settings = {
        "execution.checkpointing.interval": f"{checkpoint // timedelta(milliseconds=1)} ms",
        # what a bundle brings is seen by the timers after it
        "python.fn-execution.bundle.time": str(tick_ms),
        "python.executable": sys.executable,
        "python.map-state.read-cache-size": "1",  # segments are mapped from files already
        **set_,
    }
    found = Configuration()
    for name, value in settings.items():
        found.set_string(name, value)
    return found


_path = click.Path(path_type=Path)


@click.command()
@click.option("--bundle", required=True, help="Exported by train.py; the same path on all workers.")
@click.option("--source", required=True, metavar="URL", help="kafka://HOST:PORT/TOPIC.")
@click.option("--sink", required=True, metavar="URL", help="Likewise; alerts to TOPIC.alerts, too.")
@click.option("--dead-letters", metavar="URL", help="Likewise, at the brokers of --sink.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="json", show_default=True)
@click.option("--schema", type=_path, help="Avro: .avsc. Protobuf: a descriptor set.")
@click.option("--message", help="Protobuf: full name of the message.")
@click.option("--column", "columns", type=PAIR, multiple=True, help="user_id=actor.id")
@click.option("--time-zone", help="IANA name, for times without a zone.")
@click.option("--default-action", help="Action of messages that name none.")
@click.option("--group", default="riskml", show_default=True, help="For those who watch the lag.")
@click.option(
    "--from",
    "begin",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Where to begin without a checkpoint.",
)
@click.option("--lateness", type=DURATION, help="As the model was trained with unless given.")
@click.option("--early-alerts/--final-alerts", default=True, show_default=True)
@click.option("--runtime", help="Of the graph: torchscript, onnx or native.")
@click.option(
    "--buckets",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Of users, in each partition; another number needs a new start.",
)
@click.option(
    "--shuffle", is_flag=True, help="Messages are not keyed by user: buckets of all partitions."
)
@click.option(
    "--tick",
    "tick_ms",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Milliseconds that messages wait to be scored together.",
)
@click.option("--checkpoint", type=DURATION, default="10s", show_default=True)
@click.option("--exactly-once", is_flag=True, help="Tell in transactions, with each checkpoint.")
@click.option("--set", "set_", type=PAIR, multiple=True, help="A setting of Flink, name=value.")
def main(
    bundle: str,
    source: str,
    sink: str,
    dead_letters: str | None,
    columns: tuple[tuple[str, str], ...],
    group: str,
    begin: str,
    tick_ms: int,
    checkpoint: timedelta,
    exactly_once: bool,
    set_: tuple[tuple[str, str], ...],
    **others: Any,
) -> None:
    """Score a topic of events as a Flink job."""
    come, told = KafkaTopic.parse(source, "--source"), KafkaTopic.parse(sink, "--sink")
    topics = [told.topic, told.topic + ALERTS]
    if dead_letters is not None:
        apart = KafkaTopic.parse(dead_letters, "--dead-letters")
        if apart.servers != told.servers:
            raise ConfigError("--dead-letters: give a topic at the brokers of --sink")
        topics.append(apart.topic)
    work = Work(
        bundle=bundle,
        stream=come.topic,
        sink=told.topic,
        letters=topics[-1] if dead_letters is not None else None,
        columns=dict(columns),
        tick_ms=tick_ms,
        **others,
    )
    version = version_of(load_bundle(bundle, work.runtime).manifest)  # fails here, not on a worker
    work.reader([])
    environment = StreamExecutionEnvironment.get_execution_environment(
        configured(dict(set_), checkpoint, tick_ms)
    )
    tables = StreamTableEnvironment.create(environment)
    reading = {
        "scan.startup.mode": f"{begin}-offset",
        "properties.group.id": group,
    }
    writing = {"sink.delivery-guarantee": "at-least-once"}
    if exactly_once:
        writing = {
            "sink.delivery-guarantee": "exactly-once",
            "sink.transactional-id-prefix": f"riskml-{group}",
            "properties.transaction.timeout.ms": str(TRANSACTION_MS),
        }
    tables.execute_sql(SOURCE.format(options(come, [come.topic], reading)))
    tables.execute_sql(SINK.format(options(told, topics, writing)))
    came = tables.to_data_stream(tables.from_path("source"))
    scored = (
        came.key_by(BucketOf(work), Types.STRING())
        .process(Scoring(work), TOLD)
        .name("score")
        # a checkpoint of another model, or of other buckets, does not fit
        .uid(f"riskml-{version}-{work.buckets}{'-shuffle' if work.shuffle else ''}")
    )
    statements = tables.create_statement_set()
    statements.add_insert("sink", tables.from_data_stream(scored))
    statements.attach_as_datastream()
    environment.execute(f"riskml {come.topic}")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (RiskmlError, click.UsageError) as error:
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
        click.echo(f"error: {text}", err=True)
        sys.exit(WRONG_INPUT)
